"""`testbed calibrate`."""

from __future__ import annotations

import sys
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from testbed.commands.app import app
from testbed.commands.options import JsonOption, RigOption, SetOption, by_station, decibels
from testbed.commands.screen.tables import table_of
from testbed.commands.screen.terminal import INTERRUPTED, console, interruptible
from testbed.errors import ConfigError

if TYPE_CHECKING:
    from testbed.measurement.calibration import Calibration, GainPoint


@app.command()
def calibrate(
    rig: RigOption = None,
    overrides: SetOption = None,
    gains: Annotated[
        str | None, typer.Option(metavar="DB,...", help="Transmit gains to try (default: around the rig's).")
    ] = None,
    rx_gains: Annotated[
        str | None, typer.Option(metavar="DB,...", help="Receive gains to try (default: around the rig's).")
    ] = None,
    downlink: Annotated[
        bool, typer.Option("--downlink", help="Also step the devices' receivers and the access point's transmitter.")
    ] = False,
    cable_loss: Annotated[
        str | None,
        typer.Option(metavar="0=1.2,ap=0.8", help="Between a radio and its antenna, dB, by device; ap: access point."),
    ] = None,
    attenuator_db: Annotated[
        float | None, typer.Option(min=0, max=200, help="All between both radios' connectors while calibrating, dB.")
    ] = None,
    source_dbm: Annotated[
        str | None,
        typer.Option(metavar="DBM", help="Power at the access point's connector at the rig's gain; or 0=-42,1=-43."),
    ] = None,
    reference_ppm: Annotated[
        float | None, typer.Option(min=-1000, max=1000, help="The access point's own error, where it is known.")
    ] = None,
    captures: Annotated[int, typer.Option(min=1, max=1000, help="Captures of each setting.")] = 4,
    capture_ms: Annotated[float, typer.Option(min=0.01, max=10_000, help="Length of one capture.")] = 50.0,
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", help="File (default: calibration.toml beside the rig's file, or here)."),
    ] = None,
    yes: Annotated[
        bool,
        typer.Option("--yes", help="Everything is connected, and may radiate within the rig's [limits]: ask nothing."),
    ] = False,
    json: JsonOption = False,
) -> None:
    """Measure what each radio of a rig is off by: carrier, steps of its gains, full scale; and keep it in a file.

    One device after the other is connected to the access point by cable, through an attenuator; simulated and virtual
    rigs need no hands. A file that is there is replaced, with a copy beside it. Exit code 1 if a radio is missing in
    it. Examples:

        testbed calibrate --rig virtual_plutos

        testbed calibrate --rig bench.toml --gains -50,-40,-30,-20 --attenuator-db 60 --cable-loss 0=1.2,ap=0.8

        testbed measure --rig bench.toml --calibration calibration.toml
    """
    from testbed.config.files import load

    config = load(rig, None, overrides or [])
    from rich.text import Text

    from testbed.commands.screen.radiating import agree_to_radiate
    from testbed.measurement import calibrate as calibrating
    from testbed.measurement import calibration as kept
    from testbed.measurement.campaign import Asked

    devices = config.rig.num_devices
    wanted = calibrating.Wanted(
        asked=Asked(
            num_captures=captures,
            capture_s=capture_ms / 1e3,
            directions=("uplink", "downlink") if downlink else ("uplink",),
            num_kept=0,
        ),
        tx_gains_db=tuple(decibels(gains, "--gains")),
        rx_gains_db=tuple(decibels(rx_gains, "--rx-gains")),
        cable_losses_db=by_station(cable_loss, devices, "--cable-loss", with_access_point=True),
        attenuator_db=attenuator_db,
        source_dbm=by_station(source_dbm, devices, "--source-dbm", with_access_point=False),
        reference_ppm=reference_ppm,
    )
    calibrating.check(config.rig, wanted)
    place = out or (Path(rig).parent if rig is not None and Path(rig).is_file() else Path()) / kept.DEFAULT_NAME
    kept.check_place(place)
    asks = calibrating.needs_hands(config.rig) and not yes
    if asks and not sys.stdin.isatty():
        raise ConfigError(
            "calibrate: cables of this rig have to be moved, and nobody is asked where there is no terminal; allowed: "
            "on a terminal, or with --yes once everything is connected"
        )
    progress = console(stderr=True)
    for line in calibrating.plan(config.rig, wanted, place):
        progress.print(line, soft_wrap=True)
    agree_to_radiate(calibrating.loudest(config.rig, wanted), yes=yes)
    with interruptible() as should_stop, progress.status("looking for the radios") as status:

        def on_step(text: str) -> None:
            if asks:
                status.stop()
                progress.print(f"{text}. Then press Enter.", soft_wrap=True)
                if not sys.stdin.readline():
                    raise KeyboardInterrupt
                status.start()

        found = calibrating.calibrate(
            config,
            wanted,
            now=datetime.now().astimezone(),
            on_step=on_step,
            on_progress=lambda text: status.update(Text(text)),
            should_stop=should_stop,
        )
    if found.was_stopped:
        progress.print(f"interrupted: {place} was not written")
        raise typer.Exit(INTERRUPTED)
    if found.calibration is not None:
        kept.write_calibration(place, found.calibration)
        _tell(found.calibration, place, json=json)
    for name, why in found.missing.items():
        progress.print(f"{name} was not calibrated: {why}", soft_wrap=True)
    if found.missing:
        if found.calibration is None:
            progress.print(f"no radio was calibrated: {place} was not written", soft_wrap=True)
        raise typer.Exit(1)


def _tell(calibration: Calibration, place: Path, *, json: bool) -> None:
    if json:
        import msgspec

        typer.echo(msgspec.json.format(msgspec.json.encode(calibration)).decode())
        return
    out = console()
    rows = [
        (
            radio.station,
            f"{radio.ppm:+.4f} ± {radio.ppm_half_width:.4f}",
            _steps(radio.tx_gain_table, calibration.tx_gain_db),
            _steps(radio.rx_gain_table, calibration.rx_gain_db),
            "–" if radio.full_scale_dbm is None else f"{radio.full_scale_dbm:.1f}",
        )
        for radio in calibration.radios.values()
    ]
    header = ("radio", "ppm", "tx dB off", "rx dB off", "full scale dBm")
    out.print(table_of(f"calibration: {calibration.rig}", header, rows))
    for note in calibration.notes:
        out.print(f"note: {note}", soft_wrap=True)
    out.print(f"calibration: {place}", soft_wrap=True)


def _steps(table: tuple[GainPoint, ...], reference_db: float) -> str:
    """How far the worst setting is from what it says, and over which settings."""
    if not table:
        return "–"
    worst = max((point.measured_db - (point.setting_db - reference_db) for point in table), key=abs)
    return f"{worst:+.2f} in {table[0].setting_db:g} to {table[-1].setting_db:g}"
