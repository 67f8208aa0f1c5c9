"""Real rounds over TCP between the real access point and real hosts whose learner costs nothing.

Access point and a symbol-level air are in this process, all hosts in another one, which answer before they work: their
radios are played here, at the air's next capture, from what the access point asked. So the same samples are on the air,
and while messages travel nothing but messages is computed: two processes stand for as many computers as there are
hosts. A round takes what its radios take, the disk, and the rest is the control plane, on both of its ends.
"""

from __future__ import annotations

import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import zmq

from benchmarks.control import hosts, learner
from testbed.bench.rig import resolve
from testbed.config.files import load
from testbed.config.schema import RunConfig
from testbed.control import messages as m
from testbed.control.air_wire import air_setup, make_air
from testbed.control.doorman import Guard
from testbed.control.keys import Credentials, KeyPair
from testbed.control.transport import Server, new_context
from testbed.hosts.local_work import LocalRound
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


class PlayedRadios:
    """What all hosts' radios do, done at the air's next capture, in the access point's radio time."""

    def __init__(self, config: RunConfig, air: Any) -> None:
        devices = range(config.rig.num_devices)
        self._radios = Transmissions(config, config, tuple(devices), air)
        self._local = LocalRound.drawn(learner.prepared(None, config.experiment, devices))
        self._active = tuple(devices)
        self._plan: m.RoundStart | None = None
        self._heard: set[object] = set()
        """What hosts were asked in this round: asked again, they do nothing again."""
        self._pending: list[Callable[[], object]] = []
        self._capture = air.capture
        air.capture = self._captured

    def asked(self, message: m.ControlMessage) -> None:
        """Hosts are sent this."""
        match message:
            case m.SoundStart():
                if ("sound", message.round, message.attempt) not in self._heard:
                    self._heard, self._plan = {("sound", message.round, message.attempt)}, None
            case m.Poll() if self._is_new(message.number, message.devices):
                plan = self._plan
                self._pending.append(lambda: self._radios.polled(message, plan, self._local))
            case m.RoundStart() if self._is_new("start", *message.csi):
                self._begin(message)
            case m.RoundResult() if self._is_new("result"):
                self._pending.append(self._radios.silence)

    def _begin(self, start: m.RoundStart) -> None:
        """Each host is told its own devices' channels; together they are one start."""
        if self._plan is None:
            active = self._active if start.active is None else m.unpacked(start.active)
            plan = msgspec.structs.replace(start.plan, active=active)
            self._plan = all_of = msgspec.structs.replace(start, plan=plan, csi=dict(start.csi))
            self._pending.append(lambda: self._radios.ready(all_of, self._local))
        else:
            self._plan.csi.update(start.csi)

    def _is_new(self, *what: object) -> bool:
        is_new = what not in self._heard
        self._heard.add(what)
        return is_new

    def _captured(self, station: int, num_samples: int) -> Any:
        pending, self._pending = self._pending, []
        for work in pending:
            work()
        return self._capture(station, num_samples)


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


class WatchedServer(Server[m.ControlMessage]):
    """Tells the radios what their hosts are asked, and counts the bytes of every message, by type, if it is to."""

    radios: PlayedRadios
    counts = False

    def __init__(self, *arguments: Any, **more: Any) -> None:
        super().__init__(*arguments, **more)
        self.sent: Counter[str] = Counter()
        self.num_sent: Counter[str] = Counter()

    def send(self, route: bytes, message: m.ControlMessage) -> bool:
        """As the server's."""
        self._count(message, 1)
        self.radios.asked(message)
        return super().send(route, message)

    def send_all(self, routes: Any, message: m.ControlMessage) -> list[bytes]:
        """As the server's."""
        routes = list(routes)
        self._count(message, len(routes))
        self.radios.asked(message)
        return super().send_all(routes, message)

    def receive(self, timeout_s: float) -> Any:
        """As the server's."""
        received = super().receive(timeout_s)
        if received is not None:
            self._count(received[1], 1)
        return received

    def _count(self, message: m.ControlMessage, times: int) -> None:
        if self.counts:
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
        guard, credentials = _keys(num_hosts) if with_keys else (None, None)
        context = new_context()
        stack.callback(context.term)
        server = stack.enter_context(WatchedServer(context, m.control_codec(), "tcp://127.0.0.1:*", guard=guard))
        server.counts, server.radios = counting, PlayedRadios(config, air)
        watcher.address = server.address
        shares = [tuple(range(num_devices)[first::num_hosts]) for first in range(num_hosts)]
        with hosts.beside(hosts.serve, server.address, shares, credentials):
            conduct(
                session,
                server=server,
                office=RunOffice(session=session),
                medium=air,
                progress=watcher,
                rebuild=_rebuilt,
            )
    in_rounds = {"SoundStart", "Prepared", "Poll", "Transmitting", "RoundStart", "Ready", "RoundResult"}
    sent = {name: total for name, total in server.sent.items() if name in in_rounds}
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


def _keys(num_hosts: int) -> tuple[Guard, Credentials]:
    """Of the access point, and of all hosts."""
    ours, theirs = _pair(), _pair()
    guard = Guard(keys=ours, allows=lambda key: key == theirs.public, max_unproven=num_hosts + 64)
    return guard, Credentials(theirs, ours.public)


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
