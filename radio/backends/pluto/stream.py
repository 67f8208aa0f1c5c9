"""One endless transmission: silence, and frames at samples that were chosen; its count never has a gap.

A thread of its own feeds it in blocks, since handing a block over waits for the air.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from radio.backends.pluto.samples import Codes
from radio.errors import RadioError, RadioLinkError, TooLateError

PATIENCE_S = 0.1
"""For which a waiting `push` may return by itself: to cancel it costs the connection."""
JOIN_TIMEOUT_S = 5.0


@dataclass(frozen=True, slots=True)
class _Scheduled:
    start: int
    codes: Codes

    @property
    def stop(self) -> int:
        return self.start + self.codes.size // 2


class TransmitStream:
    """Feeds `push` with blocks of interleaved I and Q until it is closed; other methods are safe from any thread."""

    def __init__(self, push: Callable[[Codes], None], *, block_samples: int, first_sample: int, name: str) -> None:
        self._push = push
        self._block_samples = block_samples
        self._first_sample = self._next = first_sample
        self._frames: list[_Scheduled] = []
        self._error: RadioError | None = None
        self._closing = False
        self._lock = threading.Condition()
        self._thread = threading.Thread(target=self._feed, name=f"stream to {name}", daemon=True)
        self._thread.start()

    def send(self, codes: Codes, start_sample: int | None) -> int:
        """Put a frame on the stream at a sample, or (None) behind the last one, as soon as can be; returns the sample.

        Raises TooLateError for one that has passed, and the RadioLinkError that ended the stream.
        """
        self.check()
        with self._lock:
            soonest = max([self._next, *(frame.stop for frame in self._frames)])
            start = soonest if start_sample is None else start_sample
            if start < soonest:
                raise TooLateError(
                    f"got a start at sample {start}; allowed: from {soonest} on, as the stream is ahead of the air; "
                    "ask for later ones: raise frame.start_uncertainty_samples"
                )
            self._frames.append(_Scheduled(start, codes))
            return start

    def wait_until_ahead(self, num_blocks: int, timeout_s: float) -> None:
        """Until so many blocks were handed over: a stream that is not ahead of the air has gaps.

        Raises RadioLinkError when it does not get there.
        """
        ahead = self._first_sample + (num_blocks + 1) * self._block_samples
        with self._lock:
            self._lock.wait_for(lambda: self._next >= ahead or self._error is not None, timeout_s)
            if self._next < ahead and self._error is None:
                raise RadioLinkError(f"the transmit stream takes no samples for {timeout_s:g} s; restart the radio")
        self.check()

    def check(self) -> None:
        """Raise the RadioLinkError that ended the stream, if one did."""
        with self._lock:
            if self._error is not None:
                raise RadioLinkError(f"the transmit stream has ended: {self._error}") from self._error

    def drop(self) -> None:
        """Forget the frames that were not begun to be handed over; the count goes on."""
        with self._lock:
            self._frames = [frame for frame in self._frames if frame.start < self._next]

    def close(self, cancel: Callable[[], None]) -> bool:
        """End the thread; `cancel` makes a waiting `push` return. False if it does not: then its buffer must stay."""
        self._closing = True
        self._thread.join(PATIENCE_S)
        if self._thread.is_alive():
            cancel()
            self._thread.join(JOIN_TIMEOUT_S)
        return not self._thread.is_alive()

    def _feed(self) -> None:
        try:
            while not self._closing:
                self._push(self._take())
        except RadioError as err:
            with self._lock:
                self._error = err
                self._lock.notify_all()

    def _take(self) -> Codes:
        """The next block, and the count moved on behind it."""
        with self._lock:
            start, stop = self._next, self._next + self._block_samples
            block = np.zeros(2 * self._block_samples, dtype=np.int16)
            for frame in self._frames:
                first, last = max(start, frame.start), min(stop, frame.stop)
                if first < last:
                    part = frame.codes[2 * (first - frame.start) : 2 * (last - frame.start)]
                    block[2 * (first - start) : 2 * (last - start)] = part
            self._frames = [frame for frame in self._frames if frame.stop > stop]
            self._next = stop
            self._lock.notify_all()
            return block
