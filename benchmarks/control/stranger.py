"""A stranger at the access point's door, or a program that burns as much processor time; a script that starts fast.

`python stranger.py flood|flood-plain ADDRESS` or `python stranger.py burn SHARE`, until standard input ends; then it
says how many messages it got rid of, and how many seconds of processor time it took.
"""

from __future__ import annotations

import select
import socket
import sys
import time
from collections.abc import Callable
from contextlib import suppress

RATE_PER_S = 10_000
BURST = 100
PING = b"\x06\x91\x0a"
"""Of protocol 6."""
GREETING = b"\xff" + bytes(8) + b"\x7f\x03\x00NULL" + bytes(16) + b"\x00" + bytes(31)
"""Of ZMTP, without a key."""


def is_over() -> bool:
    """Whether standard input has ended."""
    return bool(select.select([sys.stdin], [], [], 0)[0])


def flood(send: Callable[[], bool]) -> int:
    """Send 10,000 messages a second; returns how many were taken from here."""
    began, num_tried, num_sent = time.perf_counter(), 0, 0
    while not is_over():
        for _ in range(BURST):
            num_sent += send()
        num_tried += BURST
        ahead_s = num_tried / RATE_PER_S - (time.perf_counter() - began)
        if ahead_s > 0:
            time.sleep(ahead_s)
    return num_sent


def plain_sender(address: str) -> Callable[[], bool]:
    """A client without a key, where nobody asks for one."""
    import zmq

    peer = zmq.Context.instance().socket(zmq.DEALER)
    peer.setsockopt(zmq.LINGER, 0)
    peer.connect(address)

    def send() -> bool:
        with suppress(zmq.Again):
            peer.send(PING, zmq.NOBLOCK)
            return True
        return False

    return send


def raw_sender(address: str) -> Callable[[], bool]:
    """Talks ZMTP with the NULL mechanism whatever it hears, and connects again whenever it is shut out."""
    host, _, port = address.removeprefix("tcp://").rpartition(":")
    door: list[socket.socket] = []

    def send() -> bool:
        try:
            if not door:
                door.append(socket.create_connection((host, int(port)), timeout=1.0))
                door[0].sendall(GREETING)
            door[0].sendall(bytes([0, len(PING)]) + PING)
        except OSError:
            if door:
                door.pop().close()
            return False
        return True

    return send


def burn(share: float) -> int:
    """Use so much of one core."""
    while not is_over():
        until = time.perf_counter() + 0.01 * share
        while time.perf_counter() < until:
            pass
        time.sleep(0.01 * (1 - share))
    return 0


def main(what: str, argument: str) -> None:
    """Begin, go on until standard input ends, and tell."""
    print("begun", flush=True)
    if what == "burn":
        num = burn(float(argument))
    else:
        num = flood(plain_sender(argument) if what == "flood-plain" else raw_sender(argument))
    print(num, time.process_time(), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
