"""`testbed plan`: tables on stdout and one picture of what the schedules would do."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from rich.console import Console
from rich.table import Table

from testbed.config.schema import RunConfig
from testbed.errors import RunDirectoryError
from testbed.planning.cautions import cautions
from testbed.planning.preview import Preview, Previews, at_symbol_snr, plan_of, sampled_epsilons, warnings_of
from testbed.results import files
from testbed.results.plots import rendered

_ROWS = 10
_FORMATS = ("png", "svg", "pdf")
_OTHER_COLOR = "#1a202c"
_COLORS = {
    "solution": "#2b6cb0",
    "online": "#2f855a",
    "static": "#dd6b20",
    "reversed": "#805ad5",
    "paper": "#c53030",
    "full": "#718096",
}


def show_plan(config: RunConfig, console: Console, *, snrs_db: Sequence[float], png: Path) -> None:
    """Print the tables and write the picture. Raises RunDirectoryError if that cannot be written."""
    image_format = _image_format(png)
    own = plan_of(config)
    name = config.experiment.schedule.name
    console.print(_by_round(own.preview(name), config.experiment.rounds.num))
    plans = [plan_of(at_symbol_snr(config, snr_db)) for snr_db in snrs_db] or [own]
    console.print(_comparison(plans))
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


def _by_round(preview: Preview, num_rounds: int) -> Table:
    table = Table(title=f"schedule {preview.name}, {num_rounds} rounds", title_justify="left")
    for heading in ("round", "gain", "device noise", "leak rho", "noise on the mean"):
        table.add_column(heading, justify="right")
    for index in np.unique(np.linspace(0, num_rounds - 1, _ROWS).astype(int)):
        silent = preview.gains[index] == 0
        table.add_row(
            f"{index + 1}",
            "silent" if silent else f"{preview.gains[index]:.3g}",
            f"{preview.noise_stds[index]:.3g}",
            f"{preview.leaks[index]:.3g}",
            "–" if silent else f"{preview.error_stds[index]:.3g}",
        )
    return table


def _comparison(plans: Sequence[Previews]) -> Table:
    table = Table(
        title="predicted objective over the optimum's, share of the budget spent, silent rounds", title_justify="left"
    )
    table.add_column("symbol SNR", justify="right")
    for preview in plans[0].previews:
        table.add_column(preview.name, justify="right")
    for plan in plans:
        cells = [
            f"{_factor(each.gap)}\n{_percent(each.share_of_budget)}"
            + (f"\n{each.num_silent} silent" if each.num_silent else "")
            for each in plan.previews
        ]
        table.add_row(f"{plan.symbol_snr_db:.1f} dB", *cells)
    return table


def _threshold_words(plan: Previews) -> str:
    if not plan.terms.crediting.receiver_trusted:
        return "SNR*: none; receiver noise does not count, so privacy is never free."
    side = "below" if plan.symbol_snr_db <= plan.snr_threshold_db else "above"
    return (
        f"SNR* = {plan.snr_threshold_db:.1f} dB symbol SNR: this rig, at {plan.symbol_snr_db:.1f} dB, is {side} it. "
        "Below it full power keeps the budget on average."
    )


def plan_figure(plan: Previews) -> Figure:
    """Gain, device noise, leak and noise on the mean by round, all schedules."""
    figure = Figure(figsize=(9, 9), dpi=110, layout="constrained")
    axes = figure.subplots(4, 1, sharex=True)
    labels = ("gain c", "device noise σ", "leak ρ", "noise on the mean")
    for preview in plan.previews:
        series = (preview.gains, preview.noise_stds, preview.leaks, preview.error_stds)
        for axis, values in zip(axes, series, strict=True):
            shown = np.where(np.isfinite(values) & (values > 0), values, np.nan)
            axis.plot(
                np.arange(1, len(values) + 1),
                shown,
                color=_COLORS.get(preview.name, _OTHER_COLOR),
                label=preview.name,
                linewidth=1,
            )
    for axis, label in zip(axes, labels, strict=True):
        axis.set_ylabel(label)
        axis.grid(True, color="#e2e8f0", linewidth=0.8)
        if any(np.isfinite(line.get_ydata()).any() for line in axis.get_lines()):
            axis.set_yscale("log")
        else:
            axis.text(0.5, 0.5, "none", ha="center", va="center", transform=axis.transAxes)
    legend = axes[0].legend(frameon=False, ncols=len(plan.previews), loc="lower center", bbox_to_anchor=(0.5, 1.0))
    for text in legend.get_texts():
        text.set_parse_math(False)  # names are text, also with a dollar sign
    axes[-1].set_xlabel("round")
    return figure


def _factor(gap: float) -> str:
    return "–" if math.isnan(gap) or math.isinf(gap) else f"x {gap:.3g}"


def _percent(share: float) -> str:
    return "unbounded" if math.isinf(share) else f"{100 * share:.3g} %"
