"""An access point that says what it is told to, and a learner that costs nothing."""

from __future__ import annotations

import hashlib
from collections import deque
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from learner.zo.evaluation import Evaluation
from learner.zo.replica import Scalars
from radio.records import Csi, Plan
from testbed.bench.rig import resolve
from testbed.config.files import load
from testbed.control import messages as m
from testbed.control.air_wire import air_setup, make_air
from testbed.control.proof import Proof
from testbed.errors import PeerTimeoutError, TransportError
from testbed.hosts.device_host import LearnerHost
from testbed.hosts.local_work import Loaded

CONFIG = resolve(load(None, None, ["num_devices=2", "task.num_test=8"]))
PROOF = Proof(weights="a" * 64, architecture="e" * 64, num_parameters=1, data="d" * 64, code="c" * 64, config="f" * 64)
SILENT_S = 20.0


@dataclass
class Script:
    """A ClientEnd on a virtual clock: says one message after the other as soon as it is asked, then nothing more."""

    inbox: deque[Any]
    address: str = "virtual"
    sent: list[Any] = field(default_factory=list)
    time_s: float = 0.0
    is_full: bool = False

    def now_s(self) -> float:
        return self.time_s

    def send(self, message: Any) -> None:
        if self.is_full:
            raise TransportError("virtual does not read what is sent to it")
        self.sent.append(message)

    def receive(self, timeout_s: float) -> Any:
        while self.inbox:
            message = self.inbox.popleft()
            if callable(message):
                message()
            elif isinstance(message, float):
                self.time_s += message
                return None
            else:
                return message
        self.time_s += max(timeout_s, 1e-3)
        return None

    def answers(self, kind: type) -> list[Any]:
        return [message for message in self.sent if isinstance(message, kind)]


@dataclass
class FakeReplica:
    """A model of one number: its fingerprint says which updates it has applied."""

    updates: list[tuple[int, tuple[float, ...]]] = field(default_factory=list)
    num_parameters: int = 1
    num_computed: int = 0

    def fingerprint(self) -> str:
        return fingerprint_of(*self.updates)

    def scalars(self, batches: Any, *, seed: int, **_: Any) -> Scalars:
        self.num_computed += 1
        num = len(batches)
        return Scalars(
            projected_gradients=np.full((num, 1), 0.5),
            loss=np.zeros(num),
            example_projections=(np.zeros((1, 1)),) * num,
        )

    def update(self, seed: int, coefficients: tuple[float, ...]) -> None:
        self.updates.append((seed, tuple(coefficients)))

    def replay(self, results: Any) -> None:
        for seed, coefficients in results:
            self.update(seed, coefficients)


class FakeTask:
    """Batches that nobody looks at."""

    def batch(self, device: int, round_index: int, size: int) -> tuple[int, int]:
        return device, round_index


def fingerprint_of(*updates: tuple[int, tuple[float, ...]]) -> str:
    return hashlib.sha256(repr(updates).encode()).hexdigest()


def welcome(next_round: int = 0, run_id: str = "r") -> m.Welcome:
    return m.Welcome(run_id=run_id, config=CONFIG, air_address="", next_round=next_round)


def results(first: int, until: int, next_round: int, *past: m.PastResult) -> m.Results:
    return m.Results(first=first, until=until, next_round=next_round, results=past)


def past(round_index: int, *earlier: tuple[int, tuple[float, ...]]) -> m.PastResult:
    return m.PastResult(round=round_index, seed=7 + round_index, coefficients=(0.25,), earlier=earlier)


SEATED = m.Seated(next_round=0)


def host_of(script: Script, replica: Any = None, **named: Any) -> LearnerHost:
    air = make_air(air_setup(CONFIG, "r"))
    return LearnerHost(
        script,
        [0, 1],
        lambda _: air,
        load=lambda _: Loaded(replica or FakeReplica(), FakeTask()),  # type: ignore[arg-type]
        prove=lambda *_: PROOF,
        judge=lambda _: (Evaluation(loss=0.5, metric_name="accuracy", metric=0.75, num_examples=8), None),
        timeout_s=SILENT_S,
        **named,
    )


def served(*messages: Any, replica: Any = None) -> tuple[Script, FakeReplica]:
    """Everything that a host says to these messages, until it has nothing heard for too long, or has ended."""
    replica = replica or FakeReplica()
    script = Script(deque(messages))
    try:
        host_of(script, replica).run()
    except PeerTimeoutError:
        assert not script.inbox
    return script, replica


def finish(next_round: int = 0, *, failed: bool = False) -> m.Finish:
    return m.Finish(reason="done", failed=failed, next_round=next_round)


def sound(round_index: int = 0, attempt: int = 1, *, compare: bool = False) -> m.SoundStart:
    return m.SoundStart(round=round_index, attempt=attempt, seed=7, compare=compare)


def pilot(number: int, *devices: int, attempt: int = 1, slot: m.Slot = "pilot", round_index: int = 0) -> m.Poll:
    return m.Poll(round=round_index, attempt=attempt, number=number, slot=slot, devices=devices)


def start(attempt: int, noise_std: float, round_index: int = 0) -> m.RoundStart:
    plan = Plan(
        gain=1e-4, artificial_noise_std=noise_std, clip=100.0, num_queries=1, active=(0, 1), ridge=0.0,
        round_index=round_index,
    )  # fmt: skip
    csi = {0: Csi(gain=0.1 + 0j), 1: Csi(gain=0.1j)}
    return m.RoundStart(round=round_index, attempt=attempt, plan=plan, active=None, csi=csi)


def result(round_index: int, *coefficients: float, fingerprint: str | None = None) -> m.RoundResult:
    return m.RoundResult(
        round=round_index, seed=7 + round_index, status="ok", coefficients=coefficients, fingerprint=fingerprint
    )
