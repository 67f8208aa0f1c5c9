"""The roster while it waits: for ever is never, and who asks to stop is heard."""

from __future__ import annotations

from dataclasses import replace

import pytest

from testbed.control import messages as m
from testbed.control.roster import (
    PATIENCE_S,
    STRANGERS_PER_DEVICE,
    InterruptedRunError,
)
from testbed.errors import TestbedError
from tests.testbed.control.ends import WEIGHTS, Table


@pytest.fixture
def table():
    return Table()


def test_a_host_that_never_finishes_loading_loses_its_seat(table):
    table.roster.join_timeout_s = 10.0
    loading = table.peer(0)
    loading.say(loading.hello())
    table.pass_time(9)
    assert len(table.roster.seats) == 1
    table.pass_time(3)
    assert [str(loss) for loss in table.office.losses] == ["device 0: said Hello, and did not join in 10 s"]


def test_a_repeated_hello_is_one_seat_and_answered_so_often_at_most(table):
    peer = table.peer(0)
    for number in range(100):
        peer.say(peer.hello(), number * 0.01)
    table.pass_time(2)
    assert 1 <= len(peer.of(m.Welcome)) <= 2
    assert len(table.roster.seats) == 1


def test_strangers_on_ever_new_connections_take_no_memory_and_cost_little(table):
    host = table.seat(0, also=lambda _: ())
    strangers = []
    for number in range(5_000):
        strangers.append(table.peer(0, instance=str(number)))
        strangers[-1].say(m.Ping(), number * 1e-5)
    host.say(m.Prepared(round=0, attempt=1, fingerprint=None, draw=1), 0.3)
    assert len(table.sound().of) == 1
    most = STRANGERS_PER_DEVICE * (table.roster.num_devices + STRANGERS_PER_DEVICE)
    assert len(table.roster._strangers) <= most
    assert sum(len(each.heard) for each in strangers) <= most


def test_who_asks_to_stop_is_heard_within_the_patience_and_answers_that_come_meanwhile_count(table):
    table.seat(0, also=lambda _: ())
    table.roster.should_stop = lambda: table.server.time_s >= began_s + 1.0
    began_s = table.server.time_s
    with pytest.raises(InterruptedRunError):
        table.sound(60.0)
    assert table.server.time_s - began_s < 1.0 + PATIENCE_S + 0.5

    quick = Table()
    quick.seat(0)
    quick.roster.should_stop = lambda: True
    assert len(quick.sound(60.0).of) == 1


def test_waiting_for_devices_is_interrupted_too(table):
    table.roster.should_stop = lambda: True
    with pytest.raises(InterruptedRunError):
        table.pass_time(60)
    assert table.server.time_s < PATIENCE_S + 0.5


def test_goodbyes_that_come_soon_are_heard_whoever_asks_to_stop(table):
    """And a host that says none is not waited for: Ctrl-C is answered."""
    host = table.seat(0, also=lambda _: ())
    table.seat(1, also=lambda _: ())
    table.roster.should_stop = lambda: True
    host.say(m.Goodbye(next_round=0, fingerprint=WEIGHTS), PATIENCE_S / 2)
    finish = m.Finish(reason="done", failed=False, next_round=0)
    began_s = table.server.time_s
    answers = table.roster.ask(table.roster.seated, finish, m.Goodbye, 100.0, what="goodbye", heeds_stop=False)
    assert table.server.time_s - began_s < PATIENCE_S + 0.5
    assert len(answers.of) == 1
    table.roster.farewell(answers.of)
    assert host.of(m.Farewell) == [m.Farewell()]


def test_what_goes_wrong_elsewhere_is_raised_while_waiting(table):
    def check():
        raise TestbedError("a thread died")

    table.seat(0, also=lambda _: ())
    table.roster.check = check
    with pytest.raises(TestbedError, match="a thread died"):
        table.sound()


def test_who_is_loading_hears_no_results_but_the_end(table):
    seated = table.seat(0)
    loading = table.peer(1, instance="two")
    loading.say(loading.hello())
    table.pass_time(1)
    result = m.RoundResult(round=0, seed=1, status="ok", coefficients=(0.5,), fingerprint=None)
    table.roster.tell(result)
    finish = m.Finish(reason="failed", failed=True, next_round=0)
    table.roster.tell(finish, everybody=True)
    assert seated.heard[-2:] == [result, finish]
    assert loading.heard[1:] == [finish]


def test_a_message_to_many_hosts_is_encoded_once():
    table = Table(num_devices=20)
    for device in range(20):
        table.seat(device, instance=str(device))
    before = table.server.num_encoded
    assert len(table.sound().of) == 20
    assert table.server.num_encoded - before == 1


def test_seats_are_equal_to_themselves_alone(table):
    table.seat(0)
    seat = table.roster.seats[0]
    assert replace(seat) != seat
