"""Channel inversion: who takes part, how much gain everybody can afford, and what a device sends to arrive with it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated, Literal

import msgspec
import numpy as np
from numpy.typing import NDArray

from radio.errors import SignalError
from radio.records import Checked

NOISE_CLIP_STDS = 4.0  # METHOD §1: p + n is clipped at ±(clip + 4σ) before precoding
NUM_GAINS_TRIED = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Csi:
    """What a device is told of its own channel: the gain at the first payload symbol, and how it turns."""

    gain: complex
    cfo_hz: float = 0.0
    resource_powers: tuple[float, float] | None = None
    """|h|² on the two resources of a noncoherent scheme."""


class AlignmentRule(Checked, frozen=True, kw_only=True):
    """How channels of different strength are made to arrive alike (METHOD §5)."""

    name: Literal["min_k", "truncated", "regularised"] = "min_k"
    """``min_k``: everybody inverts, the weakest sets the gain. ``truncated``: too weak devices keep silent.
    ``regularised``: c|h|/(|h|² + λ), at most full power; the gain weighs misalignment against noise."""
    truncate_below_db: Annotated[float, msgspec.Meta(ge=-100, le=20)] = -10.0
    """Of ``truncated``: devices whose |h|² lies so far below the mean over devices and rounds keep silent."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Alignment:
    """What a rule came to in one round; public."""

    gain: float
    """c: as what a value of 1 arrives, in amplitude or, of noncoherent schemes, in power; 0 is a silent round."""
    active: tuple[int, ...]
    """Devices that transmit, ascending."""
    ridge: float = 0.0
    """λ of ``regularised``, else 0."""


def value_bound(clip: float, noise_std: float) -> float:
    """The public bound on |p + n| beyond which devices clip."""
    return clip + NOISE_CLIP_STDS * noise_std


def alignment_gain(gains: NDArray[np.complex128], *, clip: float, noise_std: float, max_amplitude: float) -> float:
    """c = min_k √P|h_k| / (clip + 4σ), the largest gain at which no device can exceed its power; `gains` [K].

    `max_amplitude` is √P, or less where a peak would pass full scale. Zero when a device has no channel.
    """
    bound = value_bound(clip, noise_std)
    if not (bound > 0 and math.isfinite(bound)):
        raise SignalError(f"clip + 4·noise_std: got {bound}; allowed: a finite bound > 0")
    if gains.size == 0:
        return 0.0
    return max_amplitude * float(np.abs(gains).min()) / bound


def strong_enough(powers: NDArray[np.float64], rule: AlignmentRule, mean_power: float) -> NDArray[np.bool_]:
    """Which devices a rule keeps, from their |h|² [K]; `mean_power` is that over devices and rounds so far."""
    if rule.name != "truncated":
        return np.ones(powers.shape, dtype=np.bool_)
    return (powers >= mean_power * 10 ** (rule.truncate_below_db / 10)) & (powers > 0)


def regularised_gain(
    gains: NDArray[np.complex128],
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


def expected_alignment(
    gains: NDArray[np.complex128], *, gain: float, ridge: float, bound: float, max_amplitude: float
) -> NDArray[np.float64]:
    """g_k, what arrives of a value as a multiple of c, shape [K]; ones but under regularised inversion."""
    if ridge == 0 or gain == 0:
        return np.ones(gains.shape)
    power = np.abs(gains) ** 2
    limits = max_amplitude * np.abs(gains) / (bound * gain)
    return np.minimum(power / (power + ridge), limits)


def precode(
    values: NDArray[np.complex128],
    *,
    gain: float,
    csi: Csi,
    symbol_period_s: float,
    ridge: float = 0.0,
    max_factor: float = math.inf,
    first_symbol: int = 0,
) -> NDArray[np.complex128]:
    """x = (c/ĥ)·value for one symbol each, shape [S]; ĥ turns by the carrier offset from symbol to symbol.

    With a ridge λ, x = c·ĥ*/(|ĥ|² + λ)·value, of magnitude `max_factor` per value at most. A silent round (c = 0)
    sends zeros whatever the channel. Raises SignalError for a device without channel.
    """
    if gain == 0:
        return np.zeros(values.size, dtype=np.complex128)
    magnitude = abs(csi.gain)
    if magnitude == 0 or not np.isfinite(csi.gain):
        raise SignalError(f"csi.gain: got {csi.gain}; allowed: finite and not zero; leave this device out of the plan")
    factor = gain / magnitude if ridge == 0 else min(gain * magnitude / (magnitude**2 + ridge), max_factor)
    times_s = (first_symbol + np.arange(values.size)) * symbol_period_s
    turn = np.exp(-2j * np.pi * csi.cfo_hz * times_s) * (np.conj(csi.gain) / magnitude)
    symbols: NDArray[np.complex128] = factor * values * turn
    return symbols
