"""Fading: Rice's K over captures, how a gain moves in time, and how a phase drifts."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from radio.arrays import Complexes, Reals
from radio.measurement.sounding import NORMAL_95, Value

MIN_CAPTURES = 20
"""Fewer say nothing of K."""
MAX_K_DB = 30.0
"""From here on a gain counts as steady."""
COHERENCE = 0.5
DECOHERED_RAD = 1.0
"""Rms drift at which a phase counts as forgotten."""
HELD_RAD = 0.1
"""Rms drift up to which it counts as held: of a coherent sum it leaves an error of −20 dB."""
MOVING_SHARE = 0.0025
"""Variance of an amplitude over its mean square from which on a gain moves: 5 % rms."""
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


def moves(track: Complexes, track_variance: float) -> bool:
    """Whether a gain's amplitude changes within a capture by more than noise makes it."""
    power = float(np.mean(np.abs(track) ** 2))
    spread = float(np.var(np.abs(track))) - track_variance / 2
    return power > 0 and spread > MOVING_SHARE * power


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PhaseDrift:
    """By how much a phase changes, its straight line over a capture taken out."""

    lags_s: Reals
    """Ascending, up to half a capture."""
    rms_rad: Reals
    """Of each lag, over captures and times, without what receiver noise adds."""
    half_width_rad: Reals
    """Half of its 95 % interval, from how captures differ; not a number with a single one."""

    def at(self, lag_s: float) -> Value | None:
        """Rms change within a time, between lags by straight lines; None beyond half a capture."""
        if not self.lags_s.size or lag_s > self.lags_s[-1]:
            return None
        lags = np.append(0.0, self.lags_s)
        rms, half_width = (
            float(np.interp(lag_s, lags, np.append(0.0, values))) for values in (self.rms_rad, self.half_width_rad)
        )
        return Value(value=rms, half_width=half_width)

    def first_beyond(self, rms_rad: float) -> float | None:
        """The first lag with so large a change; None if there is none."""
        beyond = np.flatnonzero(self.rms_rad >= rms_rad)
        return float(self.lags_s[beyond[0]]) if beyond.size else None


def phase_drift(tracks: Sequence[Complexes], phase_variances: Sequence[float], period_s: float) -> PhaseDrift:
    """Of gains' tracks, one for each capture, entries every ``period_s``, with the variance of each entry's phase."""
    size = min(track.size for track in tracks)
    lags = np.unique(np.geomspace(1, max(size // 2, 1), 40).astype(np.int64))
    times = np.arange(size) - (size - 1) / 2
    squares = np.zeros((len(tracks), lags.size))
    for n, (track, variance) in enumerate(zip(tracks, phase_variances, strict=True)):
        phases = np.unwrap(np.angle(track[:size]))
        phases -= phases.mean() + times * float(np.sum(times * phases) / np.sum(times**2))
        changes = [float(np.mean((phases[lag:] - phases[:-lag]) ** 2)) for lag in lags]
        squares[n] = np.array(changes) - 2 * variance
    rms = np.sqrt(np.maximum(squares.mean(axis=0), 0.0))
    half_width = np.full(lags.size, np.nan)
    if len(tracks) > 1:
        of_squares = squares.std(axis=0, ddof=1) / math.sqrt(len(tracks))
        half_width = NORMAL_95 * of_squares / (2 * np.maximum(np.maximum(rms, np.sqrt(of_squares)), 1e-12))
    return PhaseDrift(lags_s=lags * np.float64(period_s), rms_rad=rms, half_width_rad=half_width)
