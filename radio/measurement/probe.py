"""The probe that sounds a channel: one period of a Zadoff-Chu spectrum, repeated without a seam."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from radio.arrays import Complexes, Indices
from radio.errors import SignalError
from radio.samples import IQ

OCCUPIED = 0.75
"""Share of the band that the probe fills; the rest is where analog filters roll off."""
MIN_PERIOD_SAMPLES, MAX_PERIOD_SAMPLES = 32, 4096


@dataclass(frozen=True, slots=True)
class Probe:
    """P samples; all occupied bins have one power, DC is left out (a transmitter leaks its carrier there)."""

    period_samples: int = 256
    """P: channels up to that long are told apart, and carrier offsets up to ± half a cycle in it."""
    power: float = 0.25
    """Mean |x|², linear; full scale is 1."""

    def __post_init__(self) -> None:
        """Raises SignalError."""
        size = self.period_samples
        if not MIN_PERIOD_SAMPLES <= size <= MAX_PERIOD_SAMPLES or size & (size - 1):
            raise SignalError(
                f"probe period: got {size} samples; allowed: powers of two from {MIN_PERIOD_SAMPLES} to "
                f"{MAX_PERIOD_SAMPLES}; use 256"
            )
        if not 0 < self.power <= self.max_power:
            raise SignalError(
                f"probe power: got {self.power:g}; allowed: above 0, at most {self.max_power:.3g}, where its peak is "
                "full scale; lower radio.max_power_dbfs"
            )

    @property
    def max_power(self) -> float:
        """Mean power at which the peak is full scale."""
        return 1 / float(np.max(np.abs(_unit(self.period_samples))) ** 2)

    @property
    def bins(self) -> Indices:
        """Occupied bins, from the lowest frequency to the highest, as multiples of 1/P of the sample rate."""
        return _bins(self.period_samples)

    @property
    def spectrum(self) -> Complexes:
        """Of one period at the occupied bins, as numpy's fft."""
        found: Complexes = np.fft.fft(_unit(self.period_samples))[self.bins] * math.sqrt(self.power)
        return found

    def samples(self) -> IQ:
        """One period."""
        return (math.sqrt(self.power) * _unit(self.period_samples)).astype(np.complex64)


def strongest(period_samples: int, max_power: float) -> Probe:
    """The probe with at most that mean power whose peak stays within full scale."""
    peak = Probe(period_samples, 1e-9).max_power
    return Probe(period_samples, min(max_power, 0.999 * peak))


@lru_cache
def _bins(period_samples: int) -> Indices:
    edge = int(period_samples * OCCUPIED) // 2
    bins = np.concatenate((np.arange(-edge, 0), np.arange(1, edge + 1)))
    bins.flags.writeable = False
    return bins


@lru_cache
def _unit(period_samples: int) -> Complexes:
    """Mean power 1, read-only."""
    bins = _bins(period_samples)
    index = np.arange(bins.size)
    spectrum = np.zeros(period_samples, dtype=np.complex128)
    spectrum[bins] = np.exp(-1j * np.pi * index**2 / bins.size)
    period: Complexes = np.fft.ifft(spectrum)
    period /= np.sqrt(np.mean(np.abs(period) ** 2))
    period.flags.writeable = False
    return period
