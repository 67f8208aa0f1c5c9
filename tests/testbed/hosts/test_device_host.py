"""A learner host alone: a scripted access point, a model that only counts, radios on a real simulated air."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any

import msgspec
import numpy as np
import pytest

from learner.zo.replica import Scalars
from radio.link.device import DeviceLink
from testbed.control import messages as m
from testbed.errors import CrashError, DivergenceError, PeerTimeoutError, TransportError
from testbed.hosts.device_host import Ended
from testbed.hosts.local_work import Loaded
from testbed.hosts.membership import FAREWELL_S
from tests.testbed.hosts.script import (
    PROOF,
    SEATED,
    SILENT_S,
    FakeReplica,
    FakeTask,
    Script,
    fingerprint_of,
    finish,
    host_of,
    past,
    pilot,
    result,
    results,
    served,
    sound,
    start,
    welcome,
)


@pytest.fixture
def on_air(monkeypatch) -> list[tuple[str, int]]:
    """What really left radios, and their being silenced."""
    seen: list[tuple[str, int]] = []
    for name, said in (("send_pilot", "pilot"), ("send_values", "values"), ("silence", "silence")):
        real = getattr(DeviceLink, name)

        def counted(link: Any, *args: Any, real: Callable[..., Any] = real, said: str = said, **named: Any) -> Any:
            seen.append((said, link._device))
            return real(link, *args, **named)

        monkeypatch.setattr(DeviceLink, name, counted)
    return seen


# ---- joining


def test_a_host_catches_up_in_as_many_messages_as_it_takes_and_then_proves_what_it_is():
    script, replica = served(
        welcome(next_round=3), results(0, 2, 3, past(1)), results(0, 2, 3, past(1)), results(2, 3, 3, past(2)), SEATED
    )
    assert replica.updates == [(8, (0.25,)), (9, (0.25,))]
    assert [asked.first for asked in script.answers(m.CatchUp)] == [0, 2]
    assert script.answers(m.Joined) == [m.Joined(next_round=3, proof=PROOF)]


def test_momentum_is_applied_behind_a_rounds_own_directions_live_as_in_a_catch_up():
    live = msgspec.structs.replace(result(2, 0.5), earlier=((8, (0.25,)), (7, (0.125,))))
    _, replica = served(welcome(next_round=2), results(0, 2, 2, past(0), past(1, (7, (0.125,)))), SEATED, live)
    assert replica.updates == [
        (7, (0.25,)), (8, (0.25,)), (7, (0.125,)), (9, (0.5,)), (8, (0.25,)), (7, (0.125,)),
    ]  # fmt: skip


@pytest.mark.parametrize(("said", "asked"), [((), m.Hello), ((welcome(3),), m.CatchUp), ((welcome(),), m.Joined)])
def test_whatever_is_not_answered_is_asked_again_every_second_and_the_silence_is_blamed_in_the_end(said, asked):
    script = Script(deque(said))
    with pytest.raises(PeerTimeoutError, match="nothing heard for 20 s"):
        host_of(script).run()
    assert SILENT_S - 1 <= len(script.answers(asked)) <= SILENT_S + 2
    assert script.answers(m.Trouble) == []


def test_a_welcome_that_was_heard_twice_loads_once_and_joins_once():
    loads: list[Any] = []
    script = Script(deque([welcome(), welcome(), SEATED, welcome()]))
    host = host_of(script)
    loader = host._loader
    host._loader = lambda config: (loads.append(config), loader(config))[1]
    with pytest.raises(PeerTimeoutError):
        host.run()
    assert len(loads) == 1
    assert len(script.answers(m.Joined)) == 1


def test_another_run_is_loaded_anew_and_nothing_of_the_former_is_kept():
    replicas = [FakeReplica(), FakeReplica()]
    script = Script(deque([
        welcome(), SEATED, sound(), result(0, 0.5), m.WhoAreYou(), welcome(run_id="other"), SEATED, sound(),
    ]))  # fmt: skip
    host = host_of(script)
    unused = iter(replicas)
    host._loader = lambda _: Loaded(next(unused), FakeTask())  # type: ignore[arg-type,assignment]
    with pytest.raises(PeerTimeoutError):
        host.run()
    assert [hello.run_id for hello in script.answers(m.Hello)] == ["", "r"]
    assert replicas[0].updates == [(7, (0.5,))]
    assert replicas[1].updates == []
    first, second = script.answers(m.Prepared)
    assert (first.round, second.round) == (0, 0)
    assert first.draw != second.draw


def test_occupied_devices_are_asked_for_again_but_not_for_ever():
    script = Script(deque([m.Occupied(reason="served by another"), 5.0] * 10))
    with pytest.raises(TransportError, match="served by another"):
        host_of(script).run()
    assert len(script.answers(m.Hello)) >= 4


def test_a_refusal_ends_the_host_with_its_reason():
    with pytest.raises(TransportError, match="refused devices 0, 1: another model"):
        host_of(Script(deque([m.Refused(reason="another model")]))).run()


def test_a_host_that_does_not_know_whether_it_has_a_seat_takes_no_question_but_its_own():
    """A question ahead of it must not take the place of its Hello, nor a result that comes late."""
    script, replica = served(
        welcome(), SEATED, m.WhoAreYou(), sound(5), result(5, 0.5), results(0, 0, 0), 1.0, m.WhoAreYou(), 1.0
    )
    assert script.answers(m.CatchUp) == []
    assert len(script.answers(m.Hello)) > 3
    assert isinstance(script.sent[-1], m.Hello)
    assert replica.updates == []


def test_a_host_that_is_behind_catches_up_in_chunks_and_answers_the_question_that_showed_it():
    script, replica = served(
        welcome(), SEATED, sound(3, compare=True), results(0, 2, 3, past(0), past(1)), results(2, 3, 3, past(2))
    )
    assert len(replica.updates) == 3
    assert len(script.answers(m.Hello)) == len(script.answers(m.Joined)) == 1  # it kept its seat
    prepared = script.answers(m.Prepared)
    assert [(a.round, a.fingerprint) for a in prepared] == [(3, replica.fingerprint())]


def test_a_question_while_joining_says_that_the_host_is_seated():
    script, _ = served(welcome(next_round=1), sound(1), results(0, 1, 1))  # Joined and Seated are of an earlier time
    assert [a.round for a in script.answers(m.Prepared)] == [1]
    assert script.answers(m.Joined) == []
    assert isinstance(script.sent[-1], m.Ping)


def test_a_result_from_the_future_is_not_applied_but_asked_for():
    script, replica = served(welcome(), SEATED, result(2, 0.5), results(0, 3, 3, past(2)), result(2, 0.5))
    assert replica.updates == [(9, (0.25,))]
    assert len(script.answers(m.CatchUp)) == 1
    assert len(script.answers(m.Hello)) == 1


# ---- rounds


def test_a_question_that_is_heard_twice_gets_the_same_answer_and_nothing_is_sent_twice(on_air):
    asked = [sound(compare=True), pilot(1, 0), pilot(2, 1), start(1, 0.0)]
    script, replica = served(welcome(), SEATED, *(each for each in asked for _ in range(3)))
    for kind, num in ((m.Prepared, 1), (m.Transmitting, 2), (m.Ready, 1)):
        answers = script.answers(kind)
        assert len(answers) == 3 * num
        assert len({repr(answer) for answer in answers}) == num
    assert replica.num_computed == 1
    assert on_air == [("pilot", 0), ("pilot", 1), ("values", 0), ("values", 1)]


def test_a_poll_is_answered_on_a_new_connection_as_if_it_had_never_been_lost(on_air):
    script, _ = served(
        welcome(), SEATED, sound(), pilot(1, 0), m.WhoAreYou(), welcome(), pilot(1, 0), pilot(2, 1), start(1, 0.0)
    )
    assert [answer.number for answer in script.answers(m.Transmitting)] == [1, 1, 2]
    assert len(script.answers(m.Ready)) == 1
    assert on_air == [("pilot", 0), ("pilot", 1), ("values", 0), ("values", 1)]


def test_an_access_point_that_was_resumed_gets_the_fingerprint_that_the_former_did_not_ask_for():
    script, replica = served(welcome(), SEATED, sound(), m.WhoAreYou(), welcome(), sound(compare=True))
    assert [a.fingerprint for a in script.answers(m.Prepared)] == [None, replica.fingerprint()]
    assert replica.num_computed == 1
    assert len({a.draw for a in script.answers(m.Prepared)}) == 1


def test_what_is_of_an_earlier_attempt_is_not_answered(on_air):
    script, _ = served(
        welcome(), SEATED, sound(attempt=2), sound(attempt=1), pilot(1, 0, attempt=1), start(1, 0.0),
        pilot(9, 0, attempt=3),
    )  # fmt: skip
    assert [a.attempt for a in script.answers(m.Prepared)] == [2]
    assert script.answers(m.Transmitting) == script.answers(m.Ready) == []
    assert on_air == []


def test_a_payload_is_not_polled_before_its_plan(on_air):
    script, _ = served(welcome(), SEATED, sound(), pilot(1, 0, slot="payload"))
    assert script.answers(m.Transmitting) == []
    assert on_air == []


def test_a_result_of_an_earlier_round_does_not_silence_this_rounds_payload(on_air):
    served(welcome(), SEATED, sound(), result(0), sound(1), start(1, 0.0, round_index=1), result(0), result(1))
    assert on_air == [
        ("silence", 0), ("silence", 1), ("values", 0), ("values", 1), ("silence", 0), ("silence", 1),
    ]  # fmt: skip


def test_a_retry_sends_the_scalars_that_were_computed_for_the_first_attempt():
    script, replica = served(welcome(), SEATED, sound(attempt=1), sound(attempt=2), result(0, 0.5))
    assert replica.num_computed == 1
    assert [answer.attempt for answer in script.answers(m.Prepared)] == [1, 2]
    assert replica.updates == [(7, (0.5,))]


def test_a_host_sends_its_values_under_one_noise_a_round_whatever_the_access_point_asks(monkeypatch):
    sent = []
    send = DeviceLink.send_values
    monkeypatch.setattr(DeviceLink, "send_values", lambda *a, **n: (sent.append(a[1].copy()), send(*a, **n))[1])
    asked = [
        sound(attempt=1), start(1, 5.0),
        sound(attempt=2), start(2, 6.0),
        m.WhoAreYou(), welcome(),  # a connection that was lost and found draws nothing anew
        sound(attempt=3), start(3, 5.0),
    ]  # fmt: skip
    script, replica = served(welcome(), SEATED, *asked)
    first, refused, last = script.answers(m.Ready)
    assert first.problems == last.problems == {}
    assert set(refused.problems) == {0, 1}
    assert "standard deviation 6 in round 1, which began with 5" in refused.problems[0]
    assert replica.num_computed == 1
    assert len({answer.draw for answer in script.answers(m.Prepared)}) == 1
    values = np.array(sent).reshape(2, 2)  # the refused attempt sent nothing
    np.testing.assert_array_equal(values[0], values[1])
    assert (values != 0.5).all()


def test_another_host_or_round_is_another_draw():
    rounds = [sound(), result(0), sound(1)]
    draws = [a.draw for _ in range(2) for a in served(welcome(), SEATED, *rounds)[0].answers(m.Prepared)]
    assert len(set(draws)) == 4


def test_a_result_that_was_heard_twice_is_applied_once():
    _, replica = served(welcome(), SEATED, result(0, 0.5), result(0, 0.5))
    assert replica.updates == [(7, (0.5,))]


def test_an_evaluation_is_of_the_weights_that_were_asked_for():
    script, _ = served(
        welcome(), SEATED, m.Evaluate(round=-1), m.Evaluate(round=-1), sound(), result(0), m.Evaluate(round=-1),
        m.Evaluate(round=1), results(1, 2, 2),
    )  # fmt: skip
    assert [answer.round for answer in script.answers(m.Evaluated)] == [-1, -1, 1]


# ---- the end


def test_goodbye_is_said_until_it_is_heard_with_the_weights_of_the_runs_end():
    script = Script(deque([welcome(), SEATED, result(0, 0.5), finish(1), 1.5, 1.5, finish(1), m.Farewell()]))
    assert host_of(script).run() == Ended("done")
    goodbyes = script.answers(m.Goodbye)
    assert len(goodbyes) == 3
    assert {(bye.next_round, bye.fingerprint) for bye in goodbyes} == {(1, fingerprint_of((7, (0.5,))))}


def test_a_goodbye_that_nobody_confirms_is_repeated_for_three_seconds_and_then_enough():
    script = Script(deque([welcome(), SEATED, finish(0)]))
    assert host_of(script).run() == Ended("done")
    assert 3 <= len(script.answers(m.Goodbye)) <= 5
    assert script.time_s < FAREWELL_S + 2


def test_a_host_that_is_behind_at_the_end_catches_up_before_its_goodbye():
    script = Script(
        deque([welcome(), SEATED, finish(2), results(0, 1, 2, past(0)), results(1, 2, 2, past(1)), m.Farewell()])
    )
    assert host_of(script).run() == Ended("done")
    assert [bye.next_round for bye in script.answers(m.Goodbye)] == [2]


def test_a_run_that_failed_needs_no_goodbye_and_is_no_success():
    script = Script(deque([welcome(), SEATED, finish(5, failed=True)]))
    assert host_of(script).run() == Ended("done", failed=True)
    assert script.answers(m.Goodbye) == []


def test_a_host_without_a_seat_has_nothing_to_say_at_the_end():
    for said in ((), (welcome(), SEATED, m.WhoAreYou())):
        script = Script(deque([*said, finish(0)]))
        assert host_of(script).run() == Ended("done")
        assert script.answers(m.Goodbye) == []


def interrupt() -> None:
    raise KeyboardInterrupt


def test_ctrl_c_is_told_and_silences_the_radios(on_air, monkeypatch):
    for is_full in (False, True):
        script = Script(deque([welcome(), SEATED, sound(), start(1, 0.0)]))
        host = host_of(script)

        def ctrl_c(script: Script = script, is_full: bool = is_full) -> None:
            script.is_full = is_full
            interrupt()

        script.inbox.append(ctrl_c)
        with pytest.raises(KeyboardInterrupt):
            host.run()
        assert [trouble.reason for trouble in script.answers(m.Trouble)] == ([] if is_full else ["stopped by its user"])
        assert host._radios is None


def test_a_host_that_is_asked_to_stop_says_so_and_stops():
    script = Script(deque([welcome(), SEATED]))
    host = host_of(script, should_stop=lambda: script.time_s > 3)
    assert host.run() == Ended("stopped")
    assert [trouble.reason for trouble in script.answers(m.Trouble)] == ["stopped"]
    assert script.time_s < 5


def test_other_weights_than_those_announced_end_the_host():
    with pytest.raises(DivergenceError, match="hold other weights"):
        served(welcome(), SEATED, result(0, 0.5, fingerprint="0" * 64))


def test_an_exception_that_nobody_expected_is_told_with_its_traceback():
    class Broken(FakeReplica):
        def scalars(self, *_: Any, **__: Any) -> Scalars:
            raise RuntimeError("CUDA out of memory")

    script = Script(deque([welcome(), SEATED, sound()]))
    with pytest.raises(CrashError, match="RuntimeError: CUDA out of memory"):
        host_of(script, Broken()).run()
    trouble = script.answers(m.Trouble)[0]
    assert trouble.reason == "RuntimeError: CUDA out of memory"
    assert "scalars" in trouble.trace


def test_a_timeout_of_the_air_is_told():
    class Deaf(FakeReplica):
        def scalars(self, *_: Any, **__: Any) -> Scalars:
            raise PeerTimeoutError("air at tcp://127.0.0.1:1: no answer in 30 s")

    script = Script(deque([welcome(), SEATED, sound()]))
    with pytest.raises(PeerTimeoutError):
        host_of(script, Deaf()).run()
    assert [(trouble.reason, trouble.trace) for trouble in script.answers(m.Trouble)] == [
        ("air at tcp://127.0.0.1:1: no answer in 30 s", "")
    ]


def test_a_thread_of_the_host_that_died_ends_the_host_and_is_told():
    def check() -> None:
        raise CrashError("thread stream to device 0: ValueError: a fault", trace="where it was")

    script = Script(deque([welcome()]))
    with pytest.raises(CrashError, match="stream to device 0"):
        host_of(script, check=check).run()
    assert script.answers(m.Trouble)[0].trace == "where it was"
