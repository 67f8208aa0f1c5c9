"""The three ways to take part in a run: all in one process, as the access point, or as a learner host."""

from __future__ import annotations

import logging
import threading
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from learner.zo.replica import Replica
from radio.air.medium import Medium
from testbed.config.hosts import check_host_overrides, host_override
from testbed.config.schema import Rig, RunConfig
from testbed.control import keys
from testbed.control import messages as m
from testbed.control.air_wire import MAX_AIR_BYTES, AirWire, air_codec, air_setup, make_air
from testbed.control.doorman import Guard
from testbed.control.keys import Credentials
from testbed.control.remote_air import RemoteAir
from testbed.control.transport import Client, Context, Server
from testbed.control.transport import context as zmq_context
from testbed.errors import FailedRunError, NothingUsedError, RunDirectoryError
from testbed.failures import EXPECTED, Watch
from testbed.hosts.device_host import LearnerHost
from testbed.hosts.local_work import load_model_and_task
from testbed.planning.checks import check_zeroth_order
from testbed.planning.terms import is_simulated
from testbed.results import files
from testbed.results.directory import RunDirectory
from testbed.results.records import Summary
from testbed.results.report import write_report
from testbed.results.words import INTERRUPTED
from testbed.rounds.loop import Progress, Quiet, conduct
from testbed.rounds.office import RunOffice
from testbed.rounds.resume import resume as resume_session
from testbed.rounds.session import Session, begin
from testbed.rounds.summary import nothing_used

log = logging.getLogger(__name__)
_HOST_EXIT_TIMEOUT_S = 20.0
_UNPROVEN = 64
"""Connections beside those of hosts that may be about to prove their keys at once."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What a run left behind."""

    directory: RunDirectory
    summary: Summary
    useless: str | None
    """Why nothing came of it; None if any round was used."""

    def check(self) -> None:
        """Raise NothingUsedError for a run that has changed nothing, but for one that the user stopped."""
        if self.useless is not None and self.summary.stopped != INTERRUPTED:
            raise NothingUsedError(f"{self.useless}; it ended: {self.summary.stopped}; look at {self.directory.report}")


def run_in_one_process(
    config: RunConfig,
    *,
    out: Path | None = None,
    resume: Path | None = None,
    progress: Progress | None = None,
    should_stop: Callable[[], bool] = lambda: False,
    on_directory: Callable[[Path], None] | None = None,
    reports: bool = True,
) -> Outcome:
    """Access point, one learner host with all devices, and the air, in threads that talk over ZeroMQ (inproc).

    With ``on_directory``, which is told the run directory, somebody watches: the last capture is kept in a file there.
    ``reports``: whether the report is drawn at the end, which takes longer than a short run.
    """
    check_zeroth_order(config)
    opened = resume_session(resume) if resume is not None else None
    config = opened.config if opened is not None else config
    loaded = load_model_and_task(config)
    session = opened or begin(config, out, loaded.replica)
    _shown(session, on_directory)
    if opened is not None:
        loaded.replica.load_weights(session.directory.initial_weights)
    setup = air_setup(config, session.info.run_id, clock_samples=session.clock_samples)
    air = make_air(setup) if is_simulated(config.rig) else None
    codec = m.control_codec()
    with (
        session.journal,
        zmq_context() as context,
        Server(context, codec, f"inproc://control-{uuid.uuid4().hex}") as server,
        Client(context, codec, server.address) as client,
        Watch() as watch,
    ):
        host = LearnerHost(
            client, range(config.rig.num_devices), lambda _: air, load=lambda _: loaded, host_name="this process"
        )
        with _in_a_thread(host):
            summary = conduct(
                session,
                server=server,
                office=RunOffice(session=session, is_one_process=True),
                medium=air,
                progress=progress or Quiet(),
                should_stop=should_stop,
                check=watch.check,
            )
    return _outcome(session, summary, reports=reports)


def _shown(session: Session, on_directory: Callable[[Path], None] | None) -> None:
    """Where somebody watches, let them see."""
    if on_directory is not None:
        session.show_captures()
        on_directory(session.directory.path)


@contextmanager
def _in_a_thread(host: LearnerHost) -> Iterator[None]:
    """Serve beside what is done meanwhile, and stop with it."""
    thread = threading.Thread(target=_host_thread, args=(host,), name="learner-host", daemon=True)
    thread.start()
    try:
        yield
    finally:
        host.stop()
        thread.join(_HOST_EXIT_TIMEOUT_S)


def _host_thread(host: LearnerHost) -> None:
    """Run a host that tells the access point of its failures; what it cannot tell ends the thread, which is watched."""
    try:
        host.run()
    except EXPECTED as err:
        log.info("learner host: %s", err)


def _outcome(session: Session, summary: Summary, *, reports: bool = True) -> Outcome:
    if reports and summary.stopped != INTERRUPTED:  # who pressed Ctrl-C does not wait for pictures
        write_report(session.directory)
    if not session.directory.summary.exists():
        raise RunDirectoryError(
            f"{session.directory.path}: was removed or moved while the report was written; put it back, and write that "
            "with `testbed report`"
        )
    return Outcome(directory=session.directory, summary=summary, useless=nothing_used(session.records))


def serve_access_point(
    config: RunConfig,
    *,
    bind: str,
    air_address: str,
    out: Path | None = None,
    resume: Path | None = None,
    progress: Progress | None = None,
    should_stop: Callable[[], bool] = lambda: False,
    on_listening: Callable[[str], None] = lambda _: None,
    on_no_air: Callable[[str], None] = lambda _: None,
    on_directory: Callable[[Path], None] | None = None,
) -> Outcome:
    """The access point of a run whose hosts and air are other processes; says where it listens, and, about once a
    second, where no air has answered yet. ``on_directory`` as in `run_in_one_process`."""
    check_zeroth_order(config)
    pair = keys.server_pair(bind)
    local_key = keys.local_pair().public if pair is not None else ""
    known = {local_key}
    guard = Guard(pair, known.__contains__, max_unproven=_UNPROVEN + config.rig.num_devices) if pair else None
    with (
        Watch() as watch,
        zmq_context() as context,
        Server(context, m.control_codec(), bind, guard=guard) as server,
        ExitStack() as stack,
    ):
        session = resume_session(resume) if resume is not None else begin(config, out, _untouched(config))
        stack.enter_context(session.journal)
        _shown(session, on_directory)
        rig = session.config.rig
        known.update(host.key for host in rig.hosts.values())
        air: RemoteAir | None = None
        if is_simulated(rig):
            air_client = stack.enter_context(_air_client(context, air_address, keys.credentials(air_address)))
            setup = air_setup(session.config, session.info.run_id, clock_samples=session.clock_samples)
            air = RemoteAir(air_client, setup, should_stop=should_stop)
        on_listening(server.address)
        if air is not None and not air.set_up(rig.control.join_timeout_s, waiting=lambda: on_no_air(air_address)):
            raise KeyboardInterrupt
        summary = conduct(
            session,
            server=server,
            office=RunOffice(
                session=session,
                air_address=air_address,
                serves=lambda key: keys.may_serve(rig, key, local_key=local_key),
            ),
            medium=air,
            progress=progress or Quiet(),
            should_stop=should_stop,
            check=watch.check,
        )
    return _outcome(session, summary)


def _air_client(context: Context, address: str, credentials: Credentials | None) -> Client[AirWire]:
    return Client(context, air_codec(), address, credentials=credentials, max_bytes=MAX_AIR_BYTES)


def _untouched(config: RunConfig) -> Replica:
    """The model that a run starts from."""
    experiment = config.experiment
    return Replica.load(experiment.model, num_threads=experiment.learner.num_threads)


def serve_devices(
    devices: Sequence[int],
    *,
    connect: str,
    host_key: str | None = None,
    air_address: str | None = None,
    overrides: Sequence[str] = (),
    save: Path | None = None,
    timeout_s: float = 60.0,
    should_stop: Callable[[], bool] = lambda: False,
    before_radios: Callable[[Rig], None] = lambda _: None,
) -> str:
    """A learner host in a process of its own; returns why the run ended. ``save`` gets the live weights;
    ``host_key`` names one of several pairs of keys that this machine has.

    ``before_radios`` is shown the rig once the access point has said which, and may refuse it with a ConfigError.
    ``overrides`` may be of what is this host's to say; raises ConfigError for others before anything is reached.
    """
    check_host_overrides(overrides)
    credentials = keys.credentials(connect, host_key)
    with Watch() as watch, zmq_context() as context, ExitStack() as stack:
        client = stack.enter_context(Client(context, m.control_codec(), connect, credentials=credentials))

        def medium_for(welcome: m.Welcome) -> Medium | None:
            if not is_simulated(welcome.config.rig):
                return None
            address = air_address or welcome.air_address
            air_client = stack.enter_context(_air_client(context, address, keys.credentials(address, host_key)))
            return RemoteAir(air_client, air_setup(welcome.config, welcome.run_id), should_stop=should_stop)

        def localise(config: RunConfig) -> RunConfig:
            here = host_override(config, overrides)
            before_radios(here.rig)
            return here

        host = LearnerHost(
            client,
            devices,
            medium_for,
            localise=localise,
            timeout_s=timeout_s,
            should_stop=should_stop,
            check=watch.check,
        )
        ended = host.run()
        if save is not None and host.has_model():
            files.write_with(save, host.save_weights, remedy="choose another place with --save")
    if ended.failed:
        raise FailedRunError(f"devices {', '.join(map(str, devices))}: {ended.reason}")
    return ended.reason
