"""`testbed access-point`, `testbed device` and `testbed air`: a run in several processes, on one host or more."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from testbed.commands.app import app
from testbed.commands.options import (
    DEFAULT_AIR,
    DEFAULT_CONTROL,
    DashboardOption,
    ExperimentOption,
    OutOption,
    ResumeOption,
    RigOption,
    SetOption,
    YesOption,
    config_of,
    configured,
    device_numbers,
    refuse_both,
)
from testbed.commands.screen.beside import Dashboard
from testbed.commands.screen.radiating import agree_to_radiate
from testbed.commands.screen.terminal import exit_if_interrupted, interruptible
from testbed.config.words import HOST_KEYS


@app.command("access-point")
def access_point(
    rig: RigOption = None,
    experiment: ExperimentOption = None,
    out: OutOption = None,
    overrides: SetOption = None,
    resume: ResumeOption = None,
    bind: Annotated[str, typer.Option(help="Address that devices connect to.")] = DEFAULT_CONTROL,
    air: Annotated[str, typer.Option(help="Address of the simulated air.")] = DEFAULT_AIR,
    yes: YesOption = False,
    dashboard: DashboardOption = False,
) -> None:
    """Be the access point of an experiment whose devices are other processes.

    Start `testbed air` and `testbed device` beside it, in any order. Example, three shells:

        testbed air

        testbed access-point --out runs/three-processes

        testbed device --devices 0-4
    """
    refuse_both(resume, rig, experiment, overrides, out)
    config = configured(rig, experiment, overrides)
    agree_to_radiate(config_of(resume, config).rig, yes=yes)
    from testbed.commands.screen.display import RunDisplay, print_outcome
    from testbed.rounds.processes import serve_access_point

    with Dashboard() as page, interruptible() as should_stop, RunDisplay() as display:
        outcome = serve_access_point(
            config,
            bind=bind,
            air_address=air,
            out=out,
            resume=resume,
            progress=display,
            should_stop=should_stop,
            on_no_air=display.waiting_for_air,
            on_listening=lambda address: typer.echo(f"access point at {address}", err=True),
            on_directory=page.show if dashboard else None,
        )
    print_outcome(outcome)
    exit_if_interrupted(outcome.summary.stopped)
    outcome.check()


@app.command()
def device(
    devices: Annotated[str, typer.Option(help="Devices that this host serves: 0-4, or 0,2,3.")],
    connect: Annotated[str, typer.Option(help="Address of the access point.")] = DEFAULT_CONTROL,
    host_key: Annotated[
        str | None,
        typer.Option("--as", metavar="NAME", help="Which of this machine's keys to use (`testbed keys device NAME`)."),
    ] = None,
    air: Annotated[
        str | None, typer.Option(help="Address of the simulated air (default: what the access point says).")
    ] = None,
    overrides: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            "-s",
            metavar="SECTION.KEY=VALUE",
            help=f"What is different on this host; allowed: {', '.join(HOST_KEYS)}, and those keys of a backend's own "
            "settings that say where its radios are. All else is set at the access point.",
        ),
    ] = None,
    save: Annotated[Path | None, typer.Option(help="Write this host's final weights here (safetensors).")] = None,
    timeout_s: Annotated[
        float, typer.Option(min=1, help="Give up when the access point is silent for so long.")
    ] = 60.0,
    yes: YesOption = False,
) -> None:
    """Be a learner host: one copy of the model that computes for several devices.

    Examples:

        testbed device --devices 0-4

        testbed device --devices 0,1 --connect tcp://127.0.0.1:5555 --set model.device=cuda
    """
    numbers = device_numbers(devices)
    from testbed.config.hosts import check_host_overrides

    check_host_overrides(overrides or [])  # before anything slow is imported
    from testbed.rounds.processes import serve_devices

    with interruptible() as should_stop:
        reason = serve_devices(
            numbers,
            connect=connect,
            host_key=host_key,
            air_address=air,
            overrides=overrides or [],
            save=save,
            timeout_s=timeout_s,
            should_stop=should_stop,
            before_radios=lambda rig: agree_to_radiate(rig, yes=yes),
        )
    typer.echo(f"devices {devices}: {reason}")
    exit_if_interrupted(reason)


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
        from testbed.config.files import load

        config = load(rig, None, overrides or []).rig
        from testbed.bench.virtual_bench import serve_virtual_plutos

        with interruptible("stopping") as should_stop:
            serve_virtual_plutos(config, should_stop, on_ready=typer.echo)
        return
    if overrides:
        raise typer.BadParameter("allowed with --rig only", param_hint="--set")
    from testbed.control import keys
    from testbed.control.air_service import serve_air
    from testbed.control.air_wire import MAX_AIR_BYTES, air_codec
    from testbed.control.doorman import Guard
    from testbed.control.transport import Server, context

    address = bind or DEFAULT_AIR
    pair = keys.server_pair(address)
    local_key = keys.local_pair().public if pair is not None else ""
    known = {local_key}
    guard = Guard(pair, known.__contains__) if pair is not None else None
    with (
        interruptible("stopping") as should_stop,
        context() as sockets,
        Server(sockets, air_codec(), address, guard=guard, max_bytes=MAX_AIR_BYTES) as server,
    ):
        typer.echo(f"air at {server.address}")
        sys.stdout.flush()
        serve_air(server, should_stop, local_key=local_key, known=known)
