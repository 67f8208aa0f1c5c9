"""Applies channels to samples: what is on the air, clocks that run apart, delay, taps, carrier; nothing random.

Every function is local in absolute sample time, so capturing in pieces equals capturing at once, bit for bit.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from radio.air.channel import Oscillator
from radio.air.config import FILTER_HALF_LENGTH_SAMPLES as HALF
from radio.air.kernels import (
    CHUNK_SAMPLES,
    SEGMENT_SAMPLES,
    filter_chunks,
    interpolator_taps,
    read_cyclic,
    rotate,
)
from radio.air.wander import Wander, wander_phasors

Samples = NDArray[np.complex128]

FOREVER_SAMPLES = 1 << 62
KAISER_BETA = 12.0  # 24 taps: below 1e-5 of full scale up to 0.3 of the sample rate
NUM_PHASES = 512


class Radiated(Protocol):
    """Something on the air."""

    def add_to(self, real: NDArray[np.float32], imag: NDArray[np.float32], start: int) -> None:
        """Add what the antenna radiates from its sample `start` on, to as many samples as there are."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class Transmission:
    """A frame on the air: `samples` repeated from the transmitter's sample `start` until its sample `stop`."""

    samples: Samples
    start: int
    stop: int

    def add_to(self, real: NDArray[np.float32], imag: NDArray[np.float32], start: int) -> None:
        """Add what the antenna radiates from its sample `start` on; nothing outside the transmission."""
        first, last = max(start, self.start), min(start + real.size, self.stop)
        if first < last:
            read_cyclic(self.samples, first - self.start, first - start, last - start, real, imag)


@cache
def _interpolator() -> NDArray[np.float64]:
    """A Kaiser-windowed sinc at NUM_PHASES + 1 phases, shape [phases, 2·HALF]; exactly one and zeros at phase 0."""
    phases = np.arange(NUM_PHASES + 1) / NUM_PHASES
    offsets = phases[:, None] + np.arange(2 * HALF) - HALF  # [phases, 2·HALF]
    window = np.i0(KAISER_BETA * np.sqrt(np.clip(1 - (offsets / HALF) ** 2, 0, None))) / np.i0(KAISER_BETA)
    table: NDArray[np.float64] = np.where(offsets == np.rint(offsets), offsets == 0, np.sinc(offsets) * window)
    return table


@dataclass(frozen=True, kw_only=True, eq=False)
class Path:
    """How one transmitter is heard by one receiver."""

    delay_samples: float
    tap_delays_samples: NDArray[np.float64]
    """Shape [L]."""
    oscillator: Oscillator
    cycles_per_sample: float
    """Carrier offset over the sample rate."""
    carrier_hz: float = 0.0
    """What clocks that wander make a phase of."""
    sample_rate_hz: float = 1.0
    wander: Wander | None = None
    """The transmitter's clock."""
    receiver_wander: Wander | None = None
    """The receiver's, where that is not what time is measured by."""

    @cached_property
    def length_samples(self) -> int:
        """How long a sample is heard after it was sent."""
        return int(np.ceil(self.delay_samples + self.tap_delays_samples.max())) + HALF + 1

    def sample_at(self, time_samples: int) -> int:
        """The transmitter's first sample that is not before a time of the receiver."""
        return time_samples + int(np.ceil(time_samples * self.oscillator.sro))

    def heard_from(self, sample: int) -> int:
        """A time of the receiver before which nothing is heard of the transmitter's sample, and hardly earlier."""
        return self._time_of(sample) - HALF - self._slack(sample)

    def heard_until(self, sample: int) -> int:
        """A time of the receiver after which nothing is heard of the transmitter's sample, and hardly later."""
        return self._time_of(sample) + self.length_samples + self._slack(sample)

    def _time_of(self, sample: int) -> int:
        """About when a sample is sent."""
        return sample if self.oscillator.sro == 0 else int(sample / (1 + self.oscillator.sro))

    @staticmethod
    def _slack(sample: int) -> int:
        """More than float64 and whole samples are off by."""
        return 2 + (abs(sample) >> 48)


def chunk_edges(start: int, stop: int, chunk_samples: int = CHUNK_SAMPLES) -> NDArray[np.int64]:
    """Edges of the chunks of absolute time that cover [start, stop), and whole CHUNK_SAMPLES."""
    first, last = start // CHUNK_SAMPLES, -(-stop // CHUNK_SAMPLES)
    return (
        np.arange(first * (CHUNK_SAMPLES // chunk_samples), last * (CHUNK_SAMPLES // chunk_samples) + 1) * chunk_samples
    )


def propagate(
    transmissions: Sequence[Radiated],
    path: Path,
    gains: NDArray[np.complex128],
    start: int,
    stop: int,
    chunk_samples: int = CHUNK_SAMPLES,
) -> Samples:
    """What arrives in [start, stop), shape [stop − start]; `gains` [L], or [edges, L] at every chunk edge."""
    edges = chunk_edges(start, stop, chunk_samples)
    shifts = edges * path.oscillator.sro - path.delay_samples  # the transmitter's time, less the receiver's
    wholes = np.floor(shifts[:-1])
    moving = path.oscillator.sro != 0 or gains.ndim == 2
    if moving:
        at_edges = gains if gains.ndim == 2 else np.repeat(gains[None], edges.size, axis=0)
        at_every_edge = _taps(shifts - np.floor(shifts), path, at_edges)
        starts = at_every_edge[:-1]
        changes = _rebased(at_every_edge[1:], np.floor(shifts[1:]) - wholes) - starts
    else:
        starts = _taps(shifts[:1] - wholes[:1], path, gains[None]).repeat(edges.size - 1, axis=0)
        changes = starts[:0]
    bases = edges[:-1] + wholes.astype(np.int64)
    num_taps = starts.shape[1]
    lowest = int(bases[0]) + HALF + 1 - (num_taps - 1)
    highest = int(bases[-1]) + HALF + 1 + chunk_samples
    real, imag = np.zeros((2, highest - lowest), dtype=np.float32)
    for transmission in transmissions:
        transmission.add_to(real, imag, lowest)
    arriving = np.empty(int(edges[-1] - edges[0]), dtype=np.complex128)
    offsets = bases + HALF + 1 - lowest
    filter_chunks(real, imag, offsets, starts, changes, moving, chunk_samples, arriving)
    oscillator = path.oscillator
    if path.cycles_per_sample != 0 or oscillator.phase_noise_rad > 0:
        first_segment = int(edges[0]) // SEGMENT_SAMPLES
        rotate(arriving, first_segment, path.cycles_per_sample, oscillator.key, oscillator.phase_noise_rad)
    heard = arriving[start - int(edges[0]) : stop - int(edges[0])]
    turned = wander_phasors(
        path.wander, path.receiver_wander, start, stop - start,
        carrier_hz=path.carrier_hz, sample_rate_hz=path.sample_rate_hz,
    )  # fmt: skip
    return heard if turned is None else heard * turned


def _taps(fractions: NDArray[np.float64], path: Path, gains: NDArray[np.complex128]) -> NDArray[np.complex64]:
    taps: NDArray[np.complex64] = interpolator_taps(
        _interpolator(), fractions, path.tap_delays_samples, np.ascontiguousarray(gains)
    )
    return taps


def _rebased(taps: NDArray[np.complex64], moves: NDArray[np.float64]) -> NDArray[np.complex64]:
    """Taps [B, J] as counted from a sample `moves` [B] (−1, 0, 1) before theirs; they have a zero to spare."""
    rebased = taps.copy()
    rebased[moves == 1, :-1], rebased[moves == 1, -1] = taps[moves == 1, 1:], 0
    rebased[moves == -1, 1:], rebased[moves == -1, 0] = taps[moves == -1, :-1], 0
    return rebased
