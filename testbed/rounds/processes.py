"""The three ways to take part in a run: all in one process, as the access point, or as a learner host."""

from __future__ import annotations

import logging
import threading
import uuid
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from learner.zo.replica import Replica
from radio.air.medium import Medium
from testbed.config.files import override
from testbed.config.schema import RunConfig
from testbed.control import messages as m
from testbed.control.air_service import AirWire, RemoteAir, air_codec, air_setup, make_air
from testbed.control.transport import Client, Server, new_context
from testbed.plan.terms import is_simulated
from testbed.results.directory import RunDirectory
from testbed.results.records import Summary
from testbed.rounds import session as s
from testbed.rounds.device_host import LearnerHost
from testbed.rounds.local_work import load_model_and_task

log = logging.getLogger(__name__)
_HOST_EXIT_TIMEOUT_S = 20.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What a run left behind."""

    directory: RunDirectory
    summary: Summary


def run_in_one_process(
    config: RunConfig,
    *,
    out: Path | None = None,
    resume: Path | None = None,
    progress: s.Progress | None = None,
    should_stop: Callable[[], bool] = lambda: False,
) -> Outcome:
    """Access point, one learner host with all devices, and the air, in threads that talk over ZeroMQ (inproc)."""
    opened = s.resume(resume) if resume is not None else None
    config = opened.config if opened is not None else config
    loaded = load_model_and_task(config)
    session = opened or s.begin(config, out, loaded.replica)
    if opened is not None:
        loaded.replica.load_weights(session.directory.initial_weights)
    air = make_air(air_setup(config, session.info.run_id)) if is_simulated(config.rig) else None
    context = new_context()
    codec = m.control_codec()
    with (
        session.journal,
        Server(context, codec, f"inproc://control-{uuid.uuid4().hex}") as server,
        Client(context, codec, server.address) as client,
    ):
        host = LearnerHost(
            client, range(config.rig.num_devices), lambda _: air, load=lambda _: loaded, host_name="this process"
        )
        thread = threading.Thread(target=_host_thread, args=(host,), name="learner-host", daemon=True)
        thread.start()
        try:
            summary = s.conduct(
                session,
                server=server,
                medium=air,
                air_address="",
                progress=progress or s.Quiet(),
                should_stop=should_stop,
            )
        finally:
            host.stop()
            thread.join(_HOST_EXIT_TIMEOUT_S)
    context.term()
    return Outcome(directory=session.directory, summary=summary)


def _host_thread(host: LearnerHost) -> None:
    """Run a host whose failures the access point reports."""
    try:
        host.run()
    except Exception:
        log.debug("learner host ended", exc_info=True)


def serve_access_point(
    config: RunConfig,
    *,
    bind: str,
    air_address: str,
    out: Path | None = None,
    resume: Path | None = None,
    progress: s.Progress | None = None,
    should_stop: Callable[[], bool] = lambda: False,
    on_listening: Callable[[str], None] = lambda _: None,
) -> Outcome:
    """The access point of a run whose hosts and air are other processes."""
    context = new_context()
    with Server(context, m.control_codec(), bind) as server, ExitStack() as stack:
        opened = s.resume(resume) if resume is not None else None
        if opened is not None:
            session = opened
        else:
            learner = config.experiment.learner
            session = s.begin(config, out, Replica.load(config.experiment.model, num_threads=learner.num_threads))
        with session.journal:
            air: RemoteAir | None = None
            if is_simulated(session.config.rig):
                air_client = stack.enter_context(Client(context, air_codec(), air_address))
                air = RemoteAir(air_client, air_setup(session.config, session.info.run_id))
                air.set_up()
            on_listening(server.address)
            summary = s.conduct(
                session,
                server=server,
                medium=air,
                air_address=air_address,
                progress=progress or s.Quiet(),
                should_stop=should_stop,
            )
    context.term()
    return Outcome(directory=session.directory, summary=summary)


def serve_devices(
    devices: Sequence[int],
    *,
    connect: str,
    air_address: str | None = None,
    overrides: Sequence[str] = (),
    save: Path | None = None,
    timeout_s: float = 60.0,
    should_stop: Callable[[], bool] = lambda: False,
) -> str:
    """A learner host in a process of its own; returns why the run ended. ``save`` gets the live weights."""
    context = new_context()
    air_clients: list[Client[AirWire]] = []

    def medium_for(welcome: m.Welcome) -> Medium | None:
        if not is_simulated(welcome.config.rig):
            return None
        client = Client(context, air_codec(), air_address or welcome.air_address)
        air_clients.append(client)
        return RemoteAir(client, air_setup(welcome.config, welcome.run_id))

    try:
        with Client(context, m.control_codec(), connect) as client:
            host = LearnerHost(
                client,
                devices,
                medium_for,
                load=lambda config: load_model_and_task(override(config, overrides)),
                localise=lambda config: override(config, overrides),
                timeout_s=timeout_s,
                should_stop=should_stop,
            )
            reason = host.run()
            if save is not None and host.has_model:
                host.save_weights(save)
    finally:
        for air_client in air_clients:
            air_client.close()
    context.term()
    return reason
