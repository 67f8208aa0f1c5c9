"""`testbed doctor`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from testbed.commands.app import app
from testbed.commands.options import JsonOption, RigOption, SetOption, YesOption
from testbed.commands.screen.terminal import console


@app.command()
def doctor(
    rig: RigOption = None,
    overrides: SetOption = None,
    json: JsonOption = False,
    yes: YesOption = False,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="Also write doctor.json and doctor.png into this directory.")
    ] = None,
) -> None:
    """Say what is installed and connected, what works, and which schemes a rig supports and why.

    Listens first, then sends test signals 10 dB below the rig's transmit gain. Exit code 1 if something needed failed;
    what else somebody should look at is a warning. Examples:

        testbed doctor

        testbed doctor --rig hardware_configs/pluto_bench_5.toml

        testbed doctor --rig virtual_plutos --json

        testbed doctor --rig virtual_plutos --out runs/bench
    """
    if overrides and rig is None:
        raise typer.BadParameter("allowed with --rig only", param_hint="--set")
    import msgspec

    from testbed.config.files import load

    asked = load(rig, None, overrides or []).rig if rig is not None else None
    if asked is not None:
        from testbed.commands.screen.radiating import agree_to_radiate

        agree_to_radiate(asked, yes=yes)
    from testbed.bench.doctor_report import examine, save, show
    from testbed.commands.screen.native_lines import native_lines_above

    progress = console(stderr=True)
    with native_lines_above(progress):
        findings = examine(asked, progress)
    if json:
        typer.echo(msgspec.json.format(msgspec.json.encode(findings)).decode())
    else:
        show(findings, console())
    if out is not None:
        for path in save(findings, out):
            typer.echo(f"wrote {path}", err=True)
    if findings.problems:
        raise typer.Exit(1)
