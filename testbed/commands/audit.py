"""`testbed audit`: what an attacker can prove against the claim of a run, or of an experiment in the laboratory."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from testbed.commands.app import app
from testbed.commands.options import ExperimentOption, RigOption, SetOption, configured

if TYPE_CHECKING:
    from testbed.config.schema import RunConfig


@app.command()
def audit(
    run_dir: Annotated[Path | None, typer.Argument(metavar="[RUN_DIR]", help="A run directory.")] = None,
    rounds: Annotated[int | None, typer.Option(min=1, help="Attack only so many rounds, to be quicker.")] = None,
    confidence: Annotated[
        float, typer.Option(min=0.5, max=0.999999, help="That a sound claim is not refuted; of all bounds.")
    ] = 0.999,
    lab: Annotated[
        bool, typer.Option("--lab", help="No run: many releases of the bare mechanism, or many runs.")
    ] = False,
    releases: Annotated[int, typer.Option(min=10, help="With --lab: of the bare mechanism.")] = 10_000,
    runs: Annotated[int, typer.Option(min=1, help="With --lab and an experiment: how many short runs.")] = 20,
    rig: RigOption = None,
    experiment: ExperimentOption = None,
    overrides: SetOption = None,
) -> None:
    """Attack everything that a simulated run radiated, and set what is proven beside the claim.

    Exit code 1 if the claim is refuted. With --lab the same for many releases, which prove more than one run can.

    Examples:

        testbed audit runs/20261121-120000-private

        testbed audit --lab

        testbed audit --lab --runs 20 --set schedule.name=static --set ground_truth=false --set rounds.num=20
    """
    asked = bool(rig or experiment or overrides)
    if lab and run_dir is not None:
        raise typer.BadParameter("the laboratory plays its own runs; leave out RUN_DIR, or --lab", param_hint="--lab")
    if not lab and run_dir is None:
        raise typer.BadParameter("got none; name a run directory, or ask for --lab", param_hint="RUN_DIR")
    if not lab and asked:
        raise typer.BadParameter(
            "a run keeps its own configuration; leave out --rig, --experiment and --set, or ask for --lab",
            param_hint="RUN_DIR",
        )
    refuted = False
    if run_dir is not None:
        from testbed.audit.audit import audit_run

        found = audit_run(run_dir, max_rounds=rounds, confidence=confidence)
        typer.echo(found.text)
        refuted = bool(found.refutations)
    elif asked:
        refuted = _many(configured(rig, experiment, overrides), runs, confidence)
    else:
        refuted = _bare(releases, confidence)
    if refuted:
        raise typer.Exit(1)


def _bare(num_releases: int, confidence: float) -> bool:
    from testbed.audit.lab import DELTA, bare_mechanism

    found = bare_mechanism(num_releases=num_releases, failure=1 - confidence)
    refuted = any(each.tightness > 1 for each in found)
    typer.echo(
        f"{'REFUTED' if refuted else 'NOT REFUTED'}: the bare Gaussian mechanism, {num_releases} releases, delta "
        f"{DELTA:g}, confidence {confidence:g} in all four bounds together"
    )
    for each in found:
        typer.echo(
            f"claimed epsilon {each.claimed_epsilon:g}: at least {each.proven_epsilon:.3g} by the trade-off of mu-GDP "
            f"({each.tightness:.3f} of it), {each.any_epsilon:.3g} for any mechanism"
        )
    typer.echo(f"audit_tightness: {min(each.tightness for each in found):.3f}")
    return refuted


def _many(config: RunConfig, num_runs: int, confidence: float) -> bool:
    from testbed.audit.lab import play_many

    found = play_many(config, num_runs=num_runs, failure=1 - confidence)
    for reason in found.refutations:
        typer.echo(f"REFUTED: {reason}")
    if not found.refutations:
        typer.echo(f"NOT REFUTED: {num_runs} runs, at {confidence:g} confidence in all tests together")
    typer.echo(f"claim: {found.verdicts[0].statement}")
    if found.proven_epsilon is not None:
        typer.echo(
            f"proven by the noise of {found.num_releases} values (Gaussian noise assumed): epsilon is at "
            f"least {found.proven_epsilon:.3g}; claimed {found.claimed_epsilon:.3g}"
        )
    return bool(found.refutations)
