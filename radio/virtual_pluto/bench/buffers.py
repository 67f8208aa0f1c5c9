"""The kernel's sample buffers of one radio, as its DMA fills and drains them. All under the air's lock."""

from __future__ import annotations

import errno
import time
from collections import deque
from collections.abc import Collection
from dataclasses import dataclass, field

import numpy as np

from radio.air.propagation import FOREVER_SAMPLES
from radio.virtual_pluto.bench.chip import IioError
from radio.virtual_pluto.bench.clock import POLL_S, Cancelled, Clock, sample_at, time_of
from radio.virtual_pluto.bench.emission import Emission
from radio.virtual_pluto.bench.reception import Reception
from radio.virtual_pluto.bench.station import Playout, Station, Words

MAX_PINNED = 64
MARGIN_SAMPLES = 1 << 14


@dataclass(slots=True, eq=False)
class Block:
    """One kernel buffer: the receiver's samples from `start` on, of which `num_filled` are known."""

    start: int
    words: Words
    num_filled: int = 0

    @property
    def stop(self) -> int:
        """The sample behind the last one."""
        return self.start + self.words.size // 2


@dataclass(slots=True, eq=False)
class RxBuffer:
    """A queue of `count` blocks. While the client holds one, the rest are filled in turn; when all are full the
    converter's samples are lost, the overflow flag is set, and what comes next starts after a gap."""

    clock: Clock
    reception: Reception
    station: Station
    num_samples: int
    count: int
    num_clients: int = 0
    """Who has it open: it is closed with the last one."""
    num_reads: int = 0
    last_read_s: float = field(default_factory=time.monotonic)
    is_reading: bool = False
    is_closed: bool = False
    _full: deque[Block] = field(default_factory=deque)
    _filling: Block | None = None
    _is_held: bool = False
    _stalled: int = 0
    _latest: Words | None = None

    def start(self) -> None:
        """Begin to fill."""
        self._filling = self._new_block(self._now())

    def join(self, num_samples: int) -> None:
        """One more client; for one that wants longer blocks all are made anew, as iiod does it."""
        self.num_clients += 1
        if num_samples > self.num_samples:
            self.num_samples = num_samples
            self._full.clear()
            self._filling, self._is_held = self._new_block(self._now()), False

    def read(self, cancelled: Cancelled, num_seen: int) -> Words:
        """The oldest block, [2N], or the one that another client read since this one's `num_seen` reads; waits for it.
        The client holds it until it reads again. Raises IioError."""
        with self.clock.condition:
            while self.is_reading and self.num_reads == num_seen:
                if cancelled():
                    raise IioError(errno.EPIPE)
                self.clock.condition.wait(POLL_S)
            if self.num_reads > num_seen:
                assert self._latest is not None
                return self._latest
            self.is_reading = True
            try:
                self._latest = self._read(cancelled)
                self.num_reads += 1
                return self._latest
            finally:
                self.is_reading = False
                self.last_read_s = time.monotonic()
                self.clock.condition.notify_all()

    def run_until_now(self) -> None:
        """Let the DMA have done what it did until now."""
        now = self._now()
        while self._filling is not None and now >= self._filling.stop:
            done = self._filling
            self._full.append(done)
            has_room = len(self._full) + self._is_held < self.count
            self._filling = self._new_block(done.stop) if has_room else None
            self._stalled = done.stop
        if self._filling is None and now > self._stalled:
            self.station.overflowed = True

    def settle(self) -> None:
        """Compute all samples that were received until now, with everything as it was set until now."""
        self.run_until_now()
        now = self._now()
        for block in self._blocks():
            self._compute(block, min(block.stop, now))

    def first_unknown_ps(self) -> int:
        """Time of the oldest sample that is still to be computed."""
        self.run_until_now()
        rate = self.station.chip.rx_rate_uhz
        unknown = (time_of(b.start + b.num_filled, rate) for b in self._blocks() if b.start + b.num_filled < b.stop)
        return min(unknown, default=self.clock.now_ps)

    def shift(self, num_samples: int) -> None:
        """Renumber."""
        self._stalled += num_samples
        for block in self._blocks():
            block.start += num_samples

    def _read(self, cancelled: Cancelled) -> Words:
        self.run_until_now()
        self._is_held = False
        if self._filling is None and len(self._full) < self.count:
            self._filling = self._new_block(self._now())
        while not self._full:
            assert self._filling is not None
            self.clock.reach_to_read(time_of(self._filling.stop, self.station.chip.rx_rate_uhz), self, cancelled)
            if self.is_closed:
                raise IioError(errno.EBADF)
            self.run_until_now()
        block = self._full.popleft()
        self._is_held = True
        if self._filling is None and len(self._full) + 1 < self.count:
            self._filling = self._new_block(self._now())
        self._compute(block, block.stop)
        return block.words

    def _compute(self, block: Block, stop: int) -> None:
        first = block.start + block.num_filled
        if first < stop:
            self.reception.receive(self.station, first, block.words[2 * block.num_filled : 2 * (stop - block.start)])
            block.num_filled = stop - block.start

    def _blocks(self) -> list[Block]:
        return [*self._full, self._filling] if self._filling is not None else list(self._full)

    def _new_block(self, start: int) -> Block:
        return Block(start, np.empty(2 * self.num_samples, dtype=np.int16))

    def _now(self) -> int:
        return sample_at(self.clock.now_ps, self.station.chip.rx_rate_uhz)


@dataclass(slots=True, eq=False)
class RxClient:
    """One client of a receive buffer, which several may read (iiod 0.x): each gets every block, if it is quick enough,
    and otherwise the latest."""

    buffer: RxBuffer
    num_samples: int
    """Of its blocks: the beginning of what the buffer has."""
    num_seen: int
    """Of the buffer's reads."""
    is_closed: bool = False

    @property
    def station(self) -> Station:
        """Whose buffer it is."""
        return self.buffer.station

    def read(self, cancelled: Cancelled) -> Words:
        """The next block, [2N]. Raises IioError."""
        with self.buffer.clock.condition:
            words = self.buffer.read(cancelled, self.num_seen)[: 2 * self.num_samples]
            self.num_seen = self.buffer.num_reads
            return words


@dataclass(slots=True, eq=False)
class TxBuffer:
    """A queue of at most `count` buffers; a buffer pushed before the last one ended follows it without a gap."""

    clock: Clock
    emission: Emission
    receivers: Collection[RxBuffer]
    """All that are open on the bench, live."""
    station: Station
    num_samples: int
    count: int
    cyclic: bool
    is_streaming: bool = False
    """A buffer followed another one; as fast as possible, air time waits a while for the next."""
    dry_since_s: float | None = None
    is_closed: bool = False
    _queue: deque[Playout] = field(default_factory=deque)

    @property
    def end_ps(self) -> int:
        """When the queue will have run dry."""
        return time_of(self._queue[-1].stop, self.station.chip.tx_rate_uhz) if self._queue else 0

    def push(self, words: Words, cancelled: Cancelled) -> None:
        """Queue words [2N]; waits while the queue is full. Raises IioError: a cyclic buffer takes one push."""
        with self.clock.condition:
            if self.cyclic and self._queue:
                raise IioError(errno.EBUSY)
            self.run_until_now()
            while len(self._queue) >= self.count:
                self.clock.reach_to_send(time_of(self._queue[0].stop, self.station.chip.tx_rate_uhz), self, cancelled)
                if self.is_closed:
                    raise IioError(errno.EBADF)
                self.run_until_now()
            last = self._queue[-1] if self._queue else None
            if last is not None:
                self.is_streaming = True
                start, amplitude = last.stop, last.amplitude
            else:
                self.is_streaming = False
                start, amplitude = self.emission.draw_start(self.station, self.clock.now_ps)
            stop = FOREVER_SAMPLES if self.cyclic else start + words.size // 2
            playout = self.emission.radiate(self.station, Playout(words, start, stop, amplitude))
            self._queue.append(playout)
            self.station.playouts.append(playout)
            self.dry_since_s = None
            forget_unheard(self.station, self.receivers, self.clock.now_ps)
            self.clock.condition.notify_all()

    def run_until_now(self) -> None:
        """Let the DMA have done what it did until now: a queue that has run dry is flagged."""
        now = self._now()
        while self._queue and self._queue[0].stop <= now and (len(self._queue) > 1 or self._queue[0].stop < now):
            self._queue.popleft()  # the last one stays as long as a continuation could follow it
            if not self._queue:
                self.station.underflowed = True

    def cut(self) -> None:
        """Fall silent now."""
        now = self._now()
        for playout in self._queue:
            playout.stop = max(playout.start, min(playout.stop, now))
        self._queue.clear()
        self.is_streaming = False

    def _now(self) -> int:
        return sample_at(self.clock.now_ps, self.station.chip.tx_rate_uhz)


def forget_unheard(station: Station, receivers: Collection[RxBuffer], now_ps: int) -> None:
    """Forget what a station sent and nobody can hear any more."""
    if len(station.playouts) > MAX_PINNED:
        for receiver in receivers:
            receiver.settle()
    unknown_ps = min((receiver.first_unknown_ps() for receiver in receivers), default=now_ps)
    oldest = sample_at(unknown_ps, station.chip.tx_rate_uhz) - MARGIN_SAMPLES
    station.playouts = [playout for playout in station.playouts if playout.stop > oldest]
