"""Curves of settings in one picture, with bands over their seeds; colours tell them apart, and lines without colours.

The colours are Okabe and Ito's, which people with any common colour blindness can tell apart.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from testbed.comparison.runs import Setting, short
from testbed.comparison.statistics import LEVEL, Interval, interval
from testbed.results.plots import figure_of
from testbed.results.run import Run
from testbed.results.words import is_share, metric_label

COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000")
LINES = ("-", "--", "-.", ":")
MARKERS = "osD^vPX"
MAX_CURVES = 14
"""In one picture; more are drawn in further ones."""
Curve = dict[int, float]
"""Round → value; 0 is the untouched model."""


def style(number: int) -> dict[str, Any]:
    """Of a setting by its number: neighbours differ in colour, in line and in marker."""
    return {
        "color": COLOURS[number % len(COLOURS)],
        "linestyle": LINES[number % len(LINES)],
        "marker": MARKERS[number % len(MARKERS)],
    }


def learning(settings: Sequence[Setting], *, first: int = 0) -> Figure:
    """Test loss and metric by round, the mean of a setting's runs; ``first`` is the number of the first setting."""
    name = metric_name(settings)
    unit = 100 if is_share(name) else 1
    figure, (top, bottom) = figure_of(2, height_in=6.5 + 0.18 * len(settings))
    for number, setting in enumerate(settings, start=first):
        if metric_name([setting]) != name:
            continue  # another task, whose loss and metric have no place on these axes
        _curve(top, number, setting, lambda run: evaluated(run, "eval_loss"))
        _curve(bottom, number, setting, lambda run: evaluated(run, "metric"), scale=unit, within=_ends(name))
    top.set_ylabel("test loss")
    bottom.set_ylabel(f"test {metric_label(name)}{' (%)' if is_share(name) else ''}")
    bottom.set_xlabel("round")
    _legend(figure, top, settings)
    return figure


def nmse(settings: Sequence[Setting], *, first: int = 0) -> Figure | None:
    """How the NMSE of the over-the-air mean is distributed over rounds, by setting; None where it is known of none."""
    known = [
        (number, setting, values)
        for number, setting in enumerate(settings, start=first)
        if (values := [r.nmse_db for run in setting.runs for r in run.rounds if r.nmse_db is not None])
    ]
    if not known:
        return None
    figure, (axis,) = figure_of(height_in=4.0 + 0.18 * len(known))
    for number, setting, values in known:
        look = style(number)
        shares = np.arange(1, len(values) + 1) / len(values) * 100
        axis.step(np.sort(values), shares, color=look["color"], linestyle=look["linestyle"], label=setting.label)
    axis.set_xlabel("NMSE of the mean scalar (dB)")
    axis.set_ylabel("rounds up to it (%)")
    _legend(figure, axis, settings)
    return figure


def over_key(settings: Sequence[Setting], key: str) -> Figure:
    """The final metric over one numeric key, a line for each of what else differs, with intervals over seeds."""
    name = metric_name(settings)
    unit = 100 if is_share(name) else 1
    lines: dict[str, list[tuple[float, Setting]]] = {}
    for setting in settings:
        others = ", ".join(f"{short(k)} {v}" for k, v in setting.values.items() if k != key)
        lines.setdefault(others, []).append((float(setting.values[key]), setting))
    figure, (axis,) = figure_of(height_in=4.0 + 0.18 * len(lines))
    for number, (others, points) in enumerate(list(lines.items())[:MAX_CURVES]):
        found = [(x, mean) for x, each in sorted(points, key=lambda point: point[0])
                 if (mean := final_metric(each)) is not None]  # fmt: skip
        if not found:
            continue
        place = [x for x, _ in found]
        means = [unit * mean.mean for _, mean in found]
        below = [unit * (mean.mean - (mean.mean if mean.low is None else mean.low)) for _, mean in found]
        above = [unit * ((mean.mean if mean.high is None else mean.high) - mean.mean) for _, mean in found]
        axis.errorbar(
            place, means, yerr=[below, above], label=others or "all runs", capsize=3, markersize=5, **style(number)
        )
    places = sorted({float(setting.values[key]) for setting in settings})
    if places[0] > 0 and places[-1] / places[0] >= 50:
        axis.set_xscale("log")
    axis.set_xlabel(key)
    axis.set_ylabel(f"final test {metric_label(name)}{' (%)' if is_share(name) else ''}")
    if len(lines) > 1:
        figure.legend(loc="outside lower left", frameon=False, fontsize=9)
    return figure


def numeric_keys(settings: Sequence[Setting]) -> list[str]:
    """Keys that differ, and whose values are finite numbers in every setting."""
    return [key for key in (settings[0].values if settings else {})
            if key != "repetition" and all(_is_finite(each.values.get(key, "")) for each in settings)]  # fmt: skip


def final_metric(setting: Setting) -> Interval | None:
    """The mean of a setting's final metrics over its seeds, with its interval."""
    return interval(list(setting.by_seed("metric_final").values()), within=_ends(metric_name([setting])))


def _ends(name: str) -> tuple[float, float]:
    return (0.0, 1.0) if is_share(name) else (0.0, math.inf)


def metric_name(settings: Sequence[Setting]) -> str:
    """That of the first run that says one."""
    for setting in settings:
        for run in setting.runs:
            if run.summary is not None:
                return run.summary.metric_name
            if run.info.initial_evaluation is not None:
                return run.info.initial_evaluation.metric_name
    return "accuracy"


def evaluated(run: Run, field: str) -> Curve:
    """A field of a run's evaluations by round, with the untouched model's as round 0."""
    found: Curve = {}
    initial = run.info.initial_evaluation
    if initial is not None:
        found[0] = initial.loss if field == "eval_loss" else initial.metric
    for record in run.rounds:
        value = getattr(record, field)
        if value is not None:
            found[record.round + 1] = value
    return found


def band(
    curves: Sequence[Curve], *, within: tuple[float, float] = (-math.inf, math.inf)
) -> tuple[list[int], list[float], list[float] | None, list[float] | None]:
    """Rounds that every curve has, their mean, and the ends of its interval; none of a single curve.

    Rounds that a run did not reach are left out: a mean of the runs that are left would speak for those that are not.
    """
    rounds = sorted(set.intersection(*(set(curve) for curve in curves))) if curves else []
    found = [interval([curve[each] for curve in curves], within=within) for each in rounds]
    means = [each.mean for each in found if each is not None]
    lows = [each.low for each in found if each is not None and each.low is not None]
    highs = [each.high for each in found if each is not None and each.high is not None]
    return rounds, means, lows if len(curves) > 1 else None, highs if len(curves) > 1 else None


def _curve(
    axis: Axes,
    number: int,
    setting: Setting,
    of: Callable[[Run], Curve],
    *,
    scale: float = 1.0,
    within: tuple[float, float] = (0.0, math.inf),
) -> None:
    rounds, means, lows, highs = band([curve for run in setting.runs if (curve := of(run))], within=within)
    look = style(number)
    axis.plot(rounds, [scale * mean for mean in means], label=setting.label, markersize=4, **look)
    if lows is not None and highs is not None:
        ends = ([scale * low for low in lows], [scale * high for high in highs])
        axis.fill_between(rounds, *ends, color=look["color"], alpha=0.15, linewidth=0)


def _legend(figure: Figure, axis: Axes, settings: Sequence[Setting]) -> None:
    handles, labels = axis.get_legend_handles_labels()
    bands = any(len(setting.runs) > 1 for setting in settings)
    title = f"mean over seeds; band: {100 * LEVEL:.0f} % confidence" if bands else None
    figure.legend(handles, labels, loc="outside lower left", frameon=False, fontsize=9, title=title, title_fontsize=9,
                  alignment="left")  # fmt: skip


def _is_finite(text: str) -> bool:
    try:
        return bool(np.isfinite(float(text)))
    except ValueError:
        return False
