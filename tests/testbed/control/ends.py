"""A server end on a virtual clock, peers that are scripted, and an office that keeps what it is told; all in memory."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from itertools import count
from typing import Any

import msgspec

from testbed.config.files import load
from testbed.control import messages as m
from testbed.control.proof import Proof
from testbed.control.roster import Roster
from testbed.control.seats import Loss
from testbed.control.transport import Sender
from testbed.errors import TestbedError

CONFIG = load(None, None, [])
CODEC = m.control_codec()
CODE = "c" * 64
WEIGHTS = "a" * 64
PROOF = Proof(weights=WEIGHTS, architecture="e" * 64, num_parameters=1, data="d" * 64, code=CODE, config="f" * 64)


@dataclass
class VirtualServer:
    """A ServerEnd whose time passes while it waits, and only then. Everything passes through the real codec."""

    address: str = "virtual"
    time_s: float = 0.0
    routes: dict[bytes, Peer] = field(default_factory=dict)
    num_encoded: int = 0
    _due: list[tuple[float, int, Callable[[], tuple[Sender, Any] | None]]] = field(default_factory=list)
    _order: count[int] = field(default_factory=count)

    def now_s(self) -> float:
        return self.time_s

    def at(self, after_s: float, event: Callable[[], tuple[Sender, Any] | None]) -> None:
        """Let something happen later: a message that arrives, or an event that is none."""
        heapq.heappush(self._due, (self.time_s + after_s, next(self._order), event))

    def send(self, route: bytes, message: Any) -> bool:
        return not self.send_all([route], message)

    def send_all(self, routes: Iterable[bytes], message: Any) -> list[bytes]:
        self.num_encoded += 1
        got = CODEC.decode(CODEC.encode(message))
        assert not isinstance(got, str), f"no host could read this: {got}"
        gone = []
        for route in routes:
            if (peer := self.routes.get(route)) is None:
                gone.append(route)
            else:
                peer.hear(got)
        return gone

    def receive(self, timeout_s: float) -> tuple[Sender, Any] | None:
        until = self.time_s + timeout_s
        while self._due and self._due[0][0] <= until:
            at, _, event = heapq.heappop(self._due)
            self.time_s = max(self.time_s, at)
            if (received := event()) is not None:
                return received
        self.time_s = max(self.time_s, until)
        return None


@dataclass
class Peer:
    """One process and its connection; ``answers`` says what it says to what it hears, and after how long."""

    server: VirtualServer
    key: str = ""
    instance: str = "one"
    devices: tuple[int, ...] = (0,)
    answers: Callable[[Any], Iterable[Any]] = lambda _: ()
    latency_s: float = 0.001
    deaf_to: dict[type, int] = field(default_factory=dict)
    """kind → how many of them are lost on their way"""
    heard: list[Any] = field(default_factory=list)
    heard_at_s: list[float] = field(default_factory=list)
    route: bytes = b""

    def __post_init__(self) -> None:
        self.connect()

    def connect(self) -> None:
        """A new connection; the former one is gone."""
        self.cut()
        self.route = b"\0" + next(self.server._order).to_bytes(4, "big")
        self.server.routes[self.route] = self

    def cut(self) -> None:
        self.server.routes.pop(self.route, None)

    def hear(self, message: Any) -> None:
        if self.deaf_to.get(type(message), 0) > 0:
            self.deaf_to[type(message)] -= 1
            return
        self.heard.append(message)
        self.heard_at_s.append(self.server.time_s)
        for answer in self.answers(message):
            self.say(answer)

    def say(self, message: Any, after_s: float | None = None) -> None:
        route, key = self.route, self.key

        def arrives() -> tuple[Sender, Any] | None:
            decoded = CODEC.decode(CODEC.encode(message))
            return None if isinstance(decoded, str) else (Sender(route, key), decoded)

        self.server.at(self.latency_s if after_s is None else after_s, arrives)

    def hello(self, **changed: Any) -> m.Hello:
        said = m.Hello(
            protocol_version=m.PROTOCOL_VERSION,
            host=f"host-{self.instance}",
            instance=self.instance,
            devices=self.devices,
            run_id="",
            next_round=0,
            code=CODE,
        )
        return msgspec.structs.replace(said, **changed)

    def of(self, kind: type) -> list[Any]:
        return [message for message in self.heard if isinstance(message, kind)]


def joins(peer: Peer, *, proof: Proof = PROOF, also: Callable[[Any], Iterable[Any]] = lambda _: ()) -> None:
    """Let a peer join as a host does, and answer with ``also`` what it is asked then."""
    at = [0]

    def answers(message: Any) -> Iterable[Any]:
        match message:
            case m.Welcome(next_round=next_round):
                yield m.CatchUp(first=at[0]) if next_round > at[0] else m.Joined(next_round=at[0], proof=proof)
            case m.Results(until=until, next_round=next_round):
                at[0] = until
                yield m.CatchUp(first=until) if until < next_round else m.Joined(next_round=until, proof=proof)
            case m.WhoAreYou():
                yield peer.hello(next_round=at[0])
            case _:
                yield from also(message)

    peer.answers = answers
    peer.say(peer.hello())


def prepared(message: Any, fingerprint: str = WEIGHTS) -> Iterable[Any]:
    """The answer of a host that is alive."""
    if isinstance(message, m.SoundStart):
        shown = fingerprint if message.compare else None
        yield m.Prepared(round=message.round, attempt=message.attempt, fingerprint=shown, draw=1)


@dataclass
class DeskOffice:
    """An office with as many rounds as it says; keys may serve what ``serves`` says."""

    next_round: int = 0
    is_one_process: bool = False
    serves: dict[str, frozenset[int]] | None = None
    chunk: int = 3
    losses: list[Loss] = field(default_factory=list)

    def may_serve(self, key: str) -> frozenset[int] | None:
        return None if self.serves is None else self.serves.get(key, frozenset())

    def welcome(self, hello: m.Hello) -> m.Welcome:
        if hello.code != CODE:
            raise TestbedError("its toolkit is another")
        return m.Welcome(run_id="r", config=CONFIG, air_address="", next_round=self.next_round)

    def results(self, first: int) -> m.Results:
        if first > self.next_round:
            raise TestbedError(f"the host is at round {first}, the journal at {self.next_round}")
        until = min(self.next_round, first + self.chunk)
        return m.Results(first=first, until=until, next_round=self.next_round, results=())

    def check(self, joined: m.Joined) -> None:
        if joined.proof != PROOF:
            raise TestbedError("weights: the host has others")

    def lost(self, loss: Loss) -> None:
        self.losses.append(loss)


@dataclass
class Table:
    """A roster on a virtual clock, and whom it talks to."""

    num_devices: int = 3
    office: DeskOffice = field(default_factory=DeskOffice)

    def __post_init__(self) -> None:
        self.server = VirtualServer()
        self.roster = Roster(server=self.server, num_devices=self.num_devices, office=self.office)

    def peer(self, *devices: int, **named: Any) -> Peer:
        return Peer(self.server, devices=devices, **named)

    def host(self, *devices: int, also: Callable[[Any], Iterable[Any]] = prepared, **named: Any) -> Peer:
        """A host that joins at once."""
        peer = self.peer(*devices, **named)
        joins(peer, also=also)
        return peer

    def seat(self, *devices: int, **named: Any) -> Peer:
        """A host that has a seat."""
        peer = self.host(*devices, **named)
        self.pass_time(0.1)
        self.roster.admit()
        assert self.roster.seat_of(devices[0]).route == peer.route
        return peer

    def pass_time(self, seconds: float) -> None:
        """Let the access point wait for nobody in particular."""
        self.roster.wait_for(self.num_devices + 1, seconds, lambda _: None)

    def sound(self, timeout_s: float = 10.0, *, compare: bool = False) -> Any:
        """Ask all seats for their scalars."""
        start = m.SoundStart(round=self.office.next_round, attempt=1, seed=1, compare=compare)
        return self.roster.ask(
            self.roster.seated, start, m.Prepared, timeout_s, what="scalars", accept=lambda a: a.round == start.round
        )
