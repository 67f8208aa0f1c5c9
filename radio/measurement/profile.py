"""Delay: power delay profile, rms delay spread, coherence bandwidth, and separate paths of a response."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from radio.arrays import Complexes, Reals
from radio.measurement.probe import Probe
from radio.measurement.sounding import Value

RESOLVED_SPREAD_SAMPLES = 0.5
"""Below it the band is too narrow to tell a spread; an upper bound is given instead."""
DYNAMIC_RANGE_DB = 40.0
"""Below the peak of a profile, what is there counts as the window's ringing."""
FALSE_ALARM = 1e-6
"""How often noise alone makes one entry of a profile count."""
PULSE_SAMPLES = 2.5
"""From a path to where the window's pulse has died away in a profile, nearly."""
MAX_PATHS = 16
PATH_MARGIN = 16.0
"""|correlation|²/variance of a path; noise alone reaches it once in e¹⁶ places."""
_OVERSAMPLING = 8
_GUARD_SAMPLES = 6
_REFINEMENTS = 12
_RIDGE = 1e-6
_WEAKEST_PATH = 1e-4
"""Of the strongest one's power."""
_SLACK_SAMPLES = 0.5
"""A first path may seem to come so much before the clock's zero."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class DelayProfile:
    """Mean over captures."""

    powers: Reals
    """[P], linear, of delay 0 … P − 1 samples behind `origin_samples`, circular; without the noise's share."""
    origin_samples: float
    """Where delay 0 is on the sounding's clock, if starts were triggered; else what aligned the captures."""
    mean_delay_samples: float
    """Of the power, behind the origin."""
    first_samples: float
    last_samples: float
    """The first and the last delay with power, behind the origin."""
    turns_samples: Reals
    """[captures], by how much each was turned back."""
    rms_spread_samples: Value
    is_resolved: bool
    """Whether the spread is one; else `value + half_width` is an upper bound."""
    coherence_bandwidth: float
    """Frequency, over the sample rate, at which the responses' correlation has fallen to 1/2; at most half the band."""


def delay_profile(responses: Complexes, variances: Reals, probe: Probe, *, is_triggered: bool) -> DelayProfile:
    """Of responses [captures, bins] with their variances [captures].

    Without a trigger a capture begins anywhere in a period: each is turned back by its own mean delay first.
    """
    frequencies = probe.bins / probe.period_samples
    starts = np.array([_mean_delay(response, probe) for response in responses])
    half = probe.period_samples / 2
    apart = (starts - starts[0] + half) % probe.period_samples - half  # 255.9 and 0.1 are neighbours
    origin = float(np.round(starts[0] + np.median(apart))) % probe.period_samples if is_triggered else 0.0
    turns = np.full(len(responses), origin) if is_triggered else starts
    aligned = responses * np.exp(2j * np.pi * np.outer(turns, frequencies))
    window = _window(probe)
    pulses = np.abs(_impulse(aligned, probe, window)) ** 2
    noise = float(np.mean(variances)) * float(np.sum(window**2)) / probe.period_samples**2
    powers = pulses.mean(axis=0) - noise
    from scipy.special import gammainccinv  # takes a second to load

    num = len(responses)  # a mean of so many exponentials
    alarm = noise * (float(gammainccinv(num, FALSE_ALARM)) / num - 1)
    floor = max(alarm, float(powers.max()) * 10 ** (-DYNAMIC_RANGE_DB / 10))
    delays = _support(powers, floor)
    mean, spread, half_width = _spread(pulses - noise, delays, probe, window)
    behind = delays - probe.period_samples * np.round((float(np.mean(delays)) - mean) / probe.period_samples)
    return DelayProfile(
        powers=powers,
        origin_samples=origin,
        mean_delay_samples=mean,
        first_samples=float(behind.min()) + _GUARD_SAMPLES,
        last_samples=float(behind.max()) - _GUARD_SAMPLES,
        turns_samples=turns,
        rms_spread_samples=Value(value=spread, half_width=half_width),
        is_resolved=spread >= RESOLVED_SPREAD_SAMPLES,
        coherence_bandwidth=_coherence_bandwidth(aligned, variances, probe),
    )


def fitted_taps(responses: Complexes, probe: Probe, delays_samples: Reals, noise_share: float) -> Complexes:
    """[captures, L], taps at the given delays that have these responses [captures, bins] within the band.

    Least squares with as much pull to 0 as the noise's share of the responses' power asks for: outside the band, which
    nobody saw, taps would else be noise.
    """
    steering = _steering(delays_samples.tolist(), probe.bins / probe.period_samples)
    normal = steering.conj().T @ steering
    pull = max(_RIDGE, noise_share * len(delays_samples))
    normal += pull * np.eye(len(normal))
    found = np.linalg.solve(normal, steering.conj().T @ responses.T).T.astype(np.complex128)
    return found


@dataclass(frozen=True, slots=True, kw_only=True)
class PropagationPath:
    """One path of a response."""

    delay_samples: float
    gain: complex


def find_paths(response: Complexes, variance: float, probe: Probe) -> tuple[PropagationPath, ...]:
    """The paths that explain a response, in order of delay: strongest first found, then all refined together.

    Least squares over delays and gains; delays are circular in the period, those of the first path's half behind it.
    """
    frequencies = probe.bins / probe.period_samples
    delays: list[float] = []
    gains = np.zeros(0, dtype=np.complex128)
    left = response
    while len(delays) < MAX_PATHS:
        spectrum = np.zeros(_OVERSAMPLING * probe.period_samples, dtype=np.complex128)
        spectrum[probe.bins] = left
        seen = np.abs(np.fft.ifft(spectrum) * spectrum.size) ** 2 / probe.bins.size
        peak = int(np.argmax(seen))
        strongest = float(np.max(np.abs(gains) ** 2, initial=0.0))
        if seen[peak] < max(PATH_MARGIN * variance, strongest * probe.bins.size * _WEAKEST_PATH):
            break
        delays, gains = _refined([*delays, peak / _OVERSAMPLING], response, frequencies)
        left = response - _steering(delays, frequencies) @ gains
    if not delays:
        return ()
    size = probe.period_samples
    behind = [(delay - delays[0] + size / 2) % size - size / 2 for delay in delays]  # the strongest, circular
    earliest = min(behind)
    first = (delays[0] + earliest + _SLACK_SAMPLES) % size - _SLACK_SAMPLES
    found = [
        PropagationPath(delay_samples=first + (later - earliest), gain=complex(gain))
        for later, gain in zip(behind, gains, strict=True)
    ]
    return tuple(sorted(found, key=lambda path: path.delay_samples))


def _steering(delays: Sequence[float], frequencies: Reals) -> Complexes:
    """[bins, paths]"""
    found: Complexes = np.exp(-2j * np.pi * np.outer(frequencies, delays))
    return found


def _refined(delays: list[float], response: Complexes, frequencies: Reals) -> tuple[list[float], Complexes]:
    """Gauss-Newton over delays and gains together."""
    for _ in range(_REFINEMENTS):
        steering = _steering(delays, frequencies)
        gains = np.linalg.lstsq(steering, response, rcond=None)[0]
        left = response - steering @ gains
        slopes = -2j * np.pi * frequencies[:, None] * steering * gains
        system = np.hstack([slopes, steering, 1j * steering])
        real = np.vstack([system.real, system.imag])
        step = np.linalg.lstsq(real, np.concatenate([left.real, left.imag]), rcond=1e-6)[0][: len(delays)]
        step = np.clip(step, -0.5, 0.5)
        delays = [delay + float(change) for delay, change in zip(delays, step, strict=True)]
        if np.max(np.abs(step)) < 1e-6:
            break
    found = np.linalg.lstsq(_steering(delays, frequencies), response, rcond=None)[0].astype(np.complex128)
    return delays, found


def impulse_powers(response: Complexes, probe: Probe) -> Reals:
    """[P], linear, circular: the windowed impulse response's power of one sounding."""
    found: Reals = np.abs(_impulse(response[None], probe, _window(probe))[0]) ** 2
    return found


def _window(probe: Probe) -> Reals:
    """[bins], Hann over the occupied band: its pulse rings off fast, so that the profile has second moments."""
    edge = probe.bins[-1] + 1
    window: Reals = np.cos(np.pi * probe.bins / (2 * edge)) ** 2
    return window


def _impulse(responses: Complexes, probe: Probe, window: Reals) -> Complexes:
    """[captures, P]; the bin that is left out is taken from its neighbours."""
    spectra = np.zeros((len(responses), probe.period_samples), dtype=np.complex128)
    spectra[:, probe.bins] = responses * window
    middle = probe.bins.size // 2
    spectra[:, 0] = (responses[:, middle - 1] + responses[:, middle]) / 2
    found: Complexes = np.fft.ifft(spectra, axis=1)
    return found


def _mean_delay(response: Complexes, probe: Probe) -> float:
    """From the mean turn between neighbouring bins: the mean delay of the power, circular in the period."""
    regular = np.diff(probe.bins) == 1
    turns = (response[1:] * response[:-1].conj())[regular]
    return float(-np.angle(np.sum(turns)) / (2 * np.pi) * probe.period_samples) % probe.period_samples


def _support(powers: Reals, floor: float) -> Reals:
    """Delays around the peak at which there is power, those before the peak below 0, some more on either side."""
    size = powers.size
    peak = int(np.argmax(powers))
    steps = np.arange(-(size // 2), size - size // 2)
    loud = steps[powers[(peak + steps) % size] > floor]
    return peak + np.arange(loud.min() - _GUARD_SAMPLES, loud.max() + _GUARD_SAMPLES + 1).astype(np.float64)


def _spread(pulses: Reals, delays: Reals, probe: Probe, window: Reals) -> tuple[float, float, float]:
    """Mean delay, rms spread without the pulse's own, and half of its 95 % interval, from pulses [captures, P]."""
    size = probe.period_samples
    own = np.abs(_impulse(np.ones((1, probe.bins.size), dtype=np.complex128), probe, window)[0]) ** 2
    steps = np.arange(-(size // 2), size - size // 2)
    pulse_variance = float(np.sum(own[steps % size] * steps**2) / np.sum(own))
    parts = pulses[:, (delays.astype(np.int64)) % size]

    def moments(power: Reals) -> tuple[float, float]:
        total = float(np.sum(power))
        mean = float(np.sum(power * delays)) / total
        return mean, float(np.sum(power * (delays - mean) ** 2)) / total - pulse_variance

    mean, variance = moments(parts.mean(axis=0))
    placed = (mean + size / 2) % size - size / 2
    num = len(parts)
    if num > 1:
        left_out = np.array([moments((parts.sum(axis=0) - part) / (num - 1))[1] for part in parts])
        deviation = math.sqrt((num - 1) / num * float(np.sum((left_out - left_out.mean()) ** 2)))
    else:
        deviation = abs(variance)
    spread = math.sqrt(max(variance, 0.0))
    if spread < RESOLVED_SPREAD_SAMPLES:
        return placed, spread, math.sqrt(max(variance + 2 * deviation, RESOLVED_SPREAD_SAMPLES**2)) - spread
    return placed, spread, 2 * deviation / (2 * spread)


def _coherence_bandwidth(responses: Complexes, variances: Reals, probe: Probe) -> float:
    power = float(np.mean(np.abs(responses) ** 2)) - float(np.mean(variances))
    for lag in range(1, probe.bins.size // 2):
        regular = probe.bins[lag:] - probe.bins[:-lag] == lag
        together = np.mean((responses[:, lag:] * responses[:, :-lag].conj())[:, regular])
        if abs(together) < power / 2:
            return lag / probe.period_samples
    return probe.bins.size / 2 / probe.period_samples
