"""What is reached against what it costs on the air."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

from benchmarks.baselines.table import Row


def picture(rows: Sequence[Row]) -> Figure:
    """Metric against air time of a run, a panel a task; bars reach from the worst seed to the best."""
    shown = [each for each in rows if each.metric is not None and each.airtime_s]
    tasks = list(dict.fromkeys(each.task for each in shown))
    figure = Figure(figsize=(5.2 * max(1, len(tasks)), 4.2), dpi=110, layout="constrained")
    axes = figure.subplots(1, max(1, len(tasks)), squeeze=False)[0]
    names = list(dict.fromkeys(each.method for each in shown))
    for axis, task in zip(axes, tasks, strict=False):
        for each in (each for each in shown if each.task == task):
            index, metrics = names.index(each.method), np.array(each.metrics)
            ends = [[metrics.mean() - metrics.min()], [metrics.max() - metrics.mean()]]
            style = {"marker": "os^v"[index // 10 % 4], "color": f"C{index % 10}", "capsize": 2, "markersize": 5}
            axis.errorbar([each.airtime_s], [metrics.mean()], yerr=ends, linestyle="", label=each.method, **style)
        axis.set(xscale="log", xlabel="air time of a run, up and down, s", title=task)
        axis.grid(True, color="#e2e8f0")
    axes[0].set_ylabel(shown[0].metric_name if shown else "")
    handles, labels = axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside right center", fontsize=8)
    return figure
