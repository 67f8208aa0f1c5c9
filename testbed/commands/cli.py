"""The command line: parses, calls, prints. Results on stdout, progress and logs on stderr.

Exit codes: 0 done, 1 expected failure (one line), 2 usage, 130 interrupted.
"""

from __future__ import annotations

import logging
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Annotated, Any

import typer

INTERRUPTED = 130
DEFAULT_CONTROL = "tcp://127.0.0.1:5555"
DEFAULT_AIR = "tcp://127.0.0.1:5556"
AFTER_THIS_ROUND = "stopping after this round; once more to stop at once"

app = typer.Typer(
    name="testbed",
    help="Fine-tune language models over the air: zeroth-order scalars, analog symbols, one over-the-air sum a round.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
)

RigOption = Annotated[str | None, typer.Option("--rig", "-r", help="Rig: a name in hardware_configs/, or a TOML file.")]
ExperimentOption = Annotated[str | None, typer.Option("--experiment", "-e", help="Experiment: a name, or a TOML file.")]
SetOption = Annotated[
    list[str] | None,
    typer.Option("--set", "-s", metavar="SECTION.KEY=VALUE", help="Override one key of either; repeatable."),
]
OutOption = Annotated[Path | None, typer.Option("--out", "-o", help="Run directory (default: runs/<time>-<name>).")]
ResumeOption = Annotated[
    Path | None, typer.Option("--resume", help="Continue the run in this directory from its journal.")
]
DirArgument = Annotated[Path, typer.Argument(metavar="RUN_DIR", help="A run directory.")]


@app.callback()
def _logging(
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Log to stderr.")] = False,
) -> None:
    logging.basicConfig(
        level=logging.INFO if verbose else logging.ERROR,
        format="%(asctime)s %(levelname)s %(name)s: %(message)s",
        stream=sys.stderr,
    )


@app.command()
def run(
    rig: RigOption = None,
    experiment: ExperimentOption = None,
    out: OutOption = None,
    overrides: SetOption = None,
    resume: ResumeOption = None,
) -> None:
    """Run a whole experiment in one process; without arguments the quickstart on the loopback rig.

    Examples:

        testbed run

        testbed run --set scheme.name=ideal --set seed=2 --out runs/ideal

        testbed run --set task.path=../shared/data/sst2

        testbed run --resume runs/20261121-120000-quickstart
    """
    from testbed.bench.rig import resolve
    from testbed.config.files import load

    _refuse_both(resume, rig, experiment, overrides, out)
    config = resolve(load(rig, experiment, overrides or []))
    from testbed.commands.display import (  # torch is imported only once the configuration is fine
        RunDisplay,
        print_outcome,
    )
    from testbed.rounds.processes import run_in_one_process

    with _interruptible() as should_stop, RunDisplay() as display:
        outcome = run_in_one_process(config, out=out, resume=resume, progress=display, should_stop=should_stop)
    print_outcome(outcome)
    _exit_if_interrupted(outcome.summary.stopped)


@app.command("access-point")
def access_point(
    rig: RigOption = None,
    experiment: ExperimentOption = None,
    out: OutOption = None,
    overrides: SetOption = None,
    resume: ResumeOption = None,
    bind: Annotated[str, typer.Option(help="Address that devices connect to.")] = DEFAULT_CONTROL,
    air: Annotated[str, typer.Option(help="Address of the simulated air.")] = DEFAULT_AIR,
) -> None:
    """Be the access point of an experiment whose devices are other processes.

    Start `testbed air` and `testbed device` beside it, in any order. Example, three shells:

        testbed air

        testbed access-point --out runs/three-processes

        testbed device --devices 0-4
    """
    from testbed.bench.rig import resolve
    from testbed.config.files import load

    _refuse_both(resume, rig, experiment, overrides, out)
    config = resolve(load(rig, experiment, overrides or []))
    from testbed.commands.display import RunDisplay, print_outcome
    from testbed.rounds.processes import serve_access_point

    with _interruptible() as should_stop, RunDisplay() as display:
        outcome = serve_access_point(
            config,
            bind=bind,
            air_address=air,
            out=out,
            resume=resume,
            progress=display,
            should_stop=should_stop,
            on_listening=lambda address: typer.echo(f"access point at {address}", err=True),
        )
    print_outcome(outcome)
    _exit_if_interrupted(outcome.summary.stopped)


@app.command()
def device(
    devices: Annotated[str, typer.Option(help="Devices that this host serves: 0-4, or 0,2,3.")],
    connect: Annotated[str, typer.Option(help="Address of the access point.")] = DEFAULT_CONTROL,
    air: Annotated[
        str | None, typer.Option(help="Address of the simulated air (default: what the access point says).")
    ] = None,
    overrides: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            "-s",
            metavar="SECTION.KEY=VALUE",
            help="What is different on this host, for example task.path.",
        ),
    ] = None,
    save: Annotated[Path | None, typer.Option(help="Write this host's final weights here (safetensors).")] = None,
    timeout_s: Annotated[
        float, typer.Option(min=1, help="Give up when the access point is silent for so long.")
    ] = 60.0,
) -> None:
    """Be a learner host: one copy of the model that computes for several devices.

    Examples:

        testbed device --devices 0-4

        testbed device --devices 0,1 --connect tcp://127.0.0.1:5555 --set model.device=cuda
    """
    from testbed.rounds.processes import serve_devices

    numbers = _device_numbers(devices)
    with _interruptible() as should_stop:
        reason = serve_devices(
            numbers,
            connect=connect,
            air_address=air,
            overrides=overrides or [],
            save=save,
            timeout_s=timeout_s,
            should_stop=should_stop,
        )
    typer.echo(f"devices {devices}: {reason}")
    _exit_if_interrupted(reason)


@app.command()
def air(
    bind: Annotated[
        str | None, typer.Option(help=f"Address that the access point and the devices connect to [{DEFAULT_AIR}].")
    ] = None,
    rig: RigOption = None,
    overrides: SetOption = None,
) -> None:
    """Serve a simulated air to an access point and devices in other processes, until interrupted.

    The access point configures it from its rig. With --rig: serve that rig's virtual PlutoSDRs to any libiio program
    instead; prints the URI of each, the access point last. Examples:

        testbed air --bind tcp://127.0.0.1:5556

        testbed air --rig virtual_plutos --set virtual.pacing=real_time
    """
    if rig is not None:
        if bind is not None:
            raise typer.BadParameter("virtual Plutos listen where virtual.host says", param_hint="--bind")
        from testbed.bench.virtual_bench import serve_virtual_plutos
        from testbed.config.files import load

        config = load(rig, None, overrides or []).rig
        with _interruptible("stopping") as should_stop:
            serve_virtual_plutos(config, should_stop, on_ready=typer.echo)
        return
    if overrides:
        raise typer.BadParameter("allowed with --rig only", param_hint="--set")
    from testbed.control.air_service import air_codec, serve_air
    from testbed.control.transport import Server, new_context

    with _interruptible("stopping") as should_stop, Server(new_context(), air_codec(), bind or DEFAULT_AIR) as server:
        typer.echo(f"air at {server.address}")
        sys.stdout.flush()
        serve_air(server, should_stop)


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
    from testbed.bench.rig import resolve
    from testbed.config.files import load
    from testbed.planning.plan_report import show_plan

    show_plan(resolve(load(rig, experiment, overrides or [])), snrs_db=_numbers(snr_db), png=png)


@app.command()
def audit(
    run_dir: DirArgument,
    rounds: Annotated[int | None, typer.Option(min=1, help="Attack only so many rounds, to be quicker.")] = None,
    confidence: Annotated[float, typer.Option(min=0.5, max=0.999999, help="Of the lower bound.")] = 0.999,
) -> None:
    """Attack what a simulated run's access point received, and set the proven lower bound on epsilon beside the claim.

    Exit code 1 if the claim is refuted. Example:

        testbed audit runs/20261121-120000-private
    """
    from testbed.audit.audit import audit_run

    found = audit_run(run_dir, max_rounds=rounds, confidence=confidence)
    typer.echo(found.text)
    if found.refuted:
        raise typer.Exit(1)


@app.command()
def doctor(
    rig: RigOption = None,
    overrides: SetOption = None,
    json: Annotated[bool, typer.Option("--json", help="Print everything as JSON.")] = False,
) -> None:
    """Say what is installed and connected, what works, and which schemes a rig supports and why.

    Sends test signals 10 dB below the rig's transmit gain. Exit code 1 if something needed failed. Examples:

        testbed doctor

        testbed doctor --rig hardware_configs/pluto_bench_5.toml

        testbed doctor --rig virtual_plutos --json
    """
    import msgspec

    from testbed.bench.doctor_report import examine, show
    from testbed.config.files import load

    if overrides and rig is None:
        raise typer.BadParameter("allowed with --rig only", param_hint="--set")
    findings = examine(load(rig, None, overrides or []).rig if rig is not None else None)
    if json:
        typer.echo(msgspec.json.format(msgspec.json.encode(findings)).decode())
    else:
        show(findings)
    if findings.problems:
        raise typer.Exit(1)


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


def main(arguments: Sequence[str] | None = None) -> None:
    """Entry point: turns expected failures into one line and an exit code; always ends with SystemExit."""
    from testbed.commands.output import written_output

    try:
        with written_output():
            app(args=arguments, standalone_mode=True)
    except KeyboardInterrupt:
        typer.echo("interrupted", err=True)
        sys.exit(INTERRUPTED)
    except Exception as err:
        if not _is_expected(err):
            raise
        typer.echo(f"error: {err}", err=True)
        sys.exit(1)


def _is_expected(err: Exception) -> bool:
    from testbed.failures import EXPECTED

    return isinstance(err, EXPECTED)


@contextmanager
def _interruptible(notice: str = AFTER_THIS_ROUND) -> Iterator[Callable[[], bool]]:
    """The first Ctrl-C (or SIGTERM) asks to stop after the current round, the second one stops at once."""
    requests: list[int] = []

    def ask(number: int, _: FrameType | None) -> None:
        requests.append(number)
        if len(requests) > 1:
            raise KeyboardInterrupt
        typer.echo(f"\n{notice}", err=True)

    previous: dict[int, Any] = {number: signal.signal(number, ask) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield lambda: bool(requests)
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


def _refuse_both(resume: Path | None, *others: object) -> None:
    if resume is not None and any(others):
        raise typer.BadParameter(
            "a resumed run keeps its own configuration and directory; leave out --rig, --experiment, --set and --out",
            param_hint="--resume",
        )


def _device_numbers(text: str) -> list[int]:
    numbers: set[int] = set()
    for part in text.split(","):
        first, dash, last = part.strip().partition("-")
        if not first.isdigit() or (dash and not last.isdigit()):
            raise typer.BadParameter(
                f"got {text!r}, expected numbers and ranges such as 0-4 or 0,2,3", param_hint="--devices"
            )
        numbers.update(range(int(first), int(last or first) + 1))
    if not numbers:
        raise typer.BadParameter(f"got {text!r}, an empty range", param_hint="--devices")
    return sorted(numbers)


def _numbers(text: str | None) -> list[float]:
    try:
        return [float(part) for part in text.split(",")] if text else []
    except ValueError as err:
        raise typer.BadParameter(f"got {text!r}, expected numbers such as -10,0,10", param_hint="--snr-db") from err


def _exit_if_interrupted(reason: str) -> None:
    if reason in ("interrupted", "stopped"):
        raise typer.Exit(INTERRUPTED)
