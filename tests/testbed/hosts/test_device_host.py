"""A learner host alone: a scripted access point, a model that only counts, radios on a real simulated air."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest

from learner.zo.replica import Scalars
from radio.link.device import DeviceLink
from radio.records import Csi, Plan
from testbed.bench.rig import resolve
from testbed.config.files import load
from testbed.control import messages as m
from testbed.control.air_wire import air_setup, make_air
from testbed.errors import CrashError, DivergenceError, PeerTimeoutError
from testbed.hosts.device_host import LearnerHost, SilentAccessPointError
from testbed.hosts.local_work import Loaded

CONFIG = resolve(load(None, None, ["num_devices=2", "task.num_test=8"]))


@dataclass
class FakeClient:
    """An access point that has said everything already; ``sent`` is what the host answered."""

    inbox: deque[Any]
    address: str = "inproc://fake"
    sent: list[Any] = field(default_factory=list)

    def send(self, message: Any) -> None:
        self.sent.append(message)

    def receive(self, timeout_s: float) -> Any:
        if not self.inbox:
            raise SilentAccessPointError("the script is over")
        return self.inbox.popleft()

    def answers(self, kind: type) -> list[Any]:
        return [message for message in self.sent if isinstance(message, kind)]


@dataclass
class FakeReplica:
    """A model of one number: its fingerprint says which updates it has applied."""

    updates: list[tuple[int, tuple[float, ...]]] = field(default_factory=list)
    num_parameters: int = 1
    num_computed: int = 0

    def fingerprint(self) -> str:
        return "/".join(f"{seed}:{coefficients}" for seed, coefficients in self.updates) or "untouched"

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


def welcome(*results: m.PastResult, next_round: int = 0) -> m.Welcome:
    return m.Welcome(run_id="r", config=CONFIG, air_address="", next_round=next_round, results=results)


def served(*messages: Any, replica: FakeReplica | None = None) -> tuple[FakeClient, FakeReplica]:
    """Everything that a host says to these messages."""
    replica = replica or FakeReplica()
    client = FakeClient(deque(messages))
    air = make_air(air_setup(CONFIG, "r"))
    host = LearnerHost(client, [0, 1], lambda _: air, load=lambda _: Loaded(replica, FakeTask()))  # type: ignore[arg-type]
    assert host.run() == "done"
    return client, replica


FINISH = m.Finish(reason="done")


def result(round_index: int, *coefficients: float, fingerprint: str | None = None) -> m.RoundResult:
    return m.RoundResult(
        round=round_index, seed=7 + round_index, status="ok", coefficients=coefficients, fingerprint=fingerprint
    )


def test_a_host_catches_up_with_what_it_missed_and_says_where_it_is():
    past = m.PastResult(round=1, seed=5, coefficients=(0.25,))
    client, replica = served(welcome(past, next_round=3), FINISH)
    assert replica.updates == [(5, (0.25,))]
    joined = client.answers(m.Joined)[0]
    assert (joined.next_round, joined.fingerprint) == (3, replica.fingerprint())


def test_a_retry_sends_the_scalars_that_were_computed_for_the_first_attempt():
    rounds = [m.SoundStart(round=0, attempt=attempt, seed=7) for attempt in (1, 2)]
    client, replica = served(welcome(), *rounds, result(0, 0.5), FINISH)
    assert replica.num_computed == 1
    assert [answer.attempt for answer in client.answers(m.Prepared)] == [1, 2]
    assert replica.updates == [(7, (0.5,))]


def start(attempt: int, noise_std: float) -> m.RoundStart:
    plan = Plan(
        gain=1e-4, artificial_noise_std=noise_std, clip=100.0, num_queries=1, active=(0, 1), ridge=0.0, round_index=0
    )
    csi = {0: Csi(gain=0.1 + 0j), 1: Csi(gain=0.1j)}
    return m.RoundStart(round=0, attempt=attempt, seed=7, plan=plan, csi=csi, start_samples={})


def test_a_host_sends_its_values_under_one_noise_a_round_whatever_the_access_point_asks(monkeypatch):
    sent = []
    send = DeviceLink.send_values
    monkeypatch.setattr(DeviceLink, "send_values", lambda *a, **n: (sent.append(a[1].copy()), send(*a, **n))[1])
    asked = [
        m.SoundStart(round=0, attempt=1, seed=7), start(1, 5.0),
        m.SoundStart(round=0, attempt=2, seed=7), start(2, 6.0),
        welcome(),  # a connection that was lost and found draws nothing anew
        m.SoundStart(round=0, attempt=3, seed=7), start(3, 5.0),
    ]  # fmt: skip
    client, replica = served(welcome(), *asked, FINISH)
    first, refused, last = client.answers(m.Ready)
    assert first.problems == last.problems == {}
    assert set(refused.problems) == {0, 1}
    assert "standard deviation 6 in round 0, which began with 5" in refused.problems[0]
    assert replica.num_computed == 1
    assert len({answer.draw for answer in client.answers(m.Prepared)}) == 1
    values = np.array(sent).reshape(2, 2)  # the refused attempt sent nothing
    np.testing.assert_array_equal(values[0], values[1])
    assert (values != 0.5).all()


def test_another_host_or_round_is_another_draw():
    rounds = [m.SoundStart(round=0, attempt=1, seed=7), result(0), m.SoundStart(round=1, attempt=1, seed=8)]
    draws = [a.draw for _ in range(2) for a in served(welcome(), *rounds, FINISH)[0].answers(m.Prepared)]
    assert len(set(draws)) == 4


def test_a_result_that_was_heard_twice_is_applied_once():
    _, replica = served(welcome(), result(0, 0.5), result(0, 0.5), FINISH)
    assert replica.updates == [(7, (0.5,))]


def test_a_result_from_the_future_is_not_applied_but_asked_for():
    client, replica = served(welcome(), result(2, 0.5), FINISH)
    assert replica.updates == []
    assert len(client.answers(m.Hello)) == 2


def test_other_weights_than_those_announced_end_the_host():
    with pytest.raises(DivergenceError, match="hold other weights"):
        served(welcome(), result(0, 0.5, fingerprint="those of somebody else"))


def test_an_exception_that_nobody_expected_is_told_with_its_traceback():
    class Broken(FakeReplica):
        def scalars(self, *_: Any, **__: Any) -> Scalars:
            raise RuntimeError("CUDA out of memory")

    client = FakeClient(deque([welcome(), m.SoundStart(round=0, attempt=1, seed=7)]))
    air = make_air(air_setup(CONFIG, "r"))
    host = LearnerHost(client, [0, 1], lambda _: air, load=lambda _: Loaded(Broken(), FakeTask()))  # type: ignore[arg-type]
    with pytest.raises(CrashError, match="RuntimeError: CUDA out of memory"):
        host.run()
    trouble = client.answers(m.Trouble)[0]
    assert trouble.reason == "RuntimeError: CUDA out of memory"
    assert "scalars" in trouble.trace


def test_an_access_point_that_is_silent_is_no_trouble_of_the_hosts():
    client = FakeClient(deque([welcome()]))
    air = make_air(air_setup(CONFIG, "r"))
    host = LearnerHost(client, [0], lambda _: air, load=lambda _: Loaded(FakeReplica(), FakeTask()))  # type: ignore[arg-type]
    with pytest.raises(PeerTimeoutError):
        host.run()
    assert client.answers(m.Trouble) == []


def test_a_timeout_of_the_air_is_told():
    class Deaf(FakeReplica):
        def scalars(self, *_: Any, **__: Any) -> Scalars:
            raise PeerTimeoutError("air at tcp://127.0.0.1:1: no answer in 30 s")

    client = FakeClient(deque([welcome(), m.SoundStart(round=0, attempt=1, seed=7)]))
    air = make_air(air_setup(CONFIG, "r"))
    host = LearnerHost(client, [0], lambda _: air, load=lambda _: Loaded(Deaf(), FakeTask()))  # type: ignore[arg-type]
    with pytest.raises(PeerTimeoutError):
        host.run()
    assert [(trouble.reason, trouble.trace) for trouble in client.answers(m.Trouble)] == [
        ("air at tcp://127.0.0.1:1: no answer in 30 s", "")
    ]


def test_a_thread_of_the_host_that_died_ends_the_host_and_is_told():
    def check() -> None:
        raise CrashError("thread stream to device 0: ValueError: a fault", trace="where it was")

    client = FakeClient(deque([welcome()]))
    air = make_air(air_setup(CONFIG, "r"))
    host = LearnerHost(client, [0], lambda _: air, load=lambda _: Loaded(FakeReplica(), FakeTask()), check=check)  # type: ignore[arg-type]
    with pytest.raises(CrashError, match="stream to device 0"):
        host.run()
    assert client.answers(m.Trouble)[0].trace == "where it was"
