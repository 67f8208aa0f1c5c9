"""What a schedule has to decide: how much each of T rounds may leak.

A round of leak ρ has noise u = Δ²/(2ρ) on the sum of scalars, of which the objective counts W_t·u_t with
W_t = A^{−t}; the gain follows from u (see `power`). Weights stay logarithms: A^{−T} overflows long before T does.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from testbed.privacy.accountants import Accountant
from testbed.schedule.artificial import DeviceNoise
from testbed.schedule.votes import Votes

Floats = NDArray[np.float64]
Inverse = Callable[[Floats], Floats]
"""From log(desire/price) to the log of the leak that a round is then worth."""


def log_weights(num_rounds: int, contraction: float) -> Floats:
    """log W_t = −t·log A for t = 0 … T−1, up to a constant that makes the largest 0."""
    return -math.log(contraction) * np.arange(1.0 - num_rounds, 1.0)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Problem:
    """T rounds, their weights, what the air allows in each, and what all may cost together."""

    log_weights: Floats
    """[T], log W_t"""
    caps: Floats
    """[T], the leak ρ of each round at full power; infinite where noise is artificial"""
    sensitivity: float
    """Δ, in the scalar's unit"""
    accountant: Accountant
    skip_noise: float = math.inf
    """K²s²: a silent round counts as so much noise, so that no round with more is transmitted. s² is public."""
    votes: Votes | None = None
    """Where the update uses the sign of a sum of signs: then what counts is how often that is wrong."""
    device_noise: DeviceNoise | None = None
    """Where receiver noise is not trusted: what the devices' own costs besides."""

    @property
    def inverse(self) -> Inverse | None:
        """What a round is worth at a price; None where all noise is alike and the accountant's price decides."""
        if self.votes is not None:
            return self.votes.log_leak
        return None if self.device_noise is None else self.device_noise.inverse(self.sensitivity)

    @property
    def num_rounds(self) -> int:
        """T"""
        return len(self.log_weights)

    @property
    def least_leak(self) -> float:
        """ρ of a round that is as noisy as a silent one."""
        return self.sensitivity**2 / (2 * self.skip_noise)

    def noise(self, leaks: Floats) -> Floats:
        """u_t = Δ²/(2ρ_t); infinite in silent rounds."""
        with np.errstate(divide="ignore", over="ignore"):
            return np.asarray(self.sensitivity**2 / (2 * leaks))

    def spent(self, leaks: Floats) -> float:
        """The total cost."""
        return math.fsum(self.accountant.cost(leaks))

    def log_objective(self, leaks: Floats) -> float:
        """log Σ W_t·min(u_t, K²s²), with the largest weight as the unit."""
        with np.errstate(divide="ignore"):
            terms = self.log_weights + np.log(np.minimum(self.noise(leaks), self.skip_noise))
        largest = float(terms.max())
        if math.isinf(largest):
            return largest
        return largest - float(self.log_weights.max()) + math.log(math.fsum(np.exp(terms - largest)))


def caps_at_full_power(least_noise: Floats, sensitivity: float) -> Floats:
    """ρ of rounds whose noise cannot be less than U_t: Δ²/(2U_t)."""
    with np.errstate(divide="ignore"):
        return np.asarray(sensitivity**2 / (2 * np.asarray(least_noise, dtype=np.float64)))


def snr_threshold(rho_per_round: float, *, sensitivity: float, sent_bound: float, mean_weakest_gain: float) -> float:
    """SNR* (P/N0', linear) above which full power leaks more than ρ a round: ρ·2γ²/(Δ²·E min_k|h_k|²).

    ``sent_bound`` is γ, what full power must carry; gains are relative to whatever the SNR is defined by.
    """
    return rho_per_round * 2 * sent_bound**2 / (sensitivity**2 * mean_weakest_gain)
