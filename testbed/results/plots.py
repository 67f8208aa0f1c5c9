"""Pictures of a run, as matplotlib figures; nothing here reads or writes a file."""

from __future__ import annotations

import io
from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from testbed.results.records import InitialEvaluation, RoundRecord
from testbed.results.words import is_share, metric_label

BLUE, ORANGE, GREEN, GREY = "#0072b2", "#d55e00", "#009e73", "#5f6b7a"
"""Told apart with any colour vision (Okabe and Ito), and by line style or marker besides."""
MANY = 2000
"""From so many points on a scatter is a picture within a vector graphic, which would be larger than the data."""
_SMOOTHING_ROUNDS = 25


def rendered(figure: Figure, image_format: str = "png") -> bytes:
    """A figure as the bytes of an image file."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format=image_format, metadata={"Date": None} if image_format == "svg" else None)
    return buffer.getvalue()


def figure_of(num_rows: int = 1, *, height_in: float = 4.0) -> tuple[Figure, list[Axes]]:
    """A figure of one style, and its axes from top to bottom."""
    figure = Figure(figsize=(8, height_in), dpi=110, layout="constrained")
    axes = figure.subplots(num_rows, 1, squeeze=False)[:, 0].tolist()
    for axis in axes:
        styled(axis)
    return figure, axes


def styled(axis: Axes) -> None:
    """Thin grid, no box."""
    axis.grid(True, color="#e2e8f0", linewidth=0.8)
    axis.set_axisbelow(True)
    axis.spines[["top", "right"]].set_visible(False)


def _running_mean(values: Sequence[float]) -> np.ndarray:
    """Mean of the last 25 values, shape [N]."""
    sums = np.cumsum(np.concatenate([[0.0], values]))
    stop = np.arange(1, len(values) + 1)
    start = np.maximum(0, stop - _SMOOTHING_ROUNDS)
    return (sums[stop] - sums[start]) / (stop - start)


def learning_curve(
    records: Sequence[RoundRecord], initial: InitialEvaluation | None, metric_name: str = "accuracy"
) -> Figure:
    """Loss and metric by round."""
    figure, (top, bottom) = figure_of(2, height_in=5.5)
    trained = [(r.round + 1, r.loss) for r in records if r.loss is not None]
    if trained:
        rounds, losses = zip(*trained, strict=True)
        top.plot(
            rounds, losses, ".", color=BLUE, alpha=0.35, markersize=3, label="training, one round",
            rasterized=len(trained) > MANY,
        )  # fmt: skip
        top.plot(rounds, _running_mean(losses), color=BLUE, label=f"training, mean of {_SMOOTHING_ROUNDS} rounds")
    tested = [(r.round + 1, r.eval_loss, r.metric) for r in records if r.metric is not None]
    if initial is not None:
        tested.insert(0, (0, initial.loss, initial.metric))
    if tested:
        rounds, losses, metrics = zip(*tested, strict=True)
        top.plot(rounds, losses, "s--", color=ORANGE, markersize=4, label="test split")
        unit = 100 if is_share(metric_name) else 1
        bottom.plot(rounds, [unit * metric for metric in metrics], "o-", color=GREEN, markersize=4)
    top.set_ylabel("loss")
    if trained or tested:
        top.legend(frameon=False)
    bottom.set_ylabel(f"test {metric_label(metric_name)}{' (%)' if is_share(metric_name) else ''}")
    bottom.set_xlabel("round")
    return figure


def nmse_by_round(records: Sequence[RoundRecord]) -> Figure:
    """NMSE of the over-the-air mean by round, with its median, and the symbol SNR."""
    figure, (axis,) = figure_of()
    known = [(r.round + 1, r.nmse_db) for r in records if r.nmse_db is not None]
    if known:
        rounds, values = zip(*known, strict=True)
        axis.plot(
            rounds, values, ".", color=BLUE, alpha=0.4, markersize=4, label="one round", rasterized=len(known) > MANY
        )
        middle = float(np.median(values))
        axis.axhline(middle, color=ORANGE, linestyle="--", label=f"median {middle:.1f} dB")
        axis.legend(frameon=False)
    else:
        axis.text(0.5, 0.5, _why_no_nmse(records), ha="center", va="center", transform=axis.transAxes, color=GREY)
    axis.set_ylabel("NMSE of the mean scalar (dB)")
    axis.set_xlabel("round")
    return figure


def _why_no_nmse(records: Sequence[RoundRecord]) -> str:
    if any(record.true_mean for record in records):
        return "the estimates have no error"
    return "not known: ground_truth = false"


def estimate_against_truth(records: Sequence[RoundRecord]) -> Figure:
    """Estimated against true mean scalar, every round; the line is y = x."""
    figure, (axis,) = figure_of(height_in=4.5)
    pairs = [
        (t, e) for r in records if r.true_mean and r.estimate for t, e in zip(r.true_mean, r.estimate, strict=True)
    ]
    if pairs:
        truth, estimate = np.array(pairs).T
        bound = float(np.abs(np.array(pairs)).max()) * 1.05
        axis.plot([-bound, bound], [-bound, bound], color=GREY, linewidth=1)
        axis.plot(truth, estimate, ".", color=BLUE, alpha=0.4, markersize=4, rasterized=len(pairs) > MANY)
    else:
        axis.text(0.5, 0.5, _why_no_nmse(records), ha="center", va="center", transform=axis.transAxes, color=GREY)
    axis.set_xlabel("true mean of the devices' scalars")
    axis.set_ylabel("estimated over the air")
    return figure


def time_by_round(records: Sequence[RoundRecord]) -> Figure:
    """Where the wall-clock time of the rounds went."""
    figure, (axis,) = figure_of(height_in=2.0)
    left = 0.0
    parts = (("learner", BLUE, ""), ("radio", ORANGE, "//"), ("control", GREY, ".."))
    for name, color, hatch in parts:
        seconds = sum(getattr(record, f"{name}_s") for record in records)
        axis.barh(
            ["rounds"], [seconds], left=left, color=color, hatch=hatch, edgecolor="white",
            label=f"{name} {seconds:.1f} s",
        )  # fmt: skip
        left += seconds
    axis.set_xlabel("seconds")
    axis.legend(frameon=False, ncols=3, loc="lower center", bbox_to_anchor=(0.5, 1.0))
    return figure
