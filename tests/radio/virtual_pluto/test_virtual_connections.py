"""Many clients, bad clients, lost clients: no connection disturbs another, or leaves anything behind."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack, suppress

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from radio.virtual_pluto.config import Fault
from radio.virtual_pluto.iio.context import RX, TX
from radio.virtual_pluto.server import VirtualPlutos

from .conftest import GIVE_UP_S, Client


def test_fifty_clients_at_once(plutos: VirtualPlutos) -> None:
    failures: list[str] = []

    def work(index: int) -> None:
        with Client(plutos.uris[index % 2]) as one:
            for step in range(10):
                gain = f"{-(index + step) % 80}"
                if one.write("ad9361-phy OUTPUT voltage0 hardwaregain", f"-{gain}") != len(gain) + 1:
                    failures.append(f"{index}: write")
                if not str(one.read("ad9361-phy OUTPUT voltage0 hardwaregain")).endswith(" dB"):
                    failures.append(f"{index}: read")
            if len(one.xml().findall("device")) != 4:
                failures.append(f"{index}: context")

    threads = [threading.Thread(target=work, args=(index,)) for index in range(50)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert not failures
    assert not any(thread.is_alive() for thread in threads)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    opening=st.sampled_from([b"", b"OPEN iio:device2 64 00000003\r\n", b"OPEN iio:device3 64 00000003\r\n"]),
    garbage=st.one_of(
        st.binary(max_size=300),
        st.lists(
            st.sampled_from(
                ["READ", "WRITE", "OPEN", "READBUF", "\r\nREADBUF\r\n",
                 "\r\nWRITEBUF\r\n", "WRITEBUF", "CLOSE", "SET", "BUFFERS_COUNT", "iio:device2",
                 "iio:device3", "00000003", "ffffffff", "CYCLIC", "64", "-1", "99999999999999999999", "4096", "INPUT",
                 "voltage0", "raw", "\r\n", "\n", "DEBUG", "direct_reg_access", "EXIT", "PRINT", "0", "\0"]
            ),
            max_size=30,
        ).map(lambda words: " ".join(words).encode()),
    ),
)  # fmt: skip
def test_garbage_and_half_commands_break_nothing(plutos: VirtualPlutos, opening: bytes, garbage: bytes) -> None:
    bad = Client(plutos.uris[0])
    bad.send(opening + garbage)
    bad.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")  # reset instead of a farewell
    bad.close()
    with Client(plutos.uris[0]) as good:
        assert good.ask("TIMEOUT 100") == 0


def test_a_line_without_end_and_an_oversized_write_end_the_connection(plutos: VirtualPlutos) -> None:
    with Client(plutos.uris[0]) as one:
        one.send(b"A" * 100_000)
        with pytest.raises((ConnectionError, AssertionError)):
            one.number()
    with Client(plutos.uris[0]) as one:
        assert one.ask("WRITE ad9361-phy calib_mode 99999999") == -22
        assert one.stream.readline() == b""


@pytest.mark.parametrize(("kind", "number"), [("busy", -16), ("timeout", -110)])
def test_a_refused_write_leaves_the_connection_in_step(
    plutos: VirtualPlutos, client: Client, kind: str, number: int
) -> None:
    for command in ("WRITE", "WRITEBUF", "READ"):
        plutos.faults.add(Fault(kind=kind, command=command))
    assert client.write("ad9361-phy calib_mode", "manual") == number
    assert client.read("ad9361-phy calib_mode") == number
    assert client.read("ad9361-phy calib_mode") == "auto"
    assert client.ask(f"OPEN {TX} 64 00000003") == 0
    assert client.ask(f"WRITEBUF {TX} 256") == number
    assert client.ask(f"CLOSE {TX}") == 0
    assert plutos.faults.num_struck == 3


def test_buffers_of_broken_connections_are_given_back(plutos: VirtualPlutos) -> None:
    for _ in range(20):
        one = Client(plutos.uris[0])
        assert one.ask(f"OPEN {TX} 64 00000003") == 0
        assert one.ask(f"WRITEBUF {TX} 256") == 0
        one.send(bytes(100))  # half of it
        one.close()
    while plutos.num_connections:
        time.sleep(0.01)
    assert 0 not in plutos.air.sending


def test_closing_a_bench_ends_its_threads_and_frees_its_ports(serve: Callable[..., VirtualPlutos]) -> None:
    before = threading.active_count()
    plutos = serve()
    clients = [Client(uri) for uri in plutos.uris for _ in range(3)]
    assert clients[0].ask(f"OPEN {RX} 64 00000003") == 0
    plutos.close()
    for client in clients:
        client.close()
    assert threading.active_count() == before
    for uri in plutos.uris:
        host, port = uri.removeprefix("ip:").split(":")
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((host, int(port)))


def test_a_restarted_daemon_breaks_connections_and_keeps_settings(plutos: VirtualPlutos) -> None:
    with Client(plutos.uris[0]) as old:
        assert old.write("ad9361-phy OUTPUT voltage0 hardwaregain", "-33") == 3
        assert old.ask(f"OPEN {TX} 64 00000003") == 0
        restarted_s = time.monotonic()
        plutos.restart(0, down_s=0.5)
        assert old.stream.readline() == b""
    with connected_again(plutos.uris[0]) as new:
        assert time.monotonic() - restarted_s >= 0.5
        assert new.read("ad9361-phy OUTPUT voltage0 hardwaregain") == "-33.000000 dB"
        assert new.ask(f"OPEN {TX} 64 00000003") == 0


def connected_again(uri: str) -> Client:
    deadline = time.monotonic() + GIVE_UP_S
    while time.monotonic() < deadline:
        with suppress(OSError, AssertionError), ExitStack() as stack:
            client = stack.enter_context(Client(uri))
            assert client.ask("TIMEOUT 100") == 0
            stack.pop_all()
            return client
        time.sleep(0.02)
    raise AssertionError("the daemon did not come back")
