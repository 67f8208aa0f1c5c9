"""The power/noise schedule: from channel state and remaining budget to the gain of one round. Pure functions.

u_t = N0'/c_t² + Σ_k σ_k² is the noise variance on Σ_k p_k (METHOD §1); a schedule chooses u_t, the gain follows.
"""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class RoundLimits:
    """What the air allows in this round."""

    max_gain: float
    """c at full power: min_k √P |h_k| / (clip + noise bound), linear."""
    noise_variance: float
    """N0' = Var(Re z) after the matched filter, linear, in the units of c²."""
    artificial_noise_variance: float
    """Σ_k σ_k² that devices add themselves, in the scalar's unit squared."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """What the whole run may leak, and to whom the sum is sensitive."""

    rho: float
    sensitivity: float
    num_rounds: int


def full_gain(limits: RoundLimits) -> float:
    """All the power there is."""
    return limits.max_gain


def static_gain(limits: RoundLimits, budget: Budget) -> float:
    """The same noise u = Δ²T/(2ρ) in every round, capped by full power (METHOD §3)."""
    target_variance = budget.sensitivity**2 * budget.num_rounds / (2 * budget.rho)
    from_receiver = target_variance - limits.artificial_noise_variance
    if from_receiver <= 0:
        return limits.max_gain
    return min(math.sqrt(limits.noise_variance / from_receiver), limits.max_gain)


def sum_noise_variance(gain: float, limits: RoundLimits) -> float:
    """u = N0'/c² + Σ σ²; infinite for a silent round."""
    if gain <= 0:
        return math.inf
    return limits.noise_variance / gain**2 + limits.artificial_noise_variance
