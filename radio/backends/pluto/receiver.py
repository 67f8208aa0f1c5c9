"""Captures through a receive buffer: fresh ones, or one continuous count of samples that is read on demand."""

from __future__ import annotations

import time

import numpy as np

from radio.backends.pluto.config import PlutoConfig
from radio.backends.pluto.driver import Connection
from radio.backends.pluto.samples import Codes, from_codes
from radio.errors import SamplesLostError
from radio.samples import IQ

MIN_BUFFER_SAMPLES = 1024
MAX_BUFFER_SAMPLES = 1 << 18
ELAPSE_BUFFER_SAMPLES = 8192
FRESH_BUFFERS = 8


class Receiver:
    """The receive side of one radio. A capture ends with nothing old left to read, unless samples are counted."""

    def __init__(self, config: PlutoConfig) -> None:
        self._config = config
        self._sample_rate_hz = 1.0
        self._buffer_samples = 0
        self._held: list[Codes] = []
        self._num_held = 0
        self._anchor = (0, 0.0)
        self.num_received = 0
        """Samples so far, over all epochs."""
        self.epoch = 0
        """How often the count was broken."""

    @property
    def clock_samples(self) -> int:
        """Index of the sample at which the next capture starts."""
        return self.num_received - self._num_held

    def restart(self, link: Connection | None, sample_rate_hz: float | None = None) -> None:
        """Close, so that the next capture begins a new count."""
        if self._buffer_samples:
            self.epoch += 1
            if link is not None:
                link.close_receiver()
        self._buffer_samples = 0
        self._drop_held()
        if sample_rate_hz is not None:
            self._sample_rate_hz = sample_rate_hz

    def capture(self, link: Connection, num_samples: int, skip_samples: int) -> IQ:
        """The next samples, shape [N], behind those that are skipped. Raises SamplesLostError."""
        self._open(link, ELAPSE_BUFFER_SAMPLES if skip_samples else num_samples)
        self._skip(link, skip_samples)
        codes = self._read(link, num_samples)
        self._drop_held()
        if self._config.counts_samples or skip_samples + num_samples > self._buffer_samples:
            self._check_overflow(link)
        if not self._config.counts_samples:
            self.restart(link)
        return from_codes(codes)

    def elapse(self, link: Connection, num_samples: int) -> None:
        """Receive samples and forget them."""
        self._open(link, min(num_samples, ELAPSE_BUFFER_SAMPLES))
        self._skip(link, num_samples)
        if not self._config.counts_samples:
            self.restart(link)

    def catch_up(self, link: Connection) -> None:
        """Where samples are counted: begin to, and where air time runs by itself, forget what nobody has read."""
        if not self._config.counts_samples:
            return
        self._open(link, 0)
        if not self._config.real_time:
            self._drop_held()
            return
        count, when = self._anchor
        present = count + (time.monotonic() - when) * self._sample_rate_hz
        if present - self.num_received > self._buffer_samples * (self._config.stream_receive_buffers - 1):
            self.restart(link)
            self._open(link, 0)
            return
        self._drop_held()
        duration_s = self._buffer_samples / self._sample_rate_hz
        while self.num_received < present - self._buffer_samples:
            began = time.monotonic()
            self._refill(link)
            if time.monotonic() - began > duration_s / 2:
                break
        self._drop_held()
        self._anchor = (self.num_received, time.monotonic())

    def _open(self, link: Connection, num_samples: int) -> None:
        if self._buffer_samples:
            return
        config = self._config
        rounded = -(-max(num_samples, MIN_BUFFER_SAMPLES) // 4) * 4
        size = config.stream_block_samples if config.counts_samples else min(rounded, MAX_BUFFER_SAMPLES)
        link.open_receiver(size, num_buffers=config.stream_receive_buffers if config.counts_samples else FRESH_BUFFERS)
        self._buffer_samples = size
        self._refill(link)
        self._anchor = (self.num_received, time.monotonic())

    def _read(self, link: Connection, num_samples: int) -> Codes:
        while self._num_held < num_samples:
            self._refill(link)
        held = np.concatenate(self._held) if len(self._held) > 1 else self._held[0]
        self._held = [held[2 * num_samples :]]
        self._num_held -= num_samples
        return held[: 2 * num_samples]

    def _skip(self, link: Connection, num_samples: int) -> None:
        while num_samples > self._num_held:
            num_samples -= self._num_held
            self._drop_held()
            self._refill(link)
        if num_samples:
            self._read(link, num_samples)

    def _refill(self, link: Connection) -> None:
        codes = link.refill()
        self._held.append(codes)
        self._num_held += codes.size // 2
        self.num_received += codes.size // 2

    def _drop_held(self) -> None:
        self._held, self._num_held = [], 0

    def _check_overflow(self, link: Connection) -> None:
        if link.overflowed():
            self.restart(link)
            raise SamplesLostError(
                f"{link.uri}: the receiver overflowed at {self._sample_rate_hz / 1e6:g} MS/s, samples were lost; "
                "lower radio.sample_rate_hz, or relieve this host"
            )
