"""The access point's roster against peers that behave in every way they should not; real sockets."""

import time

import pytest

from testbed.config.files import load
from testbed.config.schema import RunConfig
from testbed.control import messages as m
from testbed.control.roster import AttemptFailedError, Roster
from testbed.control.transport import Client, Server, new_context
from testbed.errors import DivergenceError, TestbedError

CODEC = m.control_codec()
CONFIG: RunConfig = load(None, None, [])


def hello(*devices, version=m.PROTOCOL_VERSION):
    return m.Hello(protocol_version=version, host="test", devices=devices, run_id="", next_round=0)


def joined(fingerprint="aa", next_round=0):
    return m.Joined(next_round=next_round, num_parameters=1, fingerprint=fingerprint)


def welcome(_):
    return m.Welcome(run_id="r", config=CONFIG, air_address="", next_round=0, results=())


class Table:
    """A roster for three devices, and clients that play hosts."""

    def __init__(self):
        self.context = new_context()
        self.server = Server(self.context, CODEC, "tcp://127.0.0.1:*")
        self.roster = Roster(server=self.server, num_devices=3, welcome=welcome, should_stop=lambda: False)
        self.clients = []

    def client(self):
        client = Client(self.context, CODEC, self.server.address)
        self.clients.append(client)
        return client

    def seat(self, *devices, fingerprint="aa"):
        client = self.client()
        client.send(hello(*devices))
        client.send(joined(fingerprint))
        for _ in range(2):
            self.roster._attend(*self.server.receive(100.0))
        assert isinstance(client.receive(100.0), m.Welcome)
        return client

    def close(self):
        for endpoint in (*self.clients, self.server):
            endpoint.close()
        self.context.term()


@pytest.fixture
def table():
    made = Table()
    yield made
    made.close()


def test_everyone_is_waited_for_and_the_missing_are_named(table):
    table.seat(0, 2)
    assert table.roster.missing == [1]
    seen = []
    assert not table.roster.wait_for_everyone(0.3, seen.append)
    assert seen[0] == [1]
    table.seat(1)
    assert table.roster.wait_for_everyone(0.3, seen.append)


def test_a_host_of_another_version_is_refused(table):
    client = table.client()
    client.send(hello(0, version=99))
    table.roster._attend(*table.server.receive(100.0))
    answer = client.receive(100.0)
    assert isinstance(answer, m.Refused)
    assert "99" in answer.reason
    assert table.roster.missing == [0, 1, 2]


@pytest.mark.parametrize("devices", [(), (3,), (-1,), (0, 7)])
def test_devices_that_the_rig_does_not_have_are_refused(table, devices):
    client = table.client()
    client.send(hello(*devices))
    table.roster._attend(*table.server.receive(100.0))
    answer = client.receive(100.0)
    assert isinstance(answer, m.Refused)
    assert "allowed 0 to 2" in answer.reason


def test_repeated_hellos_are_answered_once(table):
    client = table.client()
    for _ in range(3):
        client.send(hello(0))
    for _ in range(3):
        table.roster._attend(*table.server.receive(100.0))
    assert isinstance(client.receive(100.0), m.Welcome)
    assert client.receive(0.1) is None


def test_a_second_host_takes_a_device_over_and_the_first_is_told(table):
    first = table.seat(0)
    table.seat(0)
    answer = first.receive(100.0)
    assert isinstance(answer, m.Refused)
    assert len(table.roster.hosts) == 1


def test_an_unknown_host_is_asked_who_it_is(table):
    client = table.client()
    client.send(m.Ping())
    table.roster._attend(*table.server.receive(100.0))
    assert client.receive(100.0) == m.WhoAreYou()


def test_a_deadline_names_the_devices_that_did_not_answer(table):
    table.seat(0)
    table.seat(1, 2)
    with pytest.raises(AttemptFailedError, match=r"devices 0, 1, 2: scalars: no answer in 0\.2 s") as caught:
        table.roster.collect(m.Prepared, list(table.roster.hosts), 0.2, what="scalars")
    assert caught.value.missing == (0, 1, 2)


def test_an_answer_to_another_round_is_not_taken_for_this_one(table):
    client = table.seat(0)
    client.send(m.Transmitting(round=1, attempt=1, device=0))
    client.send(m.Transmitting(round=2, attempt=1, device=0))
    answers = table.roster.collect(
        m.Transmitting, list(table.roster.hosts), 5, what="pilot", accept=lambda a: a.round == 2
    )
    assert [answer.round for answer in answers.values()] == [2]


def test_hosts_with_different_weights_end_the_run_and_are_named(table):
    table.seat(0, fingerprint="aa")
    client = table.client()
    client.send(hello(1, 2))
    client.send(joined("bb"))
    table.roster._attend(*table.server.receive(100.0))
    with pytest.raises(DivergenceError, match=r"device 0: aa; devices 1, 2: bb"):
        table.roster._attend(*table.server.receive(100.0))


def test_trouble_of_a_host_ends_the_run_with_its_own_words(table):
    client = table.seat(1)
    client.send(m.Trouble(reason="no such file"))
    with pytest.raises(TestbedError, match="device 1: no such file"):
        table.roster.collect(m.Prepared, list(table.roster.hosts), 5, what="scalars")


def test_a_host_that_joins_in_mid_round_fails_the_attempt(table):
    table.seat(0)
    table.roster.running = True
    client = table.client()
    client.send(hello(1))
    client.send(joined())
    with pytest.raises(AttemptFailedError, match="device 1 joined again"):
        table.roster.collect(m.Prepared, list(table.roster.hosts), 5, what="scalars")


def test_a_host_that_left_is_noticed_when_something_is_sent_to_it(table):
    client = table.seat(0)
    peer = next(iter(table.roster.hosts))
    client.close()
    with pytest.raises(AttemptFailedError, match="device 0 left"):
        _send_until_it_fails(table.roster, peer)
    assert table.roster.missing == [0, 1, 2]


def _send_until_it_fails(roster, peer):
    deadline = time.monotonic() + 100
    while time.monotonic() < deadline:
        roster.send(peer, m.Pong())
        time.sleep(0.01)
