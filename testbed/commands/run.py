"""`testbed run`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import typer

from testbed.commands.app import app
from testbed.commands.options import (
    DashboardOption,
    ExperimentOption,
    OutOption,
    ResumeOption,
    RigOption,
    SetOption,
    YesOption,
    config_of,
    configured,
    refuse_both,
)
from testbed.commands.screen.beside import Dashboard
from testbed.commands.screen.radiating import agree_to_radiate
from testbed.commands.screen.terminal import exit_if_interrupted, interruptible
from testbed.jcpba.place import is_comparison

if TYPE_CHECKING:
    from testbed.config.schema import RunConfig


@app.command()
def run(
    rig: RigOption = None,
    experiment: ExperimentOption = None,
    out: OutOption = None,
    overrides: SetOption = None,
    resume: ResumeOption = None,
    yes: YesOption = False,
    dashboard: DashboardOption = False,
) -> None:
    """Run a whole experiment in one process; without arguments the quickstart on the loopback rig.

    Examples:

        testbed run

        testbed run --set scheme.name=ideal --set seed=2 --out runs/ideal

        testbed run --set task.path=../shared/data/sst2

        testbed run --dashboard

        testbed run --rig cell_of_ten --experiment jcpba

        testbed run --resume runs/20261121-120000-quickstart
    """
    refuse_both(resume, rig, experiment, overrides, out)
    config = configured(rig, experiment, overrides)
    if config.experiment.method == "jcpba" or (resume is not None and is_comparison(resume)):
        if dashboard:
            raise typer.BadParameter(
                "--dashboard shows one run's rounds, and this experiment compares several methods; leave it out"
            )
        _compare(config, out, resume)
        return
    agree_to_radiate(config_of(resume, config).rig, yes=yes)
    from testbed.commands.screen.display import (  # torch is imported only once the configuration is fine
        RunDisplay,
        print_outcome,
    )
    from testbed.rounds.processes import run_in_one_process

    with Dashboard() as page, interruptible() as should_stop, RunDisplay(waits=False) as display:
        outcome = run_in_one_process(
            config,
            out=out,
            resume=resume,
            progress=display,
            should_stop=should_stop,
            on_directory=page.show if dashboard else None,
        )
    print_outcome(outcome)
    exit_if_interrupted(outcome.summary.stopped)
    outcome.check()


def _compare(config: RunConfig, out: Path | None, resume: Path | None) -> None:
    from testbed.commands.screen.comparing import ComparisonDisplay, print_compared
    from testbed.jcpba.comparison import run_comparison

    with interruptible() as should_stop, ComparisonDisplay() as display:
        compared = run_comparison(config, out=out, resume=resume, progress=display, should_stop=should_stop)
    print_compared(compared)
    exit_if_interrupted(compared.comparison.stopped)
