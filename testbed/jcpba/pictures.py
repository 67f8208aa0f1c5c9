"""The picture of a comparison; nothing here reads or writes a file."""

from __future__ import annotations

from matplotlib.figure import Figure

from testbed.jcpba.records import Comparison
from testbed.results.plots import BLUE, GREEN, GREY, ORANGE, figure_of

_STYLES = {
    "joint": (BLUE, "-"),
    "bcd": (BLUE, ":"),
    "bandwidth": (ORANGE, "-"),
    "pruning": (GREEN, "-"),
    "uniform": (GREEN, "--"),
    "equal": (GREY, "-"),
    "pairzero": ("#c53030", "-"),
}


def loss_by_time(comparison: Comparison) -> Figure:
    """Test loss against modelled wall clock, all methods; the untouched model is the point that all begin from."""
    figure, (axis,) = figure_of(height_in=4.5)
    for method in comparison.methods:
        colour, line = _STYLES[method.name]
        axis.plot(
            [point.wall_clock_s for point in method.curve],
            [point.loss for point in method.curve],
            color=colour, linestyle=line, marker="o", markersize=3, label=method.words,
        )  # fmt: skip
    axis.set_xlabel("modelled wall clock (s)")
    axis.set_ylabel("test loss")
    axis.set_xlim(left=0)
    axis.legend(frameon=False, fontsize="small")
    return figure
