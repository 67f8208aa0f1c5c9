"""Whole learning curves without samples: y = Σ h x + z for all rounds and devices at once, values given.

The same plans, errors and predictions as over the links on the symbol level, channels known; arrays instead of calls.
"""

from __future__ import annotations

from dataclasses import dataclass

import msgspec
import numpy as np

from radio.air.config import AirConfig
from radio.air.fading import block_fading
from radio.arrays import Complexes, Flags, Indices, Reals
from radio.config import RadioConfig
from radio.errors import RadioConfigError, SignalError
from radio.link.setup import waveform_type
from radio.randomness import generator
from radio.schemes.alignment import regularised_gain, strong_enough
from radio.schemes.alignment_rule import AlignmentRule
from radio.schemes.base import Scheme
from radio.schemes.registry import scheme
from radio.schemes.votes import decide_shares, decide_sums
from radio.waveform.precoding import expected_alignment
from radio.waveform.tones import PILOT_SHARE, max_tone_power

SUPPORTED = ("coherent", "energy", "fsk_vote", "ideal", "sign")
TONES_PER_RESOURCE = 1880  # of the default period of 5000 samples


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Curve:
    """One entry per round, shape [T]; NaN where nobody was strong enough to send."""

    estimates: Reals
    references: Reals
    error_variances: Reals
    num_active: Indices


def play_rounds(
    scheme_name: str,
    values: Reals,
    air: AirConfig,
    *,
    clip: float,
    seed: int,
    radio: RadioConfig | None = None,
    rule: AlignmentRule | None = None,
) -> Curve:
    """Play `values` [T, K] within ±clip through a scheme on a symbol-level air with known channels.

    Energies of tones are drawn from their first two moments: with many tones they are Gaussian. Raises SignalError for
    values that are not finite or beyond ±clip, RadioConfigError for a scheme that has no symbol level of its own.
    """
    if scheme_name not in SUPPORTED:
        raise RadioConfigError(f"scheme: got {scheme_name!r}; allowed on this path: {', '.join(SUPPORTED)}")
    played = scheme(scheme_name)
    if rule is not None and rule.name == "regularised" and not waveform_type(played).has_ridge:
        raise RadioConfigError(f"alignment.name: got 'regularised' with {scheme_name!r}; allowed: min_k or truncated")
    if values.ndim != 2 or not values.size or not np.abs(values).max() <= clip:
        raise SignalError(f"values: got shape {values.shape}; allowed: [T, K], finite and within ±{clip:g}; clip them")
    radio, rule = radio or RadioConfig(), rule or AlignmentRule()
    air = played.air_override or air
    num_rounds, num_devices = values.shape
    fading = block_fading(_symbol(air), radio.sample_rate_hz, num_devices=num_devices, seed=seed)
    gains = np.array([fading.gains(t, 1)[:, 0] for t in range(num_rounds)]) * np.sqrt(air.mean_gain_power)  # [T, K]
    powers = np.abs(gains) ** 2
    kept = np.ones(powers.shape, dtype=np.bool_)
    if played.needs_sounding:
        kept = strong_enough(powers, rule, air.mean_gain_power)
    noise_power = _symbol(air).noise_power(radio.max_power)
    draws = generator(seed, purpose="symbol level").standard_normal((num_rounds, 3))
    play = {"symbols": _amplitudes, "tones": _energies}[played.waveform]
    estimates, variances = play(played, values, gains, kept, draws, noise_power, clip, radio, rule)
    num_active = kept.sum(axis=1)
    sums = np.where(kept, np.sign(values) if played.votes else values, 0).sum(axis=1)
    references = np.sign(sums) if played.votes else sums / np.maximum(num_active, 1)
    silent = num_active == 0
    for array in (estimates, references, variances):
        array[silent] = np.nan
    return Curve(estimates=estimates, references=references, error_variances=variances, num_active=num_active)


def _symbol(air: AirConfig) -> AirConfig:
    return msgspec.structs.replace(air, level="symbol")


def _amplitudes(
    played: Scheme, values: Reals, gains: Complexes, kept: Flags, draws: Reals,
    noise_power: float, clip: float, radio: RadioConfig, rule: AlignmentRule,
) -> tuple[Reals, Reals]:  # fmt: skip
    bound, sent = played.mapped_clip(clip), played.mapped(values)
    amplitude = np.sqrt(radio.max_power)
    value_power = 1.0 if played.votes else (clip / 3) ** 2
    noise_variance = noise_power / 2
    aligned = np.ones(values.shape)
    weakest = np.where(kept, np.abs(gains), np.inf).min(axis=1)
    gain = amplitude * np.where(np.isfinite(weakest), weakest, 1.0) / bound  # [T]
    if rule.name == "regularised" and played.needs_sounding:
        for t, row in enumerate(gains):
            gain[t], ridge = regularised_gain(
                row, bound=bound, max_amplitude=amplitude, noise_variance=noise_variance, value_power=value_power
            )
            aligned[t] = expected_alignment(row, gain=gain[t], ridge=ridge, bound=bound, max_amplitude=amplitude)
    num_active = np.maximum(kept.sum(axis=1), 1)
    sums = np.where(kept, aligned * sent, 0).sum(axis=1) + np.sqrt(noise_variance) * draws[:, 0] / gain
    variances = noise_variance / gain**2 + np.where(kept, (aligned - 1) ** 2, 0).sum(axis=1) * value_power
    if played.votes:
        return _decided(sums, variances, num_active)
    return sums / num_active, variances / num_active**2


def _energies(
    played: Scheme, values: Reals, gains: Complexes, kept: Flags, draws: Reals,
    noise_power: float, clip: float, radio: RadioConfig, rule: AlignmentRule,
) -> tuple[Reals, Reals]:  # fmt: skip
    limit = max_tone_power(radio.max_power) * (1 - PILOT_SHARE)
    powers = np.abs(gains) ** 2
    num_active = np.maximum(kept.sum(axis=1), 1)
    if not played.votes:
        weakest = np.where(kept, powers, np.inf).min(axis=1)
        gain = limit * np.where(np.isfinite(weakest), weakest, 1.0) / clip  # [T]
        arriving = np.where(kept, gain[:, None] * np.abs(values), 0)  # [T, K]
    else:
        arriving = limit * powers
    measured, spread = [], []
    for side, draw in ((values >= 0, draws[:, 1]), (values < 0, draws[:, 2])):
        each = np.where(side, arriving, 0)
        total = each.sum(axis=1)
        # cross terms of random phases, signal times noise, noise times noise; M tones of a resource of N = 2.66 M bins
        noise = noise_power / (2.66 * TONES_PER_RESOURCE)
        variance = (total**2 - (each**2).sum(axis=1)) / TONES_PER_RESOURCE + 2 * noise * total
        variance += noise**2 * TONES_PER_RESOURCE
        measured.append(total + np.sqrt(variance) * draw)
        spread.append(variance)
    if not played.votes:
        scale = num_active * gain
        return (measured[0] - measured[1]) / scale, (spread[0] + spread[1]) / scale**2
    total = measured[0] + measured[1]
    return decide_shares(measured[0] / total, (spread[0] + spread[1]) / total**2, values.shape[1])


def _decided(sums: Reals, variances: Reals, num_active: Indices) -> tuple[Reals, Reals]:
    votes, errors = np.empty_like(sums), np.empty_like(sums)
    for count in np.unique(num_active):
        rows = num_active == count
        votes[rows], errors[rows] = decide_sums(sums[rows], variances[rows], int(count))
    return votes, errors
