"""The roster against peers that lose, repeat, lie and die; virtual time, and the real codec (docs/protocol.md)."""

from __future__ import annotations

import math
from itertools import pairwise

import msgspec
import pytest

from testbed.control import messages as m
from testbed.control.polls import Polls
from testbed.control.roster import (
    STRANGER_EVERY_S,
    AttemptFailedError,
)
from testbed.errors import RunDirectoryError
from tests.testbed.control.ends import CODEC, PROOF, DeskOffice, Table, joins, prepared


@pytest.fixture
def table():
    return Table()


def test_everyone_is_waited_for_and_the_missing_are_named(table):
    table.seat(0, 2)
    seen = []
    assert not table.roster.wait_for(3, 5.0, seen.append)
    assert seen[0] == [1]
    assert table.server.time_s == pytest.approx(5.1, abs=0.3)
    table.host(1, instance="two")
    assert table.roster.wait_for(3, 5.0, seen.append)
    assert table.roster.served == [0, 1, 2]


def test_a_flood_of_strangers_prints_no_flood_of_who_is_missing(table):
    stranger = table.peer(0)
    for number in range(10_000):
        stranger.say(m.Ping(), number * 1e-4)
    seen = []
    table.roster.wait_for(3, 1.0, seen.append)
    assert len(seen) <= 7
    assert len(stranger.heard) <= 1.0 / STRANGER_EVERY_S + 1


# ---- who may speak


@pytest.mark.parametrize(
    "said",
    [
        m.Trouble(reason="I am nobody", trace="t"),
        m.Prepared(round=0, attempt=1, fingerprint="b" * 64, draw=1),
        m.Ready(round=0, attempt=1, ground_truth={0: (1e300,) * 500}, losses={0: 1e300}),
        m.Transmitting(round=0, attempt=1, number=1, reports=(m.Report(device=9_999, start_sample=-(2**60)),)),
        m.Evaluated(round=0, loss=math.inf, metric=1e300, num_examples=1),
        m.Goodbye(next_round=2**40, fingerprint="b" * 64),
        m.Joined(next_round=0, proof=PROOF),
        m.CatchUp(first=2**40),
        m.Ping(),
        m.Finish(reason="stop", failed=True, next_round=0),  # not even a host's
    ],
    ids=lambda said: type(said).__name__,
)
def test_what_a_stranger_says_is_a_question_back_and_no_more(table, said):
    host = table.seat(0, 1, 2, also=lambda _: ())
    stranger = table.peer(1)
    stranger.say(said)
    host.say(m.Prepared(round=0, attempt=1, fingerprint=None, draw=7), 0.5)
    answers = table.sound()
    assert [a.draw for a in answers.of.values()] == [7]
    assert stranger.heard == [m.WhoAreYou()]
    assert table.roster.served == [0, 1, 2]
    assert table.office.losses == []


@pytest.mark.parametrize(
    "body",
    [
        [6, 0, 1, {0: [math.nan]}, None, {}, 0.0],
        [6, 0, 1, None, {0: math.inf}, {}, 0.0],
        [6, 0, 1, None, None, {10_000: "another's"}, 0.0],
        [5, 0, 1, 1, [], math.nan],
        [5, 0, 1, 1, [[0, None, 2**61, None]], 0.0],
        [4, -1, 1, None, 1],
        [4, 0, 0, None, 1],
        [4, 0, 1, "short", 1],
        [7, 0, math.nan, 0.0, 1],
        [7, 0, 1.0, math.nan, 1],
        [7, 0, 1.0, -1.0, 1],
        [7, 0, 1.0, 1.0, 0],
        [9, "x" * 4_001, ""],
        [10, "surprise"],
        [99],
    ],
    ids=lambda body: str(body)[:40],
)
def test_what_is_out_of_range_is_no_message(body):
    assert isinstance(CODEC.decode([bytes([m.PROTOCOL_VERSION]) + msgspec.msgpack.encode(body)]), str)


def test_no_number_can_be_built_into_a_message_either():
    with pytest.raises(ValueError, match="loss"):
        m.Evaluated(round=0, loss=math.nan, metric=0.0, num_examples=1)
    with pytest.raises(ValueError, match="ground_truth"):
        m.Ready(round=0, attempt=1, ground_truth={0: (math.inf,)}, losses=None)


@pytest.mark.parametrize("devices", [(), (3,), (0, 7), (1, 0), (1, 1), tuple(range(10_000))])
def test_devices_that_the_rig_does_not_have_are_refused_in_words_that_arrive(table, devices):
    peer = table.peer(*devices)
    peer.say(peer.hello())
    table.pass_time(1)
    assert "allowed 0 to 2" in peer.of(m.Refused)[0].reason or len(devices) == 10_000
    assert len(peer.of(m.Refused)) == 1
    assert table.roster.seats == []


def test_another_version_and_another_program_are_refused(table):
    for number, changed in enumerate(({"protocol_version": 99}, {"code": "0" * 64})):
        peer = table.peer(0, instance=str(number))
        peer.say(peer.hello(**changed))
        table.pass_time(1)
        assert ("99" if not number else "toolkit") in peer.of(m.Refused)[0].reason
    assert table.roster.seats == []


def test_a_key_serves_only_the_devices_that_the_rig_gives_it():
    table = Table(office=DeskOffice(serves={"mine": frozenset({0, 1})}))
    for key, devices, is_let_in in (
        ("mine", (2,), False), ("mine", (0, 2), False), ("other", (0,), False), ("", (0,), False),
        ("mine", (0, 1), True),
    ):  # fmt: skip
        peer = table.peer(*devices, key=key)
        peer.say(peer.hello())
        table.pass_time(1)
        assert bool(peer.of(m.Welcome)) is is_let_in, (key, devices)
        assert bool(peer.of(m.Refused)) is not is_let_in


# ---- seats


def test_a_bare_hello_moves_nobody_who_is_there_and_the_newcomer_goes_on_asking(table):
    holder = table.seat(0, 1, 2)
    rival = table.host(1, instance="rival")
    table.sound()
    assert [type(heard) for heard in rival.heard] == [m.Occupied]
    assert table.roster.seat_of(1).instance == "one"
    holder.cut()
    rival.say(rival.hello(), 1.0)
    table.pass_time(2)
    table.roster.admit()
    assert table.roster.seat_of(1).instance == "rival"
    assert table.roster.missing == [0, 2]
    assert [loss.reason for loss in table.office.losses] == ["left"]


def test_occupied_is_said_in_words_that_arrive_however_many_devices_there_are():
    table = Table(num_devices=2_000)
    table.seat(*range(2_000))
    rival = table.host(*range(2_000), instance="rival")
    table.pass_time(1)
    assert len(rival.of(m.Occupied)) == 1


def test_a_hello_while_an_answer_is_awaited_disturbs_nobody(table):
    table.seat(0, also=lambda _: ())
    slow = table.seat(1, instance="slow")
    slow.latency_s = 1.5
    late = table.host(2, instance="late")
    answers = table.sound(5.0, compare=True)
    assert [seat.devices for seat in answers.of] == [(1,)]
    assert [(loss.devices, loss.reason) for loss in answers.losses] == [((0,), "scalars: no answer in 5 s")]
    assert late.of(m.Seated) == [m.Seated(next_round=0)]
    assert late.of(m.SoundStart) == []  # from the next attempt on
    assert table.roster.missing == [0]
    assert table.roster.admit()
    assert table.roster.served == [1, 2]


def test_the_same_process_on_a_new_connection_keeps_its_seat_and_hears_the_open_question_at_once(table):
    host = table.seat(0, 1, 2)
    seat = table.roster.seat_of(0)
    host.deaf_to[m.SoundStart] = 1

    def reconnects():
        host.connect()
        host.say(host.hello())

    table.server.at(0.3, reconnects)
    began_s = table.server.time_s
    answers = table.sound()
    assert list(answers.of) == [seat]
    assert seat.route == host.route
    assert table.server.time_s - began_s < 0.5  # not only when it is repeated
    assert table.office.losses == []


@pytest.mark.parametrize(("key", "instance"), [("another", "one"), ("", "two")])
def test_neither_another_key_nor_another_process_gets_the_seat_of_one_that_is_there(table, key, instance):
    holder = table.seat(0, 1, 2, key="holder")
    thief = table.host(0, 1, 2, key=key, instance=instance)
    table.pass_time(2)
    assert [type(heard) for heard in thief.heard] == [m.Occupied]
    assert table.roster.seat_of(0).route == holder.route


def test_a_process_whose_two_connections_trade_places_leaves_no_seat_that_nobody_can_reach(table):
    first, second = table.seat(0), table.seat(1)  # the same key and instance
    second.say(second.hello(devices=(0,)), 1.0)
    table.pass_time(2)
    roster = table.roster
    assert [(seat.devices, seat.route) for seat in roster.seats] == [((0,), second.route)]
    assert set(roster._by_route) == {second.route}
    assert roster.served == [0]
    first.say(m.Trouble(reason="who am I"))
    table.pass_time(1)
    assert roster.served == [0]


def test_trouble_of_one_host_is_its_own(table):
    table.seat(0)
    sick = table.seat(1, 2, instance="sick", also=lambda _: ())
    sick.say(m.Trouble(reason="out of memory", trace="Traceback …"), 0.2)
    answers = table.sound()
    assert [seat.devices for seat in answers.of] == [(0,)]
    assert [(str(loss), loss.trace, loss.is_said) for loss in answers.losses] == [
        ("devices 1, 2: out of memory", "Traceback …", True)
    ]
    assert table.office.losses == answers.losses


def test_what_a_host_says_is_one_line_of_the_log_and_moves_no_cursor(table):
    liar = table.seat(1, also=lambda _: ())
    liar.say(m.Trouble(reason="bye\n2026 INFO all is well\x1b[2J"), 0.2)
    table.sound(1.0)
    (loss,) = table.office.losses
    assert str(loss) == "device 1: bye 2026 INFO all is well [2J"
    renamed = msgspec.structs.replace(liar.hello(), host="gpu1\nroot")
    assert isinstance(CODEC.decode(CODEC.encode(renamed)), str)


def test_an_answer_with_a_fault_costs_the_seat_and_the_host_is_told(table):
    liar = table.seat(0, also=prepared)
    table.seat(1, instance="two")
    answers = table.roster.ask(
        table.roster.seated, m.SoundStart(round=0, attempt=1, seed=1, compare=False), m.Prepared, 5.0, what="scalars",
        fault=lambda seat, _: "x" * 9_000 if seat.devices == (0,) else None,
    )  # fmt: skip
    assert [seat.devices for seat in answers.of] == [(1,)]
    assert len(liar.of(m.Refused)) == 1
    assert table.roster.missing == [0, 2]


def test_answers_to_another_question_are_not_taken_for_this_one(table):
    host = table.seat(0, also=lambda _: ())
    for after_s, round_index, draw in ((0.1, 1, 1), (0.2, 0, 2)):
        host.say(m.Prepared(round=round_index, attempt=1, fingerprint=None, draw=draw), after_s)
    assert [a.draw for a in table.sound().of.values()] == [2]


@pytest.mark.parametrize("told", [(), (1,), (0, 1), (0, 0)])
def test_a_poll_is_answered_for_the_devices_that_were_asked(table, told):
    def answers(message):
        if isinstance(message, m.Poll):
            reports = tuple(m.Report(device=device) for device in told)
            yield m.Transmitting(round=0, attempt=1, number=message.number, reports=reports)

    table.seat(0, also=answers)
    with pytest.raises(AttemptFailedError, match=r"device 0: pilot: answered for devices .*, asked \[0\]"):
        Polls(table.roster, 1.0).poll(0, 1, [0], "pilot")
    assert table.roster.served == []


def test_polls_of_an_access_point_that_died_have_other_numbers():
    starts = {next(Polls(None, 1.0)._numbers) for _ in range(20)}
    assert len(starts) > 10


# ---- liveness


def test_what_is_not_answered_is_asked_again_in_growing_intervals(table):
    host = table.seat(0, also=lambda _: ())
    table.sound(20.0)
    asked_s = [at for at, heard in zip(host.heard_at_s, host.heard, strict=True) if isinstance(heard, m.SoundStart)]
    waits_s = [b - a for a, b in pairwise(asked_s)]
    assert waits_s == pytest.approx([1, 2, 4, 8], abs=0.25)
    assert [str(loss) for loss in table.office.losses] == ["device 0: scalars: no answer in 20 s"]


def test_a_host_that_was_stopped_loses_its_seat_is_asked_who_it_is_and_comes_back(table):
    stopped = table.seat(0, also=lambda _: ())
    table.sound(5.0)
    assert table.roster.served == []
    joins(stopped, also=prepared)
    table.server._due.clear()  # it was not the Hello of `joins` that it said
    stopped.say(m.Prepared(round=0, attempt=1, fingerprint=None, draw=1))
    assert table.roster.wait_for(1, 5.0, lambda _: None)
    assert len(stopped.of(m.WhoAreYou)) == 1
    assert len(table.sound().of) == 1


def test_a_host_that_is_gone_is_not_waited_for(table):
    table.seat(0, also=lambda _: ()).cut()
    began_s = table.server.time_s
    assert [str(loss) for loss in table.sound().losses] == ["device 0: left"]
    assert table.server.time_s == began_s


def test_a_host_that_dies_while_it_is_waited_for_is_found_when_the_question_is_repeated(table):
    host = table.seat(0, also=lambda _: ())
    table.server.at(0.5, lambda: host.cut())
    began_s = table.server.time_s
    assert [str(loss) for loss in table.sound(60.0).losses] == ["device 0: left"]
    assert table.server.time_s - began_s < 1.5


@pytest.mark.parametrize("lost", [m.Welcome, m.Results, m.Seated])
def test_answers_that_are_lost_are_given_again_whoever_joins(lost):
    table = Table(office=DeskOffice(next_round=10))
    peer = table.peer(0)
    peer.deaf_to[lost] = 3
    at, question, state = 0, [peer.hello()], ["outside"]

    def answers(message):  # as Membership does
        nonlocal at
        match message:
            case m.Welcome() if state[0] == "outside":
                question[0], state[0] = m.CatchUp(first=at), "joining"
                yield question[0]
            case m.Results(first=first, until=until, next_round=next_round) if first == at:
                at = until
                question[0] = m.CatchUp(first=at) if at < next_round else m.Joined(next_round=at, proof=PROOF)
                yield question[0]
            case m.Seated():
                state[0] = "seated"

    peer.answers = answers

    def again():
        if state[0] != "seated":
            peer.say(question[0])
            table.server.at(1.0, again)

    again()
    assert table.roster.wait_for(1, 20.0, lambda _: None)
    table.pass_time(5)
    assert state == ["seated"]
    assert at == 10
    assert table.office.losses == []


def test_a_long_history_is_told_in_as_many_messages_as_it_takes():
    table = Table(office=DeskOffice(next_round=10, chunk=3))
    host = table.seat(0)
    assert [(told.first, told.until) for told in host.of(m.Results)] == [(0, 3), (3, 6), (6, 9), (9, 10)]


def test_a_host_ahead_of_the_journal_is_refused_and_others_are_not(table):
    table.seat(0)
    ahead = table.peer(1, instance="ahead")
    ahead.say(ahead.hello())
    ahead.say(m.CatchUp(first=5), 0.1)
    table.pass_time(1)
    assert "the journal at 0" in ahead.of(m.Refused)[0].reason
    assert table.roster.served == [0]


def test_a_host_with_another_proof_is_refused(table):
    liar = table.peer(0)
    joins(liar, proof=msgspec.structs.replace(PROOF, weights="0" * 64))
    table.pass_time(1)
    assert "weights" in liar.of(m.Refused)[0].reason
    assert table.roster.seats == []


def test_a_host_that_joins_a_round_late_is_told_what_it_missed_and_then_seated():
    table = Table(office=DeskOffice(next_round=2))
    late = table.peer(0)
    joins(late)
    late.answers = lambda message, answers=late.answers: (
        [m.Joined(next_round=1, proof=PROOF)] if isinstance(message, m.Welcome) else answers(message)
    )
    table.pass_time(1)
    assert [(told.first, told.until) for told in late.of(m.Results)] == [(1, 2)]
    assert table.roster.admit() or table.roster.served == [0]


def test_a_full_disk_of_the_access_point_is_no_fault_of_the_host(table):
    def full(_):
        raise RunDirectoryError("run.json: No space left on device")

    table.office.check = full
    host = table.host(0)
    with pytest.raises(RunDirectoryError):
        table.pass_time(1)
    assert host.of(m.Refused) == []
