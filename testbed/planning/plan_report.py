"""`testbed plan`: tables on stdout and one picture of what the schedules would do."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TypeAlias

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from rich.console import Console

from testbed.config.schema import RunConfig
from testbed.errors import RunDirectoryError
from testbed.planning.cautions import cautions
from testbed.planning.preview import Preview, Previews, at_symbol_snr, plan_of, sampled_epsilons, warnings_of
from testbed.results import files
from testbed.results.pictures.tables import show_table
from testbed.results.plots import rendered

_ROWS = 10
_FORMATS = ("png", "svg", "pdf")
_Style: TypeAlias = tuple[str, float, str | tuple[float, tuple[float, ...]]]
_OTHER: _Style = ("#000000", 1.2, (0, (1, 1)))
_STYLES: dict[str, _Style] = {
    "solution": ("#0072b2", 3.2, "-"),
    "online": ("#f0e442", 1.8, (0, (4, 4))),
    "static": ("#d55e00", 1.6, ":"),
    "reversed": ("#cc79a7", 1.4, "-."),
    "paper": ("#000000", 1.2, (0, (6, 2))),
    "full": ("#5f6b7a", 0.7, "-"),
}
"""Colour, width and dashes: with any colour vision, and where one curve lies on another."""
_DECADES = 1.0
"""So far beyond the others a schedule without a budget may lie before it leaves the picture, and is said in words."""


def show_plan(config: RunConfig, console: Console, *, snrs_db: Sequence[float], png: Path) -> None:
    """Print the tables and write the picture. Raises RunDirectoryError if that cannot be written."""
    image_format = _image_format(png)
    own = plan_of(config)
    name = config.experiment.schedule.name
    _by_round(console, own.preview(name), config.experiment.rounds.num)
    plans = [plan_of(at_symbol_snr(config, snr_db)) for snr_db in snrs_db] or [own]
    _comparison(console, plans)
    console.print(_threshold_words(own))
    console.print(own.terms.statement(_planned_epsilon(own, own.preview(name))))
    epsilons = sampled_epsilons(config, own.preview(name).leaks) if own.terms.void is None else None
    if epsilons is not None:
        console.print(
            f"The same plan by dp-accounting, under the same threat model: epsilon {epsilons[0]:.3g} (RDP, all "
            f"orders), {epsilons[1]:.3g} (PLD)."
        )
    for warning in (*warnings_of(plans), *(cautions(config) if own.terms.void is None else ())):
        console.print(f"warning: {warning}", style="yellow")
    files.write(png, rendered(plan_figure(own), image_format), remedy="choose another place with --png")
    console.print(f"picture: {png}", soft_wrap=True)


def _image_format(path: Path) -> str:
    """What kind of image a path asks for by its suffix; without one, PNG."""
    asked = path.suffix[1:].lower() or "png"
    if asked not in _FORMATS:
        raise RunDirectoryError(f"--png {path}: got suffix {path.suffix!r}; allowed: {', '.join(_FORMATS)}")
    return asked


def _planned_epsilon(plan: Previews, preview: Preview) -> float:
    return plan.terms.accountant.epsilon(preview.share_of_budget * plan.terms.accountant.limit)


def _by_round(console: Console, preview: Preview, num_rounds: int) -> None:
    rows = []
    for index in np.unique(np.linspace(0, num_rounds - 1, _ROWS).astype(int)):
        silent = preview.gains[index] == 0
        rows.append((
            f"{index + 1}",
            "silent" if silent else f"{preview.gains[index]:.3g}",
            f"{preview.noise_stds[index]:.3g}",
            f"{preview.leaks[index]:.3g}",
            "–" if silent else f"{preview.error_stds[index]:.3g}",
        ))  # fmt: skip
    header = ("round", "gain", "device noise", "leak rho", "noise on the mean")
    show_table(console, f"schedule {preview.name}, {num_rounds} rounds", header, rows, has_figures=True)


def _comparison(console: Console, plans: Sequence[Previews]) -> None:
    rows = []
    for plan in plans:
        cells = [
            f"{_factor(each.gap)}\n{_percent(each.share_of_budget)}"
            + (f"\n{each.num_silent} silent" if each.num_silent else "")
            for each in plan.previews
        ]
        rows.append((f"{plan.symbol_snr_db:.1f} dB", *cells))
    header = ("symbol SNR", *(preview.name for preview in plans[0].previews))
    title = "predicted objective over the optimum's, share of the budget spent, silent rounds"
    show_table(console, title, header, rows, has_figures=True)


def _threshold_words(plan: Previews) -> str:
    if not plan.terms.crediting.receiver_trusted:
        return "SNR*: none; receiver noise does not count, so privacy is never free."
    side = "below" if plan.symbol_snr_db <= plan.snr_threshold_db else "above"
    return (
        f"SNR* = {plan.snr_threshold_db:.1f} dB symbol SNR: this rig, at {plan.symbol_snr_db:.1f} dB, is {side} it. "
        "Below it full power keeps the budget on average."
    )


def plan_figure(plan: Previews) -> Figure:
    """Gain, device noise, leak and noise on the mean by round, all schedules.

    A schedule that keeps no budget does not flatten the others: where it lies decades away, its range is written.
    """
    figure = Figure(figsize=(9, 9), dpi=110, layout="constrained")
    axes = figure.subplots(4, 1, sharex=True)
    labels = ("gain c", "device noise σ", "leak ρ", "noise on the mean")
    for axis, values, label in zip(axes, range(4), labels, strict=True):
        ranges: dict[str, tuple[float, float]] = {}
        for preview in plan.previews:
            series = (preview.gains, preview.noise_stds, preview.leaks, preview.error_stds)[values]
            shown = np.where(np.isfinite(series) & (series > 0), series, np.nan)
            color, width, dashes = _STYLES.get(preview.name, _OTHER)
            axis.plot(
                np.arange(1, len(shown) + 1), shown, color=color, linewidth=width, linestyle=dashes, label=preview.name
            )
            if np.isfinite(shown).any():
                ranges[preview.name] = (float(np.nanmin(shown)), float(np.nanmax(shown)))
        axis.set_ylabel(label)
        axis.grid(True, color="#e2e8f0", linewidth=0.8)
        _scaled(axis, ranges, [each.name for each in plan.previews if each.share_of_budget > 1 + 1e-6])
    legend = axes[0].legend(frameon=False, ncols=len(plan.previews), loc="lower center", bbox_to_anchor=(0.5, 1.0))
    for text in legend.get_texts():
        text.set_parse_math(False)  # names are text, also with a dollar sign
    axes[-1].set_xlabel("round")
    return figure


def _scaled(axis: Axes, ranges: dict[str, tuple[float, float]], overspending: Sequence[str]) -> None:
    """Limits for those that keep their budget, where there are any; the others' ranges in words if they leave them."""
    if not ranges:
        axis.text(0.5, 0.5, "none", ha="center", va="center", transform=axis.transAxes)
        return
    axis.set_yscale("log")
    kept = [each for name, each in ranges.items() if name not in overspending]
    if not kept:
        return
    low, high = min(each[0] for each in kept), max(each[1] for each in kept)
    away = [
        name
        for name in overspending
        if name in ranges and (ranges[name][1] > high * 10**_DECADES or ranges[name][0] < low / 10**_DECADES)
    ]
    if not away:
        return
    margin = (high / low) ** 0.1 * 1.05
    axis.set_ylim(low / margin, high * margin)
    if high / low < 10:  # no power of ten may lie within
        axis.set_yscale("linear")
        axis.set_ylim(low / margin, high * margin)
    words = "; ".join(f"{name}: {ranges[name][0]:.2g} to {ranges[name][1]:.2g}, beyond this scale" for name in away)
    note = axis.text(0.99, 0.96, words, ha="right", va="top", transform=axis.transAxes, fontsize=8, color="#4a5568")
    note.set_bbox({"facecolor": "white", "edgecolor": "none", "alpha": 0.8, "pad": 2})
    note.set_parse_math(False)


def _factor(gap: float) -> str:
    return "–" if math.isnan(gap) or math.isinf(gap) else f"x {gap:.3g}"


def _percent(share: float) -> str:
    return "unbounded" if math.isinf(share) else f"{100 * share:.3g} %"
