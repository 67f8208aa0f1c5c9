"""Real ZeroMQ sockets: strict decoding, addresses that stay on this machine, peers that come and go."""

import os
import threading
import time

import pytest
import zmq

from testbed.control import messages as m
from testbed.control.transport import PROTOCOL, Client, Codec, Server, check_address, new_context
from testbed.errors import TransportError

CODEC = m.control_codec()
PATIENCE_S = 100.0  # a busy machine; what is awaited comes at once otherwise


@pytest.fixture
def context():
    made = new_context()
    yield made
    made.term()


def test_a_message_travels_unchanged_over_tcp(context):
    sent = m.RoundResult(round=3, seed=2**62, status="ok", coefficients=(0.1, -2.5e-8), fingerprint=None)
    with Server(context, CODEC, "tcp://127.0.0.1:*") as server, Client(context, CODEC, server.address) as client:
        client.send(m.Ping())
        peer, message = server.receive(PATIENCE_S)
        assert message == m.Ping()
        assert server.send(peer, sent)
        assert client.receive(PATIENCE_S) == sent


def test_garbage_is_dropped_and_counted_and_the_next_message_still_arrives(context):
    garbage = [
        [b""],
        [b"GET / HTTP/1.1"],
        [PROTOCOL],
        [PROTOCOL, b""],
        [PROTOCOL, b"\xff" * 100],
        [PROTOCOL, os.urandom(5000)],
        [b"airzero/0", b"\x80"],
        [PROTOCOL, b"\x81\xa4type\xa8Surprise"],
        [PROTOCOL, b"\x91" * 5000],
        [PROTOCOL, b"x", b"y"],
    ]
    with Server(context, CODEC, "tcp://127.0.0.1:*") as server:
        raw = context.socket(zmq.DEALER)
        raw.connect(server.address)
        for parts in garbage:
            raw.send_multipart(parts)
        raw.send_multipart(CODEC.encode(m.Ping()))
        assert server.receive(PATIENCE_S)[1] == m.Ping()
        assert server.num_dropped == len(garbage)
        raw.close(linger=0)


def test_an_unknown_field_is_garbage():
    codec: Codec[m.ControlMessage] = m.control_codec()
    name, body = codec.encode(m.Evaluate(round=1))
    assert codec.decode([name, body]) == m.Evaluate(round=1)
    assert isinstance(codec.decode([name, body.replace(b"\xa5round", b"\xa5rounD")]), str)


def test_a_server_that_waits_returns_when_the_time_is_over(context):
    with Server(context, CODEC, "inproc://silent") as server:
        assert server.receive(0.01) is None


def test_sending_to_a_peer_that_is_gone_says_so(context):
    with Server(context, CODEC, "tcp://127.0.0.1:*") as server:
        with Client(context, CODEC, server.address) as client:
            client.send(m.Ping())
            peer, _ = server.receive(PATIENCE_S)
        deadline = time.monotonic() + PATIENCE_S
        while server.send(peer, m.Pong()) and time.monotonic() < deadline:
            time.sleep(0.01)
        assert not server.send(peer, m.Pong())


def test_a_client_finds_a_server_that_was_restarted(context):
    with Server(context, CODEC, "tcp://127.0.0.1:*") as server:
        address = server.address
        client = Client(context, CODEC, address)
        client.send(m.Ping())
        first, _ = server.receive(PATIENCE_S)
    with client, _listen_again(context, address) as server:
        second, _ = _ping_until_heard(client, server)
        assert second == first


def _ping_until_heard(client, server):
    """What was sent just as the old connection ended may be lost with it, which is why hosts repeat themselves."""
    deadline = time.monotonic() + PATIENCE_S
    heard = None
    while heard is None and time.monotonic() < deadline:
        client.send(m.Ping())
        heard = server.receive(0.2)
    return heard


def _listen_again(context, address):
    """A closed socket lets go of its port a moment later."""
    deadline = time.monotonic() + PATIENCE_S
    while True:
        try:
            return Server(context, CODEC, address)
        except TransportError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.02)


def test_an_address_in_use_is_an_error_with_a_remedy(context):
    with (
        Server(context, CODEC, "tcp://127.0.0.1:*") as server,
        pytest.raises(TransportError, match="choose a free port"),
    ):
        Server(context, CODEC, server.address)


@pytest.mark.parametrize(
    "address", ["tcp://0.0.0.0:5555", "tcp://192.0.2.1:5555", "tcp://*:5555", "tcp://example.org:1"]
)
def test_addresses_that_others_can_reach_are_refused(address):
    with pytest.raises(TransportError, match="loopback"):
        check_address(address)


@pytest.mark.parametrize("address", ["127.0.0.1:5555", "tcp://127.0.0.1", "http://127.0.0.1:80", "", "inproc://"])
def test_malformed_addresses_are_refused(address):
    with pytest.raises(TransportError, match="allowed"):
        check_address(address)


@pytest.mark.parametrize(
    "address", ["tcp://127.0.0.1:5555", "tcp://localhost:*", "tcp://[::1]:1", "ipc:///tmp/x", "inproc://x"]
)
def test_addresses_on_this_machine_are_fine(address):
    assert check_address(address) == address


def test_two_threads_of_one_process_talk_over_inproc(context):
    def answer(server):
        peer, _ = server.receive(PATIENCE_S)
        server.send(peer, m.Pong())

    with Server(context, CODEC, "inproc://threads") as server, Client(context, CODEC, server.address) as client:
        thread = threading.Thread(target=answer, args=(server,))
        thread.start()
        client.send(m.Ping())
        assert client.receive(PATIENCE_S) == m.Pong()
        thread.join()
