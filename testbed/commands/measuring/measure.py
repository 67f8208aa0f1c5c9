"""`testbed measure`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from testbed.commands.app import app
from testbed.commands.options import JsonOption, RigOption, SetOption, YesOption
from testbed.commands.screen.tables import table_of
from testbed.commands.screen.terminal import console, exit_if_interrupted, interruptible

if TYPE_CHECKING:
    from rich.console import Console

    from testbed.measurement.records import Measurement
    from testbed.measurement.report import MeasurementDirectory


@app.command()
def measure(
    rig: RigOption = None,
    overrides: SetOption = None,
    captures: Annotated[int, typer.Option(min=1, max=100_000, help="Captures of each link.")] = 20,
    duration_s: Annotated[
        float | None, typer.Option(min=0.1, max=1e6, help="Capture for so long in all instead, a link after the other.")
    ] = None,
    capture_ms: Annotated[float, typer.Option(min=0.01, max=10_000, help="Length of one capture.")] = 50.0,
    period: Annotated[int, typer.Option(help="Samples of one period of the probe, a power of two.")] = 256,
    keep: Annotated[int, typer.Option(min=0, max=100_000, help="Captures of each link that become recordings.")] = 1,
    downlink: Annotated[bool, typer.Option("--downlink", help="Also from the access point to each device.")] = False,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="Directory of the results (default: runs/<time>-measure).")
    ] = None,
    calibration: Annotated[
        Path | None, typer.Option(help="A file of `testbed calibrate`: also gains between antenna ports, dBm, drifts.")
    ] = None,
    max_age_days: Annotated[
        float, typer.Option(min=0.01, max=36_500, help="Older calibrations are warned of; ten times older refused.")
    ] = 90.0,
    json: JsonOption = False,
    yes: YesOption = False,
) -> None:
    """Sound the channels of a rig: gains, noise, offsets, delays, fading, and what each scheme would reach on them.

    One sender and one receiver at a time, with a repeated Zadoff-Chu probe. Leaves measurement.json, recordings
    (SigMF), channels.h5, pictures, report.html, rig.toml, a simulated rig with the same statistics, and replay.toml,
    one on the channels themselves. Examples:

        testbed measure --rig pluto_indoor

        testbed measure --rig virtual_plutos --captures 100 --downlink

        testbed run --rig runs/<time>-measure/replay.toml
    """
    from testbed.config.files import load

    config = load(rig, None, overrides or [])
    from testbed.commands.screen.measuring import MeasuringDisplay
    from testbed.commands.screen.radiating import agree_to_radiate
    from testbed.measurement.campaign import Asked, check, probe_of
    from testbed.measurement.measure import measure as measured

    num_links = config.rig.num_devices * (2 if downlink else 1)
    if duration_s is not None:
        captures = min(100_000, max(1, round(duration_s / num_links / (capture_ms / 1e3))))
    asked = Asked(
        num_captures=captures,
        capture_s=capture_ms / 1e3,
        period_samples=period,
        directions=("uplink", "downlink") if downlink else ("uplink",),
        num_kept=keep,
    )
    check(config.rig, asked)
    agree_to_radiate(config.rig, yes=yes)
    progress = console(stderr=True)
    with interruptible() as should_stop, MeasuringDisplay(asked, probe_of(config.rig, asked), num_links) as display:
        directory, found = measured(
            config,
            asked,
            out=out,
            calibration=calibration or _of_rig(rig, config.rig.calibration),
            max_age_days=max_age_days,
            on_heard=display,
            should_stop=should_stop,
        )
        stopped = should_stop()
    if json:
        typer.echo(directory.record.read_text(encoding="utf-8"), nl=False)
    else:
        _show(directory, found, console())
    for remark in found.calibration.remarks if found.calibration is not None else ():
        progress.print(f"warning: calibration: {remark}", soft_wrap=True)
    exit_if_interrupted("interrupted" if stopped else "done")
    if not any(link.gain_db is not None for link in found.links):
        raise typer.Exit(1)


def _of_rig(rig: str | None, name: str) -> Path | None:
    """The calibration that a rig names: beside its file, else from here."""
    if not name:
        return None
    beside = Path(rig).parent / name if rig is not None else Path(name)
    return beside if beside.exists() else Path(name)


def _show(directory: MeasurementDirectory, found: Measurement, out: Console) -> None:
    from testbed.measurement.corrections import CALIBRATED_HEADER, calibrated_row
    from testbed.measurement.report import LINK_HEADER, link_row, noise_words
    from testbed.measurement.verdict import threshold_words

    rows = [link_row(link, with_intervals=False) for link in found.links]
    out.print(table_of(f"channels: {found.rig}", LINK_HEADER, rows))
    if found.calibration is not None:
        title = f"with the calibration of {found.calibration.date}"
        out.print(table_of(title, CALIBRATED_HEADER, map(calibrated_row, found.links)))
    out.print(
        f"before anybody sent: {noise_words(found.quiet)}, {found.quiet.interference or 'no interference seen'}",
        markup=False,
    )
    for link in found.links:
        if link.problem is not None:
            out.print(f"device {link.device} {link.direction}: {link.problem}", markup=False)
    if found.verdict is not None:
        from rich.table import Table

        schemes = Table(title="what schemes would reach", title_justify="left", box=None, padding=(0, 1, 0, 0))
        for name in ("scheme", "NMSE dB", "ms a round", ""):
            schemes.add_column(name, overflow="fold")
        for each in found.verdict.predictions:
            nmse = "–" if each.nmse_db is None else f"{each.nmse_db:.1f}"
            airtime = "–" if each.airtime_s is None else f"{1e3 * each.airtime_s:.2f}"
            schemes.add_row(each.scheme, nmse, airtime, each.problem or "")
        out.print(schemes)
        if (words := threshold_words(found.verdict)) is not None:
            out.print(f"privacy: {words}", markup=False)
        for remark in found.verdict.remarks:
            out.print(f"note: {remark}", markup=False)
    out.print(f"report: {directory.report}", soft_wrap=True, markup=False)
