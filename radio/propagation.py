"""Applies channels to samples: what is on the air, fractional delay, carrier rotation; nothing random.

Every function is local in absolute sample time, so capturing in pieces equals capturing at once, bit for bit.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from radio.config import FILTER_HALF_LENGTH_SAMPLES as HALF

Samples = NDArray[np.complex128]

FOREVER_SAMPLES = 1 << 62
KAISER_BETA = 12.0  # 24 taps: below 1e-5 of full scale up to 0.3 of the sample rate
ROTATION_TABLE_SAMPLES = 4096


@dataclass(frozen=True, slots=True, eq=False)
class Transmission:
    """A frame on the air: `samples` repeated from sample `start` until sample `stop`."""

    samples: Samples
    start: int
    stop: int

    def read(self, start: int, stop: int) -> Samples:
        """What the antenna radiates in [start, stop), zero outside the transmission."""
        radiated = np.zeros(stop - start, dtype=np.complex128)
        first, last = max(start, self.start), min(stop, self.stop)
        if first < last:
            begin, end = first - self.start, last - self.start
            length = self.samples.size
            piece = self.samples[begin:end] if end <= length else self.samples[np.arange(begin, end) % length]
            radiated[first - start : last - start] = piece
        return radiated


def read_all(transmissions: list[Transmission], start: int, stop: int) -> Samples:
    """The sum of back-to-back transmissions of one antenna in [start, stop)."""
    radiated = transmissions[0].read(start, stop)
    for transmission in transmissions[1:]:
        radiated += transmission.read(start, stop)
    return radiated


@lru_cache(maxsize=16384)
def _split_delay(delay_samples: float) -> tuple[int, NDArray[np.float64] | None]:
    """Whole samples, and a Kaiser-windowed sinc for what remains, shape [2·HALF]; None when nothing does."""
    whole = int(np.floor(delay_samples))
    fraction = delay_samples - whole
    if fraction == 0:
        return whole, None
    offsets = np.arange(1 - HALF, HALF + 1) - fraction  # [2·HALF], centred on the peak of the sinc
    window = np.i0(KAISER_BETA * np.sqrt(1 - (offsets / HALF) ** 2)) / np.i0(KAISER_BETA)
    return whole, np.sinc(offsets) * window


def delayed(transmissions: list[Transmission], delay_samples: float, start: int, stop: int) -> Samples:
    """What arrives in [start, stop) over a path of `delay_samples`, shape [stop − start]."""
    whole, taps = _split_delay(delay_samples)
    if taps is None:
        return read_all(transmissions, start - whole, stop - whole)
    radiated = read_all(transmissions, start - whole - HALF, stop - whole + HALF - 1)
    parts = radiated.view(np.float64).reshape(-1, 2)
    arriving = np.empty((stop - start, 2))
    for part in (0, 1):  # real taps: two real convolutions
        arriving[:, part] = np.convolve(parts[:, part], taps, mode="valid")
    return arriving.view(np.complex128).reshape(-1)


class Rotation:
    """The phasor e^{j2πfn} of one carrier offset by absolute sample index n.

    Split into a coarse factor per table length and a fine table, so that a sample's phasor never depends on
    where the capture began.
    """

    def __init__(self, cycles_per_sample: float) -> None:
        self._cycles_per_sample = cycles_per_sample
        self._table = np.exp(2j * np.pi * cycles_per_sample * np.arange(ROTATION_TABLE_SAMPLES))

    def apply(self, samples: Samples, start: int) -> None:
        """Rotate in place samples whose first one has index `start`."""
        if self._cycles_per_sample == 0:
            return
        position = 0
        while position < samples.size:
            block, offset = divmod(start + position, ROTATION_TABLE_SAMPLES)
            count = min(ROTATION_TABLE_SAMPLES - offset, samples.size - position)
            cycles = (self._cycles_per_sample * (block * ROTATION_TABLE_SAMPLES)) % 1.0
            phasors = self._table[offset : offset + count] * np.exp(2j * np.pi * cycles)
            samples[position : position + count] *= phasors
            position += count
