"""Real ZeroMQ sockets: strict decoding, addresses that stay on this machine, peers that come and go."""

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time

import pytest
import zmq

from testbed.control import messages as m
from testbed.control.transport import PROTOCOL_VERSION, Client, Codec, Server, check_address, new_context
from testbed.errors import TransportError

CODEC = m.control_codec()
PREFIX = bytes([PROTOCOL_VERSION])
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
        sender, message = server.receive(PATIENCE_S)
        assert message == m.Ping()
        assert sender.key == ""
        assert server.send(sender.route, sent)
        assert client.receive(PATIENCE_S) == sent


def test_garbage_is_dropped_and_counted_and_the_next_message_still_arrives(context):
    garbage = [
        [b""],
        [b"GET / HTTP/1.1"],
        [PREFIX],
        [PREFIX + b"\xff" * 100],
        [PREFIX + os.urandom(5000)],
        [bytes([PROTOCOL_VERSION - 1]) + CODEC.encode(m.Ping())[1:]],
        [PREFIX + b"\x81\xa4type\xa8Surprise"],
        [PREFIX + b"\x91" * 5000],
        [CODEC.encode(m.Ping()), b""],
        [b"x"] * 10_000,
    ]
    with Server(context, CODEC, "tcp://127.0.0.1:*") as server:
        raw = context.socket(zmq.DEALER)
        raw.connect(server.address)
        for parts in garbage:
            raw.send_multipart(parts)
        raw.send(CODEC.encode(m.Ping()))
        assert server.receive(PATIENCE_S)[1] == m.Ping()
        assert server.num_dropped == len(garbage)
        raw.close(linger=0)


def test_an_unknown_field_is_garbage():
    codec: Codec[m.ControlMessage] = m.control_codec()
    body = codec.encode(m.Evaluate(round=1))
    assert codec.decode(body) == m.Evaluate(round=1)
    number_and_field, number, field = body[1:2], body[2:3], body[3:]
    assert (number_and_field, number, field) == (b"\x92", b"\x1e", b"\x01")
    assert isinstance(codec.decode(body[:1] + b"\x93" + number + field + field), str)


def test_a_server_that_waits_returns_when_the_time_is_over(context):
    with Server(context, CODEC, "inproc://silent") as server:
        assert server.receive(0.01) is None


def test_sending_to_a_peer_that_is_gone_says_so(context):
    with Server(context, CODEC, "tcp://127.0.0.1:*") as server:
        with Client(context, CODEC, server.address) as client:
            client.send(m.Ping())
            route = server.receive(PATIENCE_S)[0].route
        deadline = time.monotonic() + PATIENCE_S
        while server.send(route, m.Pong()) and time.monotonic() < deadline:
            time.sleep(0.01)
        assert not server.send(route, m.Pong())
        assert server.send_all([route, route], m.Pong()) == [route, route]


def test_a_client_finds_a_server_that_was_restarted(context):
    with Server(context, CODEC, "tcp://127.0.0.1:*") as server:
        address = server.address
        client = Client(context, CODEC, address)
        client.send(m.Ping())
        first, _ = server.receive(PATIENCE_S)
    with client, _listen_again(context, address) as server:
        second, _ = _ping_until_heard(client, server)
        assert second.route != first.route


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
        sender, _ = server.receive(PATIENCE_S)
        server.send(sender.route, m.Pong())

    with Server(context, CODEC, "inproc://threads") as server, Client(context, CODEC, server.address) as client:
        thread = threading.Thread(target=answer, args=(server,))
        thread.start()
        client.send(m.Ping())
        assert client.receive(PATIENCE_S) == m.Pong()
        thread.join()


def test_what_is_too_long_ends_its_connection_and_nobody_elses(context):
    with (
        Server(context, CODEC, "tcp://127.0.0.1:*", max_bytes=1000) as server,
        Client(context, CODEC, server.address) as good,
    ):
        raw = context.socket(zmq.DEALER)
        raw.connect(server.address)
        raw.send(PREFIX + bytes(2000))
        assert server.receive(0.5) is None
        good.send(m.Ping())
        assert server.receive(PATIENCE_S)[1] == m.Ping()
        raw.close(linger=0)


def test_a_flood_of_garbage_ends_no_wait_late_and_floods_no_log(context, caplog):
    with Server(context, CODEC, "tcp://127.0.0.1:*") as server:
        raw = context.socket(zmq.DEALER)
        raw.connect(server.address)
        ended = threading.Event()

        def flood():
            while not ended.is_set():
                with contextlib.suppress(zmq.Again):
                    raw.send(b"garbage", zmq.NOBLOCK)

        thread = threading.Thread(target=flood)
        thread.start()
        try:
            for _ in range(3):
                assert server.receive(0.1) is None  # would never return while there is garbage to drop
            while server.num_dropped < 100:
                assert server.receive(0.1) is None
        finally:
            ended.set()
            thread.join()
            raw.close(linger=0)
    assert len([r for r in caplog.records if "dropped" in r.getMessage()]) < 100
    assert "left out" in caplog.text


def test_no_client_chooses_its_route(context):
    with Server(context, CODEC, "tcp://127.0.0.1:*") as server, Client(context, CODEC, server.address) as good:
        raw = context.socket(zmq.DEALER)
        raw.setsockopt(zmq.ROUTING_ID, b"device 3")
        raw.connect(server.address)
        raw.send(CODEC.encode(m.Ping()))
        assert server.receive(0.3) is None
        assert server.num_dropped == 1
        good.send(m.Ping())
        assert server.receive(PATIENCE_S)[0].route != b"device 3"
        raw.close(linger=0)


def test_nobody_who_names_himself_by_the_next_route_aborts_the_server():
    """libzmq counts routes up from C's rand(); whoever took one before its turn ended the process."""
    program = """
import ctypes, sys, zmq
from testbed.control import messages as m
from testbed.control.transport import Client, Server, new_context
context, codec = new_context(), m.control_codec()
ctypes.CDLL(None).srand(1)
with Server(context, codec, "tcp://127.0.0.1:*") as server, context.socket(zmq.DEALER) as raw:
    raw.setsockopt(zmq.ROUTING_ID, bytes.fromhex("006b8b4567"))
    raw.connect(server.address)
    raw.send(codec.encode(m.Ping()))
    server.receive(100)
    with Client(context, codec, server.address) as client:
        client.send(m.Ping())
        assert server.receive(100)[0].route != bytes.fromhex("006b8b4567")
    raw.linger = 0
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_the_route_of_a_stopped_peer_is_gone_after_seconds(context):
    """SIGSTOP: its machine still answers for it, it does not."""
    program = """
import sys, time
from testbed.control import messages as m
from testbed.control.transport import Client, new_context
with Client(new_context(), m.control_codec(), sys.argv[1]) as client:
    client.send(m.Ping())
    time.sleep(1000)
"""
    with Server(context, CODEC, "tcp://127.0.0.1:*") as server:
        peer = subprocess.Popen([sys.executable, "-c", program, server.address])
        try:
            route = server.receive(PATIENCE_S)[0].route
            peer.send_signal(signal.SIGSTOP)
            deadline = time.monotonic() + PATIENCE_S
            while server.send(route, m.Pong()) and time.monotonic() < deadline:
                time.sleep(0.1)
            assert not server.send(route, m.Pong())
        finally:
            peer.kill()
            peer.wait()
