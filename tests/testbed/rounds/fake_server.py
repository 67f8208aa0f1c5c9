"""Hosts, server and clock in memory, for unit tests of what plays rounds: no socket, no thread, no waiting.

A `FakeServer` is used where a `testbed.control.transport.Server` is: what is sent to a host is answered at once by the
host's own rules, in order. Time stands still while there are answers, and jumps over each wait for one that does not
come, so that every deadline passes at once and exactly.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

import pytest

from testbed.control import messages as m

Rule = Callable[[m.ToHost], Iterable[m.ControlMessage]]


@dataclass
class FakeClock:
    """`time` for a module under test."""

    now_s: float = 1000.0

    def monotonic(self) -> float:
        return self.now_s

    def perf_counter(self) -> float:
        return self.now_s

    def install(self, monkeypatch: pytest.MonkeyPatch, *modules: str) -> FakeClock:
        """Be the `time` of these modules until the test ends."""
        for module in modules:
            monkeypatch.setattr(f"{module}.time", self)
        return self


@dataclass
class FakeHost:
    """An honest learner host without learner or radio; ``rules`` say what it does instead, by type of message."""

    devices: tuple[int, ...]
    rules: Mapping[type[m.Message], Rule] = field(default_factory=dict)
    fingerprint: str = "f" * 64
    scalars: tuple[float, ...] = (0.5,)
    next_round: int = 0
    heard: list[m.ToHost] = field(default_factory=list)
    is_gone: bool = False

    def greetings(self) -> list[m.ControlMessage]:
        """What it says when it comes."""
        return [
            m.Hello(
                protocol_version=m.PROTOCOL_VERSION, host="fake", devices=self.devices, run_id="",
                next_round=self.next_round,
            ),
            m.Joined(next_round=self.next_round, num_parameters=1, fingerprint=self.fingerprint),
        ]  # fmt: skip

    def answer(self, message: m.ToHost) -> Iterable[m.ControlMessage]:
        """Its answers to one message, none to most."""
        self.heard.append(message)
        if type(message) in self.rules:
            return self.rules[type(message)](message)
        match message:
            case m.SoundStart(round=t, attempt=n):
                return [m.Prepared(round=t, attempt=n, fingerprint=self.fingerprint)]
            case m.Poll(round=t, attempt=n, device=device):
                return [m.Transmitting(round=t, attempt=n, device=device)]
            case m.RoundStart(round=t, attempt=n):
                truth = dict.fromkeys(self.devices, self.scalars)
                return [m.Ready(round=t, attempt=n, ground_truth=truth, losses=dict.fromkeys(self.devices, 1.0))]
            case m.RoundResult(round=t):
                self.next_round = t + 1
            case m.Evaluate(round=t):
                return [m.Evaluated(round=t, loss=1.0, metric=0.5, num_examples=64)]
            case m.Finish():
                return [m.Goodbye(next_round=self.next_round, fingerprint=self.fingerprint)]
        return []


def silent(_: m.ToHost) -> Iterable[m.ControlMessage]:
    """The rule of a host that hangs."""
    return []


class FakeServer:
    """Two calls of a server, over hosts in memory."""

    def __init__(self, clock: FakeClock, hosts: Iterable[FakeHost] = ()) -> None:
        self.address = "inproc://fake"
        self.clock = clock
        self.hosts: dict[bytes, FakeHost] = {}
        self.inbox: deque[tuple[bytes, m.ControlMessage]] = deque()
        for host in hosts:
            self.join(host)

    def join(self, host: FakeHost) -> bytes:
        """A host comes, also in mid-round; its peer name."""
        peer = b"peer %d" % len(self.hosts)
        self.hosts[peer] = host
        self.inbox.extend((peer, message) for message in host.greetings())
        return peer

    def send(self, peer: bytes, message: m.ToHost) -> bool:
        """False if the host is gone."""
        host = self.hosts.get(peer)
        if host is None or host.is_gone:
            return False
        self.inbox.extend((peer, answer) for answer in host.answer(message))
        return True

    def receive(self, timeout_s: float) -> tuple[bytes, m.ControlMessage] | None:
        """The next message; without one, the time is over at once."""
        if self.inbox:
            return self.inbox.popleft()
        self.clock.now_s += timeout_s
        return None
