"""Strangers at the door of a guarded server: real sockets, while a good peer keeps exchanging."""

import contextlib
import logging
import os
import re
import socket
import threading
import time
from pathlib import Path

import pytest
import zmq

from testbed.control import messages as m
from testbed.control.doorman import Grumbler, Guard
from testbed.control.keys import Credentials, KeyPair
from testbed.control.transport import Client, Server, new_context
from testbed.errors import TransportError

CODEC = m.control_codec()
PATIENCE_S = 100.0
_METADATA = 95  # ZMQ_METADATA: what a client says of itself while it connects


def new_pair():
    public, secret = zmq.curve_keypair()
    return KeyPair(public.decode(), secret.decode())


class House:
    """A guarded server, and a peer that it knows."""

    def __init__(self, context):
        self.context = context
        self.keys, self.guest = new_pair(), new_pair()
        self.known = {self.guest.public}
        self.server = Server(context, CODEC, "tcp://127.0.0.1:*", guard=Guard(self.keys, self.known.__contains__))
        self.port = int(self.server.address.rpartition(":")[2])
        self.good = self.client(self.guest)
        self.exchange()

    def client(self, pair, server_key=None):
        credentials = Credentials(pair, server_key or self.keys.public)
        return Client(self.context, CODEC, self.server.address, credentials=credentials)

    def exchange(self, num=1):
        for _ in range(num):
            self.good.send(m.Ping())
            sender, message = self.server.receive(PATIENCE_S)
            assert (sender.key, message) == (self.guest.public, m.Ping())
            assert self.server.send(sender.route, m.Pong())
            assert self.good.receive(PATIENCE_S) == m.Pong()
        return sender

    def until_refused(self, reason, num=1):
        """Meanwhile nobody but the good peer is heard."""
        deadline = time.monotonic() + PATIENCE_S
        while sum(num for kind, num in self.server.doorman.refused.items() if reason in kind) < num:
            assert time.monotonic() < deadline, self.server.doorman.refused
            self.exchange()

    def close(self):
        self.good.close()
        self.server.close()


@pytest.fixture
def house():
    context = new_context()
    made = House(context)
    yield made
    made.close()
    context.term()


def num_files():
    return len(os.listdir("/proc/self/fd"))


def resident_mib():
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20


def test_an_unknown_key_gets_nothing_and_is_named_and_let_in_once_it_is_known(house, caplog):
    stranger = new_pair()
    with house.client(stranger) as client:
        client.send(m.Ping())
        house.until_refused("unknown key")
        assert client.receive(0.1) is None
        assert stranger.public in caplog.text
        assert "127.0.0.1" in caplog.text
        assert stranger.secret not in caplog.text
        house.known.add(stranger.public)
        sender, message = house.server.receive(PATIENCE_S)
        assert (sender.key, message) == (stranger.public, m.Ping())


def test_a_plain_client_gets_nothing(house, caplog):
    with Client(house.context, CODEC, house.server.address) as client:
        client.send(m.Ping())
        house.until_refused("plain client")  # whichever side finds out first
        assert client.receive(0.1) is None
    # where it came from cannot be asked of one that is gone already
    assert re.search(r"refused a connection from (127\.0\.0\.1|unknown): ", caplog.text)


def test_a_client_of_another_server_gets_nothing(house):
    with house.client(house.guest, server_key=new_pair().public) as client:
        client.send(m.Ping())
        house.until_refused("it expects another server key")
        assert client.receive(0.1) is None


@pytest.mark.parametrize(
    "spoken", [b"GET / HTTP/1.1\r\n\r\n", b"\xff" + bytes(8) + b"\x7f" + b"\x03" * 200, bytes(range(256)) * 4]
)
def test_garbage_before_any_handshake_gets_nothing(house, spoken):
    with socket.create_connection(("127.0.0.1", house.port)) as raw, contextlib.suppress(OSError):
        raw.sendall(spoken)
        raw.settimeout(PATIENCE_S)
        while raw.recv(1000):  # the server's greeting, and then its end
            pass
    house.exchange(10)
    assert house.server.num_dropped == 0


def test_a_recorded_conversation_is_worth_nothing_on_a_new_connection(house):
    recorded = bytearray()
    listener = socket.create_server(("127.0.0.1", 0))

    def relay():
        inside, _ = listener.accept()
        outside = socket.create_connection(("127.0.0.1", house.port))

        def back():
            with contextlib.suppress(OSError):
                while data := outside.recv(65536):
                    inside.sendall(data)

        answers = threading.Thread(target=back)
        answers.start()
        with contextlib.suppress(OSError):
            while data := inside.recv(65536):
                recorded.extend(data)
                outside.sendall(data)
        outside.shutdown(socket.SHUT_RDWR)
        answers.join()
        inside.close()
        outside.close()

    thread = threading.Thread(target=relay)
    thread.start()
    address = f"tcp://127.0.0.1:{listener.getsockname()[1]}"
    with Client(house.context, CODEC, address, credentials=Credentials(house.guest, house.keys.public)) as client:
        client.send(m.Ping())
        assert house.server.receive(PATIENCE_S)[0].key == house.guest.public
        listener.close()  # it must not come again
    thread.join()
    before = house.server.doorman.refused.total()
    with socket.create_connection(("127.0.0.1", house.port)) as raw:
        raw.sendall(recorded)
        deadline = time.monotonic() + PATIENCE_S
        while house.server.doorman.refused.total() == before:
            assert time.monotonic() < deadline
            house.exchange()
    assert house.server.receive(0.2) is None


def test_a_valid_key_takes_no_other_connections_place(house):
    victim = house.exchange()
    other = new_pair()
    house.known.add(other.public)
    raw = house.context.socket(zmq.DEALER)
    raw.setsockopt(zmq.ROUTING_ID, victim.route)
    raw.curve_publickey, raw.curve_secretkey = other.public.encode(), other.secret.encode()
    raw.curve_serverkey = house.keys.public.encode()
    raw.connect(house.server.address)
    raw.send(CODEC.encode(m.Ping()))
    assert house.server.receive(0.3) is None
    assert house.exchange() == victim
    assert not raw.poll(100)
    raw.close(linger=0)


def test_what_a_message_says_of_itself_is_not_who_sent_it(house):
    other = new_pair()
    house.known.add(other.public)
    raw = house.context.socket(zmq.DEALER)
    raw.setsockopt(_METADATA, f"X-User-Id:{house.guest.public}".encode())
    raw.curve_publickey, raw.curve_secretkey = other.public.encode(), other.secret.encode()
    raw.curve_serverkey = house.keys.public.encode()
    raw.connect(house.server.address)
    raw.send(CODEC.encode(m.Trouble(reason=house.guest.public)))
    assert house.server.receive(PATIENCE_S)[0].key == other.public
    raw.close(linger=0)


def test_five_hundred_silent_connections_are_bounded_and_delay_nobody(house, caplog):
    house.exchange(50)
    files_before, memory_before = num_files(), resident_mib()
    with contextlib.ExitStack() as stack:
        for index in range(500):
            stack.enter_context(socket.create_connection(("127.0.0.1", house.port)))
            if index % 50 == 0:
                house.exchange()
        house.until_refused("too many connections", 400)
        deadline = time.monotonic() + PATIENCE_S
        while num_files() - files_before > 500 + 64:  # our own ends, and those that may be unproven
            assert time.monotonic() < deadline
            house.exchange()
        assert resident_mib() - memory_before < 64
        house.exchange(100)
        newcomer = new_pair()
        house.known.add(newcomer.public)
        with house.client(newcomer) as client:
            client.send(m.Ping())
            assert house.server.receive(PATIENCE_S)[0].key == newcomer.public
        deadline = time.monotonic() + PATIENCE_S
        while house.server.doorman.num_open > 2:  # libzmq gives up on a handshake after 3 s
            assert time.monotonic() < deadline
            house.exchange()
    house.server.close()
    assert len([r for r in caplog.records if "refused" in r.getMessage()]) < 50
    assert "left out" in caplog.text


def test_connections_that_are_proven_are_bounded_too():
    context, keys, guest = new_context(), new_pair(), new_pair()
    guard = Guard(keys, lambda _: True, max_connections=5)
    with Server(context, CODEC, "tcp://127.0.0.1:*", guard=guard) as server, contextlib.ExitStack() as stack:
        for _ in range(20):
            client = Client(context, CODEC, server.address, credentials=Credentials(guest, keys.public))
            stack.enter_context(client)
            client.send(m.Ping())
        heard = set()
        deadline = time.monotonic() + PATIENCE_S
        while len(heard) < 5 or not server.doorman.refused["too many connections"]:
            assert time.monotonic() < deadline
            if received := server.receive(0.1):
                heard.add(received[0].route)
    context.term()


def test_a_guard_is_for_tcp_and_without_one_only_this_machine_is_spoken_to():
    context, keys = new_context(), new_pair()
    with pytest.raises(TransportError, match="tcp"):
        Server(context, CODEC, "inproc://x", guard=Guard(keys, lambda _: True))
    with pytest.raises(TransportError, match="testbed keys"):
        Server(context, CODEC, "tcp://0.0.0.0:*")
    with Server(context, CODEC, "tcp://0.0.0.0:*", guard=Guard(keys, lambda _: True)) as server:
        assert server.address.startswith("tcp://0.0.0.0:")
    context.term()


def test_a_grumbler_says_how_much_it_left_out(caplog):
    grumbler = Grumbler(logging.getLogger("test"), num_lines=3)
    for index in range(10):
        grumbler.warning("line %d", index)
    grumbler.flush()
    assert [record.getMessage() for record in caplog.records] == [
        "line 0", "line 1", "line 2", "7 more such lines were left out",
    ]  # fmt: skip
