"""From the noise that a round shall have to the gain and the artificial noise that make it.

Which noise counts (the threat model): u = N0'/(c²·E) where receiver noise is trusted, plus m·σ². E is the energy of
everything radiated for one payload, relative to the one matched-filtered payload that N0' refers to. m is the number
of devices whose artificial noise an attacker cannot take away: K − f honest ones where their signals arrive aligned,
otherwise the device's own, m = 1.
"""

from __future__ import annotations

import math
import sys
from dataclasses import dataclass

from radio.records import NOISE_CLIP_STDS


@dataclass(frozen=True, slots=True, kw_only=True)
class Crediting:
    """Which noise counts."""

    receiver_trusted: bool
    num_noise_sources: int
    """m"""
    payload_energy: float = 1.0
    """E"""


@dataclass(frozen=True, slots=True, kw_only=True)
class RoundLimits:
    """What the air allows in one round."""

    amplitude: float
    """min_k √P_k·|h_k|, at which the weakest device arrives at full power; infinite if power is no limit"""
    noise_variance: float
    """N0' = Var(Re z) after the matched filter, in the units of amplitude²"""
    clip: float
    """γ, bound of what a device sends before its noise"""
    noise_std: float = 0.0
    """σ that every device adds at least"""
    min_gain: float = 0.0
    """the smallest gain that the transmitters' converters resolve"""

    def max_gain(self, noise_std: float) -> float:
        """c at full power, when devices add noise σ."""
        return self.amplitude / (self.clip + NOISE_CLIP_STDS * noise_std)


@dataclass(frozen=True, slots=True, kw_only=True)
class Power:
    """Gain c and artificial noise σ of one round; c = 0 is a silent round."""

    gain: float
    noise_std: float


def precision_of(gain: float, noise_variance: float, crediting: Crediting) -> float:
    """c²E/N0': one over the variance of receiver noise on a sum that arrives with this gain; infinite without noise."""
    if gain <= 0:
        return 0.0
    if noise_variance <= 0:
        return math.inf
    ratio = gain * math.sqrt(crediting.payload_energy) / math.sqrt(noise_variance)
    return max(ratio * ratio, sys.float_info.min)  # what is radiated is never nothing, however weak


def noise_at(precision: float, noise_std: float, crediting: Crediting) -> float:
    """u that counts for privacy, of everything that was heard of one value; infinite of nothing."""
    if precision <= 0:
        return math.inf
    receiver = 1 / precision if crediting.receiver_trusted else 0.0
    return receiver + crediting.num_noise_sources * noise_std**2


def credited_noise(power: Power, noise_variance: float, crediting: Crediting) -> float:
    """u that counts for privacy, of a round that transmits once; infinite in a silent round."""
    return noise_at(precision_of(power.gain, noise_variance, crediting), power.noise_std, crediting)


def total_noise(power: Power, noise_variance: float, num_devices: int) -> float:
    """u that the estimate of Σ p_k really has: N0'/c² + K·σ²."""
    return math.inf if power.gain <= 0 else _over_square(noise_variance, power.gain) + num_devices * power.noise_std**2


def _over_square(variance: float, gain: float) -> float:
    """variance/gain², infinite where that is beyond every number: gains of deep fades have squares that underflow."""
    ratio = math.sqrt(variance) / gain
    return ratio * ratio


def least_noise(limits: RoundLimits, crediting: Crediting) -> float:
    """U: the credited noise at full power, with no more artificial noise than asked; 0 where there is none."""
    return credited_noise(
        Power(gain=limits.max_gain(limits.noise_std), noise_std=limits.noise_std), limits.noise_variance, crediting
    )


def power_for(wanted_noise: float, limits: RoundLimits, crediting: Crediting) -> Power:
    """Gain and noise whose credited noise is at least ``wanted_noise``, with as little harm as possible.

    Trusted receiver noise is used first, as it costs no power; artificial noise where it does not count, or where the
    gain would fall below its floor.
    """
    silent = Power(gain=0.0, noise_std=limits.noise_std)
    if math.isinf(wanted_noise) or limits.amplitude <= 0:
        return silent
    own = crediting.num_noise_sources * limits.noise_std**2
    if crediting.receiver_trusted:
        missing = wanted_noise - own
        from_receiver = limits.noise_variance / crediting.payload_energy
        gain = math.sqrt(from_receiver / missing) if missing > 0 else math.inf
        gain = min(gain, limits.max_gain(limits.noise_std))
        if gain >= limits.min_gain:
            return Power(gain=gain, noise_std=limits.noise_std)
        missing = wanted_noise - from_receiver / limits.min_gain**2
    else:
        missing = wanted_noise
    noise_std = max(limits.noise_std, math.sqrt(max(0.0, missing) / crediting.num_noise_sources))
    highest = limits.max_gain(noise_std)
    if crediting.receiver_trusted:
        return Power(gain=limits.min_gain, noise_std=noise_std) if limits.min_gain <= highest else silent
    return Power(gain=highest, noise_std=noise_std) if highest >= limits.min_gain else silent


def power_again(wanted_noise: float, limits: RoundLimits, crediting: Crediting, *, precision: float) -> Power:
    """Gain at which a value that was heard with ``precision`` already keeps ``wanted_noise`` when it is sent again.

    Its artificial noise is ``limits.noise_std``, which no further transmission may change; silent where nothing more
    may be heard of it.
    """
    noise_std = limits.noise_std
    gain = limits.max_gain(noise_std)
    missing = wanted_noise - crediting.num_noise_sources * noise_std**2
    if missing > 0:
        more = max(0.0, 1 / missing - precision) if crediting.receiver_trusted else 0.0
        gain = min(gain, math.sqrt(more * limits.noise_variance / crediting.payload_energy))
    return Power(gain=gain if gain >= limits.min_gain else 0.0, noise_std=noise_std)
