"""What a run spent of its privacy budget, and what for, by round."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from testbed.results.plots import BLUE, GREEN, GREY, ORANGE, figure_of
from testbed.results.records import RoundRecord


def is_private(records: Sequence[RoundRecord]) -> bool:
    """Whether an ε was stated for any round."""
    return any(record.epsilon_spent is not None for record in records)


def privacy_by_round(records: Sequence[RoundRecord], *, budget_epsilon: float, dp_delta: float, verdict: str) -> Figure:
    """ε so far against its budget, gain, device noise and the predicted error, by round.

    ``verdict`` opens the picture: a curve of ε claims nothing where the claim is void.
    """
    figure, (spent, gain, error) = figure_of(3, height_in=7.5)
    spent.set_title(verdict, fontsize=10, loc="left", fontweight="bold")
    _line(spent, records, lambda record: record.epsilon_spent, color=BLUE, label="spent so far")
    spent.axhline(budget_epsilon, color=GREY, linestyle="--", label=f"budget {budget_epsilon:g}")
    spent.set_ylabel(f"ε at δ = {dp_delta:g}")
    _line(gain, records, lambda record: record.gain or None, color=ORANGE, label="gain c")
    _line(
        gain,
        records,
        lambda record: record.artificial_noise_std or None,
        color=GREEN,
        style="--",
        label="device noise σ",
    )
    gain.set_ylabel("gain; noise")
    _line(
        error, records, lambda record: record.predicted_error_std, color=BLUE, label="predicted standard deviation of p̂"
    )
    error.set_ylabel("error of the mean")
    error.set_xlabel("round")
    for axis in (gain, error):
        if any(line.get_gid() for line in axis.get_lines()):
            axis.set_yscale("log")
    for axis in (spent, gain, error):
        axis.legend(frameon=False)
    return figure


def _line(
    axis: Axes,
    records: Sequence[RoundRecord],
    value: Callable[[RoundRecord], float | None],
    *,
    color: str,
    label: str,
    style: str = "-",
) -> None:
    """One value a round, where it is known; nothing at all if it never is."""
    known = [(record.round + 1, found) for record in records if (found := value(record)) is not None]
    if known:
        rounds, values = zip(*known, strict=True)
        (line,) = axis.plot(rounds, values, style, color=color, linewidth=1.2, label=label)
        line.set_gid(label)
