"""`testbed measure`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from testbed.commands.app import app
from testbed.commands.options import JsonOption, RigOption, SetOption
from testbed.commands.screen.terminal import console, exit_if_interrupted, interruptible

if TYPE_CHECKING:
    from rich.console import Console

    from testbed.measurement.campaign import Heard
    from testbed.measurement.records import Measurement
    from testbed.measurement.report import MeasurementDirectory


@app.command()
def measure(
    rig: RigOption = None,
    overrides: SetOption = None,
    captures: Annotated[int, typer.Option(min=1, max=100_000, help="Captures of each link.")] = 20,
    capture_ms: Annotated[float, typer.Option(min=0.01, max=10_000, help="Length of one capture.")] = 50.0,
    period: Annotated[int, typer.Option(help="Samples of one period of the probe, a power of two.")] = 256,
    keep: Annotated[int, typer.Option(min=0, max=100_000, help="Captures of each link that become recordings.")] = 1,
    downlink: Annotated[bool, typer.Option("--downlink", help="Also from the access point to each device.")] = False,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="Directory of the results (default: runs/<time>-measure).")
    ] = None,
    json: JsonOption = False,
) -> None:
    """Sound the channels of a rig: gains, noise, offsets, delays, fading, and what each scheme would reach on them.

    One sender and one receiver at a time, with a repeated Zadoff-Chu probe. Leaves measurement.json, recordings
    (SigMF), channels.npz, pictures, report.html, and rig.toml, a simulated rig with the same statistics. Examples:

        testbed measure --rig pluto_indoor

        testbed measure --rig virtual_plutos --captures 100 --downlink

        testbed run --rig runs/<time>-measure/rig.toml
    """
    from testbed.config.files import load

    config = load(rig, None, overrides or [])
    from testbed.measurement.campaign import Asked
    from testbed.measurement.measure import measure as measured

    asked = Asked(
        num_captures=captures,
        capture_s=capture_ms / 1e3,
        period_samples=period,
        directions=("uplink", "downlink") if downlink else ("uplink",),
        num_kept=keep,
    )
    progress = console(stderr=True)
    with interruptible() as should_stop, progress.status("listening while nobody sends") as status:

        def on_heard(heard: Heard) -> None:
            status.update(_line(heard, captures))

        directory, found = measured(config, asked, out=out, on_heard=on_heard, should_stop=should_stop)
        stopped = should_stop()
    if json:
        typer.echo(directory.record.read_text(encoding="utf-8"), nl=False)
    else:
        _show(directory, found, console())
    exit_if_interrupted("interrupted" if stopped else "done")
    if not any(link.gain_db is not None for link in found.links):
        raise typer.Exit(1)


def _line(heard: Heard, captures: int) -> str:
    name = f"device {heard.device} {heard.direction}, capture {heard.number + 1} of {captures}"
    if heard.sounding is None:
        return f"{name}: {heard.problem}"
    if heard.sounding.spoilt is not None:
        return f"{name}: {heard.sounding.spoilt}"
    return f"{name}: gain {heard.sounding.gain_db.value:.1f} dB, SNR {heard.sounding.snr_db:.1f} dB"


def _show(directory: MeasurementDirectory, found: Measurement, out: Console) -> None:
    from rich.table import Table

    from testbed.measurement.report import LINK_HEADER, link_row, noise_words

    table = Table(title=f"channels: {found.rig}", title_justify="left", box=None, padding=(0, 1, 0, 0))
    for number, name in enumerate(LINK_HEADER):
        table.add_column(name, justify="left" if number == 0 else "right", overflow="fold")
    for link in found.links:
        table.add_row(*link_row(link, with_intervals=False))
    out.print(table)
    out.print(
        f"before anybody sent: {noise_words(found.quiet)}, {found.quiet.interference or 'no interference seen'}",
        markup=False,
    )
    for link in found.links:
        if link.problem is not None:
            out.print(f"device {link.device} {link.direction}: {link.problem}", markup=False)
    if found.verdict is not None:
        schemes = Table(title="what schemes would reach", title_justify="left", box=None, padding=(0, 1, 0, 0))
        for name in ("scheme", "NMSE dB", "ms a round", ""):
            schemes.add_column(name, overflow="fold")
        for each in found.verdict.predictions:
            nmse = "–" if each.nmse_db is None else f"{each.nmse_db:.1f}"
            airtime = "–" if each.airtime_s is None else f"{1e3 * each.airtime_s:.2f}"
            schemes.add_row(each.scheme, nmse, airtime, each.problem or "")
        out.print(schemes)
        for remark in found.verdict.remarks:
            out.print(f"note: {remark}", markup=False)
    out.print(f"report: {directory.report}", soft_wrap=True, markup=False)
