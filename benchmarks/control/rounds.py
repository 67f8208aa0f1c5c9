"""Real rounds over TCP between the real access point and real hosts whose learner costs nothing.

Access point, hosts and a symbol-level air are threads of one process, so that all hosts share what one interpreter can
do. What they compute with their radios and scalars is measured as processor time, and added up: a round takes that, the
access point's radio, the disk, and the rest is the control plane, on both of its ends.
"""

from __future__ import annotations

import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import zmq

from benchmarks.control import learner
from testbed.bench.rig import resolve
from testbed.config.files import load
from testbed.config.schema import RunConfig
from testbed.control import messages as m
from testbed.control.air_wire import air_setup, make_air
from testbed.control.doorman import Guard
from testbed.control.keys import Credentials, KeyPair
from testbed.control.transport import Client, Server, new_context
from testbed.hosts import device_host
from testbed.hosts.device_host import LearnerHost
from testbed.hosts.transmissions import Transmissions
from testbed.results import files
from testbed.results.records import RoundRecord
from testbed.rounds.loop import Quiet, conduct
from testbed.rounds.office import RunOffice
from testbed.rounds.session import Session, begin

SETTINGS = (
    "scheme.name=coherent",
    "scheme.air_level=symbol",
    "ground_truth=false",
    "rounds.eval_every=1000000",
    "learner.fingerprint_every=1000000",
    "results.max_capture_mib=0",
)


class TimedDisk(files.System):
    """Counts how long it waits for the disk."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def sync(self, descriptor: int) -> None:
        """As the system's."""
        started = time.perf_counter()
        super().sync(descriptor)
        self.seconds += time.perf_counter() - started


class HostWork:
    """Processor seconds that hosts spend with radios and scalars, all of them together."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.seconds = 0.0

    @contextmanager
    def measured(self) -> Iterator[None]:
        """While it is entered, what the hosts of this process compute is counted."""
        with ExitStack() as stack:
            for owner, name in (
                (Transmissions, "polled"),
                (Transmissions, "ready"),
                (Transmissions, "silence"),
                (device_host, "prepare"),
            ):
                stack.enter_context(self._counted(owner, name))
            yield

    @contextmanager
    def _counted(self, owner: Any, name: str) -> Iterator[None]:
        original = getattr(owner, name)

        def counted(*arguments: Any, **more: Any) -> Any:
            started = time.thread_time()
            made = original(*arguments, **more)
            if isinstance(made, m.Transmitting | m.Ready):
                made = msgspec.structs.replace(made, radio_s=0.0)  # else the round would count it as radio time, too
            with self._lock:
                self.seconds += time.thread_time() - started
            return made

        setattr(owner, name, counted)
        try:
            yield
        finally:
            setattr(owner, name, original)


@dataclass
class Watcher(Quiet):
    """Keeps each round, how long it waited for the disk, and what its hosts computed."""

    disk: TimedDisk
    work: HostWork
    records: list[RoundRecord] = field(default_factory=list)
    fsync_s: list[float] = field(default_factory=list)
    work_s: list[float] = field(default_factory=list)
    _before: tuple[float, float] = (0.0, 0.0)

    def round_done(self, record: RoundRecord) -> None:
        """One more."""
        self.records.append(record)
        self.fsync_s.append(self.disk.seconds - self._before[0])
        self.work_s.append(self.work.seconds - self._before[1])
        self._before = self.disk.seconds, self.work.seconds

    def control_s(self, *, skip: int) -> list[float]:
        """Of each round but the first few: what neither radios, scalars nor the disk took."""
        found = zip(self.records[skip:], self.fsync_s[skip:], self.work_s[skip:], strict=True)
        return [record.wall_s - record.radio_s - fsync_s - work_s for record, fsync_s, work_s in found]


class CountingServer(Server[m.ControlMessage]):
    """Counts the bytes of every message, by type."""

    sent: Counter[str]
    num_sent: Counter[str]

    def send(self, route: bytes, message: m.ControlMessage) -> bool:
        """As the server's."""
        self._count(message, 1)
        return super().send(route, message)

    def send_all(self, routes: Any, message: m.ControlMessage) -> list[bytes]:
        """As the server's."""
        routes = list(routes)
        self._count(message, len(routes))
        return super().send_all(routes, message)

    def receive(self, timeout_s: float) -> Any:
        """As the server's."""
        received = super().receive(timeout_s)
        if received is not None:
            self._count(received[1], 1)
        return received

    def _count(self, message: m.ControlMessage, times: int) -> None:
        if not hasattr(self, "sent"):
            self.sent, self.num_sent = Counter(), Counter()
        name = type(message).__name__
        self.sent[name] += times * sum(map(len, self._codec.encode(message)))
        self.num_sent[name] += times


@dataclass(frozen=True, kw_only=True)
class Played:
    """What some rounds took."""

    watcher: Watcher
    bytes_of: dict[str, float]
    """Type → mean bytes of one message; empty unless they were counted."""
    bytes_per_device_round: float = 0.0


def configured(num_devices: int, num_rounds: int, *more: str) -> RunConfig:
    """K devices on the loopback rig."""
    return resolve(load("awgn", None, [*SETTINGS, f"num_devices={num_devices}", f"rounds.num={num_rounds}", *more]))


def play(
    *, num_devices: int, num_hosts: int, num_rounds: int, with_keys: bool = False, counting: bool = False
) -> Played:
    """Play rounds with so many hosts, each with as many devices."""
    config = configured(num_devices, num_rounds)
    disk = TimedDisk()
    watcher = Watcher(disk, HostWork())
    with ExitStack() as stack:
        stack.enter_context(watcher.work.measured())
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        stack.enter_context(_disk(disk))
        session = begin(config, folder / "run", learner.ChainReplica())  # type: ignore[arg-type]
        stack.enter_context(session.journal)
        air = make_air(air_setup(config, session.info.run_id))
        server, connect = _endpoints(stack, num_hosts, with_keys=with_keys, counting=counting)
        shares = [range(num_devices)[first::num_hosts] for first in range(num_hosts)]
        with _hosts(connect, shares, air):
            conduct(
                session,
                server=server,
                office=RunOffice(session=session),
                medium=air,
                progress=watcher,
                rebuild=_rebuilt,
            )
    in_rounds = {"SoundStart", "Prepared", "Poll", "Transmitting", "RoundStart", "Ready", "RoundResult"}
    sent = {k: v for k, v in getattr(server, "sent", {}).items() if k in in_rounds}
    return Played(
        watcher=watcher,
        bytes_of={name: total / server.num_sent[name] for name, total in sent.items()} if counting else {},
        bytes_per_device_round=sum(sent.values()) / num_devices / num_rounds,
    )


def _rebuilt(session: Session) -> Any:
    replica = learner.ChainReplica()
    replica.load_weights(session.directory.initial_weights)
    replica.replay((r.seed, r.coefficients) for r in session.results if r.coefficients)
    return replica


def _endpoints(stack: ExitStack, num_hosts: int, *, with_keys: bool, counting: bool) -> Any:
    """The server, and what makes a client."""
    context = new_context()
    context.set(zmq.MAX_SOCKETS, 4 * num_hosts + 64)
    stack.callback(context.term)
    kind = CountingServer if counting else Server
    guard = credentials = None
    if with_keys:
        ours, theirs = _pair(), _pair()
        guard = Guard(keys=ours, allows=lambda key: key == theirs.public)
        credentials = Credentials(theirs, ours.public)
    server = kind(context, m.control_codec(), "tcp://127.0.0.1:*", guard=guard)
    stack.enter_context(server)
    return server, lambda: Client(context, m.control_codec(), server.address, credentials=credentials)


@contextmanager
def _hosts(connect: Any, shares: Sequence[Sequence[int]], air: Any) -> Iterator[None]:
    """Hosts in threads, until what is done meanwhile is over."""

    def serve(devices: Sequence[int]) -> None:
        with connect() as client:
            host = LearnerHost(
                client,
                devices,
                lambda _: air,
                load=learner.load,
                prove=learner.prove,
                judge=learner.judge,
                timeout_s=600.0,
            )
            host.run()

    threads = [threading.Thread(target=serve, args=(devices,), daemon=True) for devices in shares]
    for thread in threads:
        thread.start()
    yield
    for thread in threads:
        thread.join(60)


@contextmanager
def _disk(disk: files.System) -> Iterator[None]:
    before, files.system = files.system, disk
    try:
        yield
    finally:
        files.system = before


def _pair() -> KeyPair:
    public, secret = zmq.curve_keypair()
    return KeyPair(public.decode(), secret.decode())
