"""Air time: one axis of picoseconds for all radios of a bench, that only moves forward.

In real time it follows the wall clock. As fast as possible it stands still unless somebody reads samples, or streams
them with nobody reading; and it waits a bounded wall time for a gapless stream that has run dry.
"""

from __future__ import annotations

import errno
import time
from collections.abc import Callable, Collection
from threading import Condition
from typing import Protocol

from radio.virtual_pluto.bench.chip import IioError
from radio.virtual_pluto.config import VirtualConfig

PS_PER_S = 10**12
PS_UHZ = 10**18
"""Picoseconds times µHz in one cycle."""
POLL_S = 0.1

Cancelled = Callable[[], bool]
"""Whether the client that waits is gone."""


def sample_at(time_ps: int, rate_uhz: int) -> int:
    """The first sample that is not before a time."""
    return -(-time_ps * rate_uhz // PS_UHZ)


def time_of(sample: int, rate_uhz: int) -> int:
    """When a sample is, rounded up to whole picoseconds."""
    return -(-sample * PS_UHZ // rate_uhz)


class Reader(Protocol):
    """What time wants to know of who receives."""

    is_reading: bool
    last_read_s: float
    is_closed: bool


class Sender(Protocol):
    """What time wants to know, and notes, of who sends."""

    is_streaming: bool
    """A buffer followed another one: time waits a while for the next."""
    dry_since_s: float | None
    is_closed: bool

    @property
    def end_ps(self) -> int:
        """When there will be nothing left to send."""
        ...


class Clock:
    """Air time, and the waiting for it; everything on the bench is under its `condition`."""

    def __init__(self, config: VirtualConfig, readers: Collection[Reader], senders: Collection[Sender]) -> None:
        """`readers` and `senders` are live: whose buffers are open."""
        self.condition = Condition()
        self._is_real_time = config.pacing == "real_time"
        self._hold_s = config.hold_s
        self._readers, self._senders = readers, senders
        self._now_ps = 0
        self._started_ns = time.monotonic_ns()
        self._is_stopped = False

    @property
    def now_ps(self) -> int:
        """Air time."""
        if self._is_real_time:
            return (time.monotonic_ns() - self._started_ns) * 1000
        return self._now_ps

    def stop(self) -> None:
        """Wake and refuse everybody who waits."""
        with self.condition:
            self._is_stopped = True
            self.condition.notify_all()

    def pass_by(self, duration_ps: int) -> None:
        """Let so much time pass, whoever sends or listens; the caller does not hold the lock."""
        if self._is_real_time:
            time.sleep(duration_ps / PS_PER_S)
            return
        with self.condition:
            self._now_ps += duration_ps
            self.condition.notify_all()

    def reach_to_read(self, target_ps: int, reader: Reader, cancelled: Cancelled) -> None:
        """Wait until, or move air time to, what a read needs; may return early: look again.

        Raises IioError when the client is gone, or the bench is closed.
        """
        while self._is_before(target_ps, cancelled) and not reader.is_closed:
            self._step(target_ps, 0.0)

    def reach_to_send(self, target_ps: int, sender: Sender, cancelled: Cancelled) -> None:
        """The same for a full queue, whose sender leaves it to receivers to move time."""
        while self._is_before(target_ps, cancelled) and not sender.is_closed:
            self._step(target_ps, self._wait_for_readers_s())

    def _is_before(self, target_ps: int, cancelled: Cancelled) -> bool:
        if self.now_ps >= target_ps:
            return False
        if self._is_stopped or cancelled():
            raise IioError(errno.EPIPE)
        return True

    def _step(self, target_ps: int, wait_s: float) -> None:
        if self._is_real_time:
            self.condition.wait(min((target_ps - self.now_ps) / PS_PER_S, POLL_S))
            return
        if wait_s <= 0:
            wait_s = self._move_towards(target_ps)
        if wait_s > 0:
            self.condition.wait(min(wait_s, POLL_S))

    def _wait_for_readers_s(self) -> float:
        now_s = time.monotonic()
        waits = [POLL_S if reader.is_reading else reader.last_read_s + self._hold_s - now_s for reader in self._readers]
        return max(waits, default=0.0)

    def _move_towards(self, target_ps: int) -> float:
        """Move time as far as gapless streams reach; returns how long to wait for one that has run dry."""
        now_s = time.monotonic()
        limit_ps, wait_s = target_ps, 0.0
        for stream in [sender for sender in self._senders if sender.is_streaming]:
            if stream.end_ps < target_ps and stream.end_ps <= self._now_ps:
                stream.dry_since_s = now_s if stream.dry_since_s is None else stream.dry_since_s
                if now_s - stream.dry_since_s >= self._hold_s:
                    stream.is_streaming = False
                    continue
                wait_s = max(wait_s, stream.dry_since_s + self._hold_s - now_s)
            limit_ps = min(limit_ps, stream.end_ps)
        if limit_ps > self._now_ps:
            self._now_ps = limit_ps
            self.condition.notify_all()
            return 0.0
        return wait_s
