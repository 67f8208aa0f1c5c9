"""`testbed plan`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from testbed.commands.app import app
from testbed.commands.options import ExperimentOption, RigOption, SetOption, configured, decibels
from testbed.commands.screen.terminal import console


@app.command()
def plan(
    rig: RigOption = None,
    experiment: ExperimentOption = None,
    overrides: SetOption = None,
    snr_db: Annotated[
        str | None,
        typer.Option("--snr-db", metavar="DB,DB,…", help="Compare at these symbol SNRs (P·E|h|²/N0')."),
    ] = None,
    png: Annotated[Path, typer.Option(help="Where the picture goes.")] = Path("plan.png"),
) -> None:
    """Preview power, noise and leak of every schedule on a simulated rig, without running anything.

    Shows the experiment's own schedule by round, SNR* below which privacy is free, and how far each schedule is from
    the optimum; warns where the schedules cannot be told apart. Examples:

        testbed plan --set schedule.name=online --set rounds.num=8000 --set schedule.contraction=0.998

        testbed plan --set schedule.name=static --snr-db=-40,-30,-20,-10 --png static.png
    """
    snrs_db = decibels(snr_db)
    config = configured(rig, experiment, overrides)
    from testbed.planning.plan_report import show_plan

    show_plan(config, console(), snrs_db=snrs_db, png=png)
