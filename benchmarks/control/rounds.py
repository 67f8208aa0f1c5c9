"""Real rounds over TCP between the real access point and real hosts whose learner costs nothing.

Access point, hosts and a symbol-level air are threads of one process. A round takes what its radios take, the disk, and
the rest is the control plane, on both of its ends.
"""

from __future__ import annotations

import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

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

    def write(self, descriptor: int, data: bytes) -> int:
        """As the system's."""
        started = time.perf_counter()
        try:
            return super().write(descriptor, data)
        finally:
            self.seconds += time.perf_counter() - started

    def sync(self, descriptor: int) -> None:
        """As the system's."""
        started = time.perf_counter()
        super().sync(descriptor)
        self.seconds += time.perf_counter() - started


class LateRadios:
    """Hosts' radios do at the air's next capture what they were asked to do at once, in the access point's radio time.

    So the same samples are on the air, and while messages travel nothing but messages is computed: here all hosts
    share one interpreter, and what one computes would be time that the others' messages wait.
    """

    def __init__(self, air: Any) -> None:
        self._pending: list[Callable[[], object]] = []
        self._capture = air.capture
        air.capture = self._captured

    def _captured(self, station: int, num_samples: int) -> Any:
        pending, self._pending = self._pending, []
        for work in pending:
            work()
        return self._capture(station, num_samples)

    @contextmanager
    def entered(self) -> Iterator[None]:
        """While it is entered, hosts of this process answer before they work."""
        polled, ready, silence = Transmissions.polled, Transmissions.ready, Transmissions.silence
        later = self._pending_work

        def late_polled(radios: Any, poll: m.Poll, plan: m.RoundStart | None, local: Any) -> m.Transmitting:
            later(lambda: polled(radios, poll, plan, local))
            reports = tuple(m.Report(device=device) for device in poll.devices)
            return m.Transmitting(round=poll.round, attempt=poll.attempt, number=poll.number, reports=reports)

        def late_ready(radios: Any, start: m.RoundStart, local: Any) -> m.Ready:
            later(lambda: ready(radios, start, local))
            return m.Ready(round=start.round, attempt=start.attempt, ground_truth=None, losses=None)

        with ExitStack() as stack:
            stack.enter_context(_replaced(Transmissions, "polled", late_polled))
            stack.enter_context(_replaced(Transmissions, "ready", late_ready))
            stack.enter_context(_replaced(Transmissions, "silence", lambda radios: later(lambda: silence(radios))))
            stack.enter_context(_replaced(device_host, "prepare", learner.prepared))
            yield

    def _pending_work(self, work: Callable[[], object]) -> None:
        self._pending.append(work)


@contextmanager
def _replaced(owner: Any, name: str, other: Any) -> Iterator[None]:
    before = getattr(owner, name)
    setattr(owner, name, other)
    try:
        yield
    finally:
        setattr(owner, name, before)


@dataclass
class Watcher(Quiet):
    """Keeps each round, how long it waited for the disk, and what its hosts computed."""

    disk: TimedDisk
    address: str = ""
    """Where the access point listens."""
    records: list[RoundRecord] = field(default_factory=list)
    fsync_s: list[float] = field(default_factory=list)
    _before_s: float = 0.0

    def round_done(self, record: RoundRecord) -> None:
        """One more."""
        self.records.append(record)
        self.fsync_s.append(self.disk.seconds - self._before_s)
        self._before_s = self.disk.seconds

    def control_s(self, *, skip: int) -> list[float]:
        """Of each round but the first few: what neither radios nor the disk took; scalars cost nothing here."""
        found = zip(self.records[skip:], self.fsync_s[skip:], strict=True)
        return [record.wall_s - record.radio_s - fsync_s for record, fsync_s in found]


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
        self.sent[name] += times * len(self._codec.encode(message))
        self.num_sent[name] += times


@dataclass(frozen=True, kw_only=True)
class Played:
    """What some rounds took."""

    watcher: Watcher
    bytes_of: dict[str, float]
    """Type → mean bytes of one message; empty unless they were counted."""
    num_of: dict[str, int]
    """Type → how many there were in all rounds together."""
    bytes_per_device_round: float = 0.0


def configured(num_devices: int, num_rounds: int, *more: str) -> RunConfig:
    """K devices on the loopback rig."""
    return resolve(load("awgn", None, [*SETTINGS, f"num_devices={num_devices}", f"rounds.num={num_rounds}", *more]))


def play(
    *,
    num_devices: int,
    num_hosts: int,
    num_rounds: int,
    with_keys: bool = False,
    counting: bool = False,
    watched_by: type[Watcher] = Watcher,
) -> Played:
    """Play rounds with so many hosts, each with as many devices."""
    config = configured(num_devices, num_rounds)
    disk = TimedDisk()
    watcher = watched_by(disk)
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        stack.enter_context(_disk(disk))
        session = begin(config, folder / "run", learner.ChainReplica())  # type: ignore[arg-type]
        stack.enter_context(session.journal)
        air = make_air(air_setup(config, session.info.run_id))
        stack.enter_context(LateRadios(air).entered())
        server, connect = _endpoints(stack, num_hosts, with_keys=with_keys, counting=counting)
        watcher.address = server.address
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
        num_of={name: server.num_sent[name] for name in sent},
        bytes_per_device_round=sum(sent.values()) / num_devices / num_rounds,
    )


def _rebuilt(session: Session) -> Any:
    replica = learner.ChainReplica()
    replica.load_weights(session.directory.initial_weights)
    replica.replay(update for r in session.results for update in r.updates)
    return replica


def _endpoints(stack: ExitStack, num_hosts: int, *, with_keys: bool, counting: bool) -> Any:
    """The server, and what makes a client."""
    context = new_context()
    context.set(zmq.MAX_SOCKETS, 2 * num_hosts + 64)
    stack.callback(context.term)
    kind = CountingServer if counting else Server
    guard = credentials = None
    if with_keys:
        ours, theirs = _pair(), _pair()
        guard = Guard(keys=ours, allows=lambda key: key == theirs.public, max_unproven=num_hosts + 64)
        credentials = Credentials(theirs, ours.public)
    server = kind(context, m.control_codec(), "tcp://127.0.0.1:*", guard=guard)
    stack.enter_context(server)
    return server, lambda: Client(context, m.control_codec(), server.address, credentials=credentials)


@contextmanager
def _hosts(connect: Any, shares: Sequence[Sequence[int]], air: Any) -> Iterator[None]:
    """Hosts in one thread, until what is done meanwhile is over: each is asked to attend to what it receives."""
    stop = threading.Event()

    def serve() -> None:
        with ExitStack() as stack:
            of: dict[Any, tuple[Any, LearnerHost]] = {}
            poller = zmq.Poller()
            for devices in shares:
                client = stack.enter_context(connect())
                host = LearnerHost(
                    client, devices, lambda _: air, load=learner.load, prove=learner.prove, judge=learner.judge
                )
                of[client.pollable] = (client, host)
                poller.register(client.pollable, zmq.POLLIN)
                host.greet()
            while of and not stop.is_set():
                for socket, _ in poller.poll(1000):
                    client, host = of[socket]
                    message = client.receive(0.0)
                    if message is not None and host.attend(message) is not None:
                        poller.unregister(socket)
                        del of[socket]

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield
    finally:
        thread.join(10)
        stop.set()
        thread.join(10)


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
