"""The synchronisation part of a frame: is there one, when does it start, and by how much is its carrier off.

Each estimate is a small function that also states its variance.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from radio.arrays import Complexes
from radio.samples import IQ

FALSE_ALARM = 1e-6  # per capture


@dataclass(frozen=True, slots=True, kw_only=True)
class Synchronisation:
    """What a synchronisation part says."""

    start_samples: int
    """Where it begins in the capture."""
    start_variance: float
    """Of the start before it was rounded, in samples²: the Cramér-Rao bound."""
    cfo_hz: float
    cfo_variance_hz2: float
    gain_power: float
    """|h|² of whoever sent it at the amplitude that was told."""


@lru_cache
def sync_sequence(num_samples: int) -> Complexes:
    """Two equal Zadoff-Chu halves on the even grid, band-limited to 3/4 and without DC; mean power 1, read-only."""
    half = num_samples // 2
    edge = max(1, half * 3 // 8)
    bins = np.concatenate((np.arange(-edge, 0), np.arange(1, edge + 1)))
    index = np.arange(bins.size)
    spectrum = np.zeros(half, dtype=np.complex128)
    spectrum[bins] = np.exp(-1j * np.pi * index**2 / bins.size)
    block = np.fft.ifft(spectrum)
    sequence = np.tile(block, 2)
    sequence /= np.sqrt(np.mean(np.abs(sequence) ** 2))
    sequence.flags.writeable = False
    return sequence


def detection_threshold(num_starts: int) -> float:
    """By how much |correlation|²/(N·N0) must exceed 1: under noise it is exponential, at `num_starts` places."""
    return math.log(num_starts / FALSE_ALARM)


def timing_variance(snr: float, num_samples: int) -> float:
    """Cramér-Rao bound on a start time in samples², `snr` per sample: 1/(2·N·snr·(2πB)²), B the rms bandwidth."""
    sequence = sync_sequence(num_samples)
    power = np.abs(np.fft.fft(sequence)) ** 2
    rms_bandwidth_squared = float((power * np.fft.fftfreq(num_samples) ** 2).sum() / power.sum())
    return 1 / (2 * num_samples * snr * (2 * math.pi) ** 2 * rms_bandwidth_squared) if snr > 0 else math.inf


def measure_sync_cfo(part: Complexes, sample_rate_hz: float, snr: float) -> tuple[float, float]:
    """Carrier offset from the turn between the two halves, and its variance in Hz².

    Var(turn) = (1 + 1/(2·snr))/(n·snr) for halves of n samples each (the last term is noise times noise).
    """
    half = part.size // 2
    turn_rad = float(np.angle(np.vdot(part[:half], part[half:])))
    turn_variance = min((1 + 1 / (2 * snr)) / (half * snr), math.pi**2 / 3) if snr > 0 else math.pi**2 / 3
    scale_hz = sample_rate_hz / (2 * math.pi * half)
    return turn_rad * scale_hz, turn_variance * scale_hz**2


def _correlate(window: Complexes, sequence: Complexes) -> Complexes:
    """With the known sequence at every start, shape [W − N + 1]."""
    from scipy.signal import oaconvolve  # takes a second to load, and only radios that may be late need it

    correlation: Complexes = oaconvolve(window, sequence[::-1].conj(), mode="valid")
    return correlation


def synchronise(
    capture: IQ,
    *,
    sync_samples: int,
    earliest: int,
    latest: int,
    amplitude: float,
    noise_power: float,
    sample_rate_hz: float,
) -> Synchronisation | None:
    """Find the synchronisation part that starts in [earliest, latest]; None when there is none.

    It is the largest correlation with the known sequence, if noise alone would reach that once in 10⁶ captures. The two
    halves alone correlate by half, so a side peak can never win by itself.
    """
    sequence = sync_sequence(sync_samples)
    window = capture[earliest : latest + sync_samples].astype(np.complex128)
    correlation = _correlate(window, sequence) if latest > earliest else np.array([np.vdot(sequence, window)])
    power = np.abs(correlation) ** 2
    peak = int(np.argmax(power))
    if not power[peak] > detection_threshold(power.size) * sync_samples * noise_power or not power[peak] > 0:
        return None
    received_power = max(float(power[peak]) / sync_samples**2 - noise_power / sync_samples, 0.0)
    snr = received_power / noise_power if noise_power > 0 else math.inf
    part = window[peak : peak + sync_samples]
    cfo_hz, cfo_variance_hz2 = measure_sync_cfo(part, sample_rate_hz, snr)
    return Synchronisation(
        start_samples=earliest + peak,
        start_variance=timing_variance(snr, sync_samples),
        cfo_hz=cfo_hz,
        cfo_variance_hz2=cfo_variance_hz2,
        gain_power=received_power / amplitude**2,
    )
