"""Chooses, from public channel states, who takes part in a round and with which gain (docs/method.md §5)."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass

import numpy as np

from radio.arrays import Complexes, Flags, Reals
from radio.records import Csi
from radio.schemes.alignment_rule import AlignmentRule
from radio.schemes.base import Scheme
from radio.waveform.base import Waveform

NUM_GAINS_TRIED = 64


def strong_enough(powers: Reals, rule: AlignmentRule, mean_power: float) -> Flags:
    """Which devices a rule keeps, from their |h|² [K]; `mean_power` is that over devices and rounds so far."""
    if rule.name != "truncated":
        return np.ones(powers.shape, dtype=np.bool_)
    return (powers >= mean_power * 10 ** (rule.truncate_below_db / 10)) & (powers > 0)


def regularised_gain(
    gains: Complexes,
    *,
    bound: float,
    max_amplitude: float,
    noise_variance: float,
    value_power: float,
) -> tuple[float, float]:
    """c and λ that minimise Σ_k (g_k − 1)²·E[p²] + N0'/c², g_k = min(|h|²/(|h|² + λ), √P|h|/(c·bound)).

    λ = N0'·bound²/P, the noise against a device's full power; c is the best of 64 between the weakest and the
    strongest device's (arXiv 1905.05462 without the average-power constraint).
    """
    magnitudes = np.abs(gains)
    if magnitudes.size == 0 or not magnitudes.max() > 0:
        return 0.0, 0.0
    ridge = noise_variance * (bound / max_amplitude) ** 2
    limits = max_amplitude * magnitudes / bound  # [K], the gain at which a device is at full power
    lowest = max(float(limits.min()), 1e-3 * float(limits.max()))
    tried = np.geomspace(lowest, float(limits.max()), NUM_GAINS_TRIED)
    aligned = np.minimum(magnitudes**2 / (magnitudes**2 + ridge), limits / tried[:, None])  # [tried, K]
    errors = ((aligned - 1) ** 2).sum(axis=1) * value_power + noise_variance / tried**2
    return float(tried[np.argmin(errors)]), ridge


def choose_alignment(
    csi: Mapping[int, Csi],
    rule: AlignmentRule,
    *,
    bound: float,
    num_queries: int,
    scheme: Scheme,
    waveform: Waveform,
    max_amplitude: float,
    heard: Collection[int],
    mean_power: float,
    noise_variance: float,
    value_power: float,
) -> Alignment:
    """Who transmits, and with which gain at most; gain 0 when nobody can.

    `bound` is the largest value; `max_amplitude` is √P, or less where a peak would pass full scale; `mean_power` is
    |h|² over devices and rounds so far, NaN when none was measured.
    """
    if not csi:
        return Alignment(gain=0.0, active=())
    devices = np.array(sorted(csi), dtype=np.int64)
    if not scheme.needs_sounding:
        return Alignment(gain=waveform.full_gain(bound=bound, num_queries=num_queries), active=tuple(devices.tolist()))
    gains = np.array([csi[device].gain for device in devices.tolist()], dtype=np.complex128)
    powers = np.abs(gains) ** 2
    kept = strong_enough(powers, rule, mean_power if math.isfinite(mean_power) else float(powers.mean()))
    if rule.name == "truncated":
        kept &= np.isin(devices, list(heard))
    active = tuple(devices[kept].tolist())
    if not active:
        return Alignment(gain=0.0, active=())
    if rule.name == "regularised":
        gain, ridge = regularised_gain(
            gains,
            bound=bound,
            max_amplitude=max_amplitude,
            noise_variance=noise_variance,
            value_power=value_power,
        )
        return Alignment(gain=gain, active=active, ridge=ridge)
    gain = waveform.gain_limit([csi[device] for device in active], bound=bound, num_queries=num_queries)
    return Alignment(gain=gain, active=active)


@dataclass(frozen=True, slots=True, kw_only=True)
class Alignment:
    """What a rule came to in one round; public."""

    gain: float
    """c: as what a value of 1 arrives, in amplitude or, of noncoherent schemes, in power; 0 is a silent round."""
    active: tuple[int, ...]
    """Devices that transmit, ascending."""
    ridge: float = 0.0
    """λ of ``regularised``, else 0."""
