"""Rounds beside a stranger who sends 10,000 messages a second, and beside a program that burns as much processor time.

With keys, as the commands listen, the stranger connects over TCP, talks ZMTP without a key, and connects again whenever
it is shut out. Without keys its messages (Pings of this protocol) arrive, and the access point has to read them.
"""

from __future__ import annotations

import multiprocessing as mp
import socket
import statistics
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import zmq

from benchmarks.control.rounds import Watcher, play
from testbed.results.records import RoundRecord

RATE_PER_S = 10_000
_BURST = 100
ROUNDS_A_TURN = 60
SETTLING = 15


def flood(address: str, plain: bool, stop: Any, sent: Any) -> None:
    """Send so many messages a second until told to stop: with a client where nobody asks for a key, else over TCP."""
    send = _plain_sender(address) if plain else _raw_sender(address)
    began, num = time.perf_counter(), 0
    while not stop.is_set():
        for _ in range(_BURST):
            send()
        num += _BURST
        sent.value = num
        ahead_s = num / RATE_PER_S - (time.perf_counter() - began)
        if ahead_s > 0:
            time.sleep(ahead_s)


def _plain_sender(address: str) -> Callable[[], None]:
    peer = zmq.Context().socket(zmq.DEALER)
    peer.setsockopt(zmq.LINGER, 0)
    peer.connect(address)

    def send() -> None:
        with suppress(zmq.Again):
            peer.send(b"\x05\x91\x0a", zmq.NOBLOCK)  # a Ping of this protocol

    return send


def _raw_sender(address: str) -> Callable[[], None]:
    """A peer that talks ZMTP with the NULL mechanism and goes on whatever it hears."""
    host, _, port = address.removeprefix("tcp://").rpartition(":")
    greeting = b"\xff" + bytes(8) + b"\x7f\x03\x00NULL" + bytes(16) + b"\x00" + bytes(31)
    state: dict[str, socket.socket] = {}

    def send() -> None:
        try:
            if "at" not in state:
                state["at"] = socket.create_connection((host, int(port)), timeout=1.0)
                state["at"].sendall(greeting)
            state["at"].sendall(b"\x00\x03\x05\x91\x0a")
        except OSError:
            if "at" in state:
                state.pop("at").close()

    return send


def burn(share: float, stop: Any, started: Any) -> None:
    """Use so much of one core."""
    started.value = 1
    while not stop.is_set():
        until = time.perf_counter() + 0.01 * share
        while time.perf_counter() < until:
            pass
        time.sleep(0.01 * (1 - share))


@dataclass
class Turns(Watcher):
    """Lets a stranger and a burner take turns while rounds are played."""

    is_plain: bool = False
    flooded: list[float] = field(default_factory=list)
    burdened: list[float] = field(default_factory=list)
    rates: list[float] = field(default_factory=list)
    share: float = 0.5
    _beside: Any = None
    _seen: tuple[float, int, float] = (0.0, 0, 0.0)

    def round_done(self, record: RoundRecord) -> None:
        """A round more; at the end of a turn the other one begins."""
        super().round_done(record)
        turn, place = divmod(record.round, ROUNDS_A_TURN)
        if place >= SETTLING:
            (self.flooded if turn % 2 == 0 else self.burdened).append(record.wall_s - self.fsync_s[-1])
        if place == ROUNDS_A_TURN - 1:
            self.end()
            self.begin(turn + 1)

    def begin(self, turn: int) -> None:
        """Start what this turn has beside its rounds."""
        context = mp.get_context("spawn")
        stop, sent = context.Event(), context.Value("q", 0)
        target, arguments = (flood, (self.address, self.is_plain, stop, sent)) if turn % 2 == 0 else (
            burn, (self.share, stop, sent))  # fmt: skip
        process = context.Process(target=target, args=arguments, daemon=True)
        process.start()
        while sent.value == 0:
            time.sleep(0.01)
        self._beside = process, stop, sent, target is flood
        self._seen = time.perf_counter(), sent.value, _cpu_s(process.pid)

    def end(self) -> None:
        """Stop it, and learn what it took."""
        if self._beside is None:
            return
        process, stop, sent, is_flood = self._beside
        began, num, cpu_s = self._seen
        took = time.perf_counter() - began
        if is_flood:
            self.rates.append((sent.value - num) / took)
            self.share = min(1.0, max(0.02, (_cpu_s(process.pid) - cpu_s) / took))
        stop.set()
        process.join(2.0)
        process.kill()  # a client that floods may wait for its own context for ever
        process.join()
        self._beside = None


@dataclass
class PlainTurns(Turns):
    """Without keys, the stranger's messages arrive."""

    is_plain: bool = True


def delay(*, with_keys: bool, num_turns: int = 6) -> dict[str, float]:
    """Median round under flood over that beside an equal burner; they take turns in one run."""
    played = play(
        num_devices=10,
        num_hosts=10,
        num_rounds=2 * num_turns * ROUNDS_A_TURN + 1,
        with_keys=with_keys,
        watched_by=Turns if with_keys else PlainTurns,
    )
    watcher = played.watcher
    assert isinstance(watcher, Turns)
    watcher.end()
    return {
        "ratio": statistics.median(watcher.flooded) / statistics.median(watcher.burdened),
        "messages_per_s": statistics.median(watcher.rates),
        "burnt_share_of_a_core": watcher.share,
    }


def _cpu_s(pid: int | None) -> float:
    with open(f"/proc/{pid}/stat") as file:
        fields = file.read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / 100
