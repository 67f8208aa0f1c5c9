"""What moves a carrier's phase besides a constant offset: crystals that wander, and receivers that correct themselves.

Functions of absolute time, so that capturing in pieces equals capturing at once.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from radio.air.config import ReceiverConfig, TransmitterConfig
from radio.air.kernels import CHUNK_SAMPLES, normal_steps
from radio.arrays import Complexes, Reals
from radio.randomness import generator

LOWEST_HZ, HIGHEST_HZ, NUM_PER_DECADE = 1e-4, 1e2, 8
_FREQUENCIES_HZ = np.logspace(
    math.log10(LOWEST_HZ), math.log10(HIGHEST_HZ), 1 + NUM_PER_DECADE * round(math.log10(HIGHEST_HZ / LOWEST_HZ))
)
_AMPLITUDE = math.sqrt(math.log(10) / (NUM_PER_DECADE * math.log(2)))
"""Of every sinusoid, over the Allan deviation: ∫ sin⁴u/u³ du = ln 2."""


@dataclass(frozen=True, slots=True, eq=False)
class Wander:
    """The time error of one clock: flicker of its frequency, and the slow swing of its temperature.

    Flicker is a sum of sinusoids, equally strong and evenly spread over the logarithm of frequency from 0.1 mHz to
    100 Hz, whose Allan deviation is flat: σ_y² = Σ a² sin⁴(πfτ)/(πfτ)² (IEEE Std 1139, modulation by a sinusoid).
    """

    frequencies_hz: Reals
    """[M]"""
    amplitudes: Reals
    """[M], of the relative frequency error."""
    phases_rad: Reals
    """[M]"""

    @classmethod
    def draw(cls, config: TransmitterConfig, *, num_stations: int, seed: int) -> tuple[Wander | None, ...]:
        """One for each station; None where clocks are steady. Amplitudes are what was set, only phases are drawn."""
        if config.allan_deviation == 0 and config.drift_ppb == 0:
            return (None,) * num_stations
        frequencies = np.append(_FREQUENCIES_HZ, 1 / config.drift_period_s)
        amplitudes = np.append(
            np.full(_FREQUENCIES_HZ.size, _AMPLITUDE * config.allan_deviation), 1e-9 * config.drift_ppb
        )
        draws = generator(seed, purpose="crystal wander").uniform(0, 2 * np.pi, (num_stations, frequencies.size))
        return tuple(cls(frequencies, amplitudes, phases) for phases in draws)

    def time_error_s(self, times_s: Reals) -> Reals:
        """By how much the clock has gained since time 0, shape of `times_s`."""
        turns = 2 * np.pi * np.multiply.outer(times_s, self.frequencies_hz) + self.phases_rad
        scale = self.amplitudes / (2 * np.pi * self.frequencies_hz)
        error: Reals = (np.cos(self.phases_rad) - np.cos(turns)) @ scale
        return error

    def frequency_error(self, time_s: float) -> float:
        """Relative, at one time."""
        turns = 2 * np.pi * time_s * self.frequencies_hz + self.phases_rad
        return float(np.sin(turns) @ self.amplitudes)


def wander_phasors(
    sender: Wander | None,
    receiver: Wander | None,
    start: int,
    num_samples: int,
    *,
    carrier_hz: float,
    sample_rate_hz: float,
) -> Complexes | None:
    """By what two wandering clocks turn a carrier, shape [num_samples] from a sample on; None of steady ones.

    Between the edges of chunks, 256 samples apart, the phase is a straight line.
    """
    if sender is None and receiver is None:
        return None
    first = start // CHUNK_SAMPLES
    edges = np.arange(first, (start + num_samples) // CHUNK_SAMPLES + 2) * CHUNK_SAMPLES
    errors = np.zeros(edges.size)
    if sender is not None:
        errors += sender.time_error_s(edges / sample_rate_hz)
    if receiver is not None:
        errors -= receiver.time_error_s(edges / sample_rate_hz)
    phases = 2 * np.pi * carrier_hz * np.interp(np.arange(start, start + num_samples), edges, errors)
    turned: Complexes = np.exp(1j * phases)
    return turned


def tracking_keys(num_stations: int, *, seed: int) -> tuple[int, ...]:
    """Counter key of every receiver's quadrature tracking."""
    return tuple(int(key) for key in generator(seed, purpose="quadrature tracking").integers(0, 1 << 62, num_stations))


def tracking_phasors(
    config: ReceiverConfig, key: int, start: int, num_samples: int, *, sample_rate_hz: float
) -> Complexes | None:
    """By what a receiver's quadrature tracking turns what it hears, shape [num_samples] from a sample on; None without.

    Every step of the correction leaves the phase somewhere else: steady until the next, normal, independent of others.
    """
    if config.quadrature_tracking_deg == 0:
        return None
    steps = np.arange(start, start + num_samples) // max(1, round(config.quadrature_tracking_ms * sample_rate_hz / 1e3))
    phases = np.radians(config.quadrature_tracking_deg) * normal_steps(key, steps[0], steps[-1] - steps[0] + 1)
    turned: Complexes = np.exp(1j * phases)[steps - steps[0]]
    return turned
