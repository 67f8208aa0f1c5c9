"""`testbed replay` and `testbed report`: what can be made of a run directory."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from testbed.commands.app import app
from testbed.commands.options import DirArgument


@app.command()
def replay(
    run_dir: DirArgument,
    rounds: Annotated[
        int | None, typer.Option(min=0, help="Stop after so many rounds: the checkpoint of any round.")
    ] = None,
    save: Annotated[
        Path | None, typer.Option(help="Write the model here, as a Hugging Face directory with safetensors.")
    ] = None,
) -> None:
    """Rebuild a run's final weights from its initial weights and its journal, and compare them bit for bit.

    Examples:

        testbed replay runs/20261121-120000-quickstart

        testbed replay runs/20261121-120000-quickstart --rounds 200 --save models/after-200

        testbed run --set model.path=models/after-200
    """
    from testbed.rounds.replay import replay_run

    typer.echo(replay_run(run_dir, num_rounds=rounds, save=save))


@app.command()
def report(run_dir: DirArgument) -> None:
    """Draw a run's plots and report.html again, also for a run that was cut off.

    Example:

        testbed report runs/20261121-120000-quickstart
    """
    from testbed.results.directory import RunDirectory
    from testbed.results.report import write_report

    typer.echo(write_report(RunDirectory.open(run_dir)))
