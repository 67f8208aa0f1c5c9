"""Why the NMSE of single rounds scatters, and whether errors are as large as was predicted."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from testbed.results.plots import BLUE, GREY, MANY, ORANGE, figure_of
from testbed.results.records import RoundRecord
from testbed.results.statistics import median

Floats = NDArray[np.float64]


def known_errors(records: Sequence[RoundRecord]) -> tuple[Floats, Floats, Floats]:
    """Rounds [N], |p̄| [N] and |p̂ − p̄| [N], Euclidean over queries, of rounds whose truth is known and used."""
    rows = [
        (record.round + 1, np.array(record.true_mean), np.array(record.estimate))
        for record in records
        if record.is_used and record.true_mean and record.estimate
    ]
    rounds = np.array([row[0] for row in rows], dtype=float)
    means = np.array([np.linalg.norm(row[1]) for row in rows], dtype=float)
    return rounds, means, np.array([np.linalg.norm(row[2] - row[1]) for row in rows], dtype=float)


def errors_explained(records: Sequence[RoundRecord]) -> Figure:
    """Above: error of every round beside its prediction. Below: NMSE against the mean scalar's size."""
    figure, (by_round, by_mean) = figure_of(2, height_in=6.5)
    rounds, means, errors = known_errors(records)
    predicted = [(r.round + 1, r.predicted_error_std) for r in records if r.is_used and r.predicted_error_std]
    _positive(by_round, rounds, errors, "error |p̂ − p̄| of one round")
    if predicted:
        at, stds = zip(*predicted, strict=True)
        by_round.plot(at, stds, "-", color=ORANGE, linewidth=1, label="predicted standard deviation (query 0)")
    by_round.set_xlabel("round")
    by_round.set_ylabel("error of the mean")
    nmse_db = _nmse_db(means, errors)
    is_known = np.isfinite(nmse_db)
    if is_known.any():
        shown = means[is_known]
        by_mean.plot(shown, nmse_db[is_known], ".", color=BLUE, alpha=0.5, markersize=4, rasterized=shown.size > MANY)
        ends = np.array([shown.min(), shown.max()])
        rms = float(np.sqrt(np.mean(errors**2)))
        by_mean.plot(
            ends, 20 * np.log10(rms / ends), "--", color=GREY, label=f"an error of {rms:.2g}, the rms of this run"
        )
        by_mean.axhline(0, color=ORANGE, linestyle=":", label="0 dB: error as large as the mean")
        by_mean.set_xscale("log")
    by_mean.set_xlabel("size of the true mean |p̄|")
    by_mean.set_ylabel("NMSE (dB)")
    for axis in (by_round, by_mean):
        if axis.get_legend_handles_labels()[0]:
            axis.legend(frameon=False, fontsize=9)
    return figure


def _positive(axis: Axes, rounds: Floats, errors: Floats, label: str) -> None:
    seen = errors > 0
    if seen.any():
        axis.plot(
            rounds[seen], errors[seen], ".", color=BLUE, alpha=0.4, markersize=4, label=label,
            rasterized=int(seen.sum()) > MANY,
        )  # fmt: skip
    axis.set_yscale("log")


def _nmse_db(means: Floats, errors: Floats) -> Floats:
    """[N]; not finite where either is zero."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return 20 * np.log10(errors / means)


def nmse_words(records: Sequence[RoundRecord]) -> str:
    """Why single rounds can have an NMSE above 0 dB beside a low median, with this run's figures."""
    _, means, errors = known_errors(records)
    known = np.isfinite(_nmse_db(means, errors))
    if not known.any():
        return "The true mean was not known, or the estimates have no error, so there is no NMSE to explain."
    loud = known & (errors > means)
    words = (
        "NMSE divides a round's error by the mean scalar of that same round. Where devices' scalars nearly cancel, the "
        "mean is close to zero and NMSE is large, however ordinary the error: points scatter about the dashed line, on "
        "which all have the same error. The pooled NMSE, summed error power over summed power of means, does not "
        "depend on such rounds."
    )
    if not loud.any():
        return f"{words} Here no round is above 0 dB."
    return (
        f"{words} Here {int(loud.sum())} of {int(known.sum())} rounds are above 0 dB; their median |p̄| is "
        f"{median(means[loud].tolist()):.2g} and their median error {median(errors[loud].tolist()):.2g}, those of all "
        f"rounds {median(means[known].tolist()):.2g} and {median(errors[known].tolist()):.2g}."
    )
