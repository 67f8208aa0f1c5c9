"""Fading: Rice's K over captures, and how a gain moves in time."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from radio.arrays import Complexes, Reals
from radio.measurement.sounding import Value

MIN_CAPTURES = 20
"""Fewer say nothing of K."""
MAX_K_DB = 30.0
"""From here on a gain counts as steady."""
COHERENCE = 0.5
_FEWEST_TURNS = 2.0
"""A capture shows a Doppler shift of which it holds at least so many turns."""


def rice_k_db(responses: Complexes, variances: Reals) -> Value | None:
    """Steady over scattered power from the moments of |H|², over captures and bins; None where there are too few.

    γ = Var|H|²/(E|H|²)², K = √(1−γ)/(1−√(1−γ)); moments without what noise adds to them. The interval is by leaving
    out one capture after the other.
    """
    num = len(responses)
    if num < MIN_CAPTURES:
        return None
    squares = np.abs(responses) ** 2
    second = squares.mean(axis=1) - variances
    fourth = (squares**2).mean(axis=1) - 4 * second * variances - 2 * variances**2
    value = _k_db(float(second.mean()), float(fourth.mean()))
    without = zip((second.sum() - second) / (num - 1), (fourth.sum() - fourth) / (num - 1), strict=True)
    left_out = np.array([_k_db(float(two), float(four)) for two, four in without])
    deviation = math.sqrt((num - 1) / num * float(np.sum((left_out - left_out.mean()) ** 2)))
    return Value(value=value, half_width=1.96 * deviation)


def _k_db(second: float, fourth: float) -> float:
    steady = math.sqrt(min(max(2 - fourth / second**2, 0.0), 1.0)) if second > 0 else 0.0
    k = steady / max(1 - steady, 1e-9)
    return min(max(10 * math.log10(max(k, 1e-9)), -MAX_K_DB), MAX_K_DB)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Motion:
    """How a narrow-band gain moves over one capture."""

    coherence_time_s: float | None
    """When the autocorrelation has fallen to a half; None if it does not within half the capture."""
    doppler_hz: Reals
    """Frequencies of the spectrum, ascending."""
    doppler_power: Reals
    """Of each, without noise; sums to the gain's power."""
    rms_doppler_hz: float | None
    """Spread about the mean; None where the capture is too short to see any."""


def motion(track: Complexes, track_variance: float, period_s: float) -> Motion:
    """Of a gain's track, one entry every ``period_s``."""
    size = track.size
    spectrum = np.fft.fftshift(np.abs(np.fft.fft(track)) ** 2) / size**2 - track_variance / size
    frequencies = np.fft.fftshift(np.fft.fftfreq(size, period_s))
    power = max(float(np.mean(np.abs(track) ** 2)) - track_variance, 0.0)
    coherence = None
    for lag in range(1, size // 2):
        if abs(np.vdot(track[:-lag], track[lag:])) / (size - lag) < COHERENCE * power:
            coherence = lag * period_s
            break
    rms = None
    if power > 0:
        loud = np.where(spectrum > 4 * track_variance / size, spectrum, 0.0)
        if loud.sum() > 0:
            mean = float(np.sum(loud * frequencies) / loud.sum())
            spread = math.sqrt(float(np.sum(loud * (frequencies - mean) ** 2) / loud.sum()))
            rms = spread if spread * size * period_s >= _FEWEST_TURNS else None
    return Motion(coherence_time_s=coherence, doppler_hz=frequencies, doppler_power=spectrum, rms_doppler_hz=rms)
