"""Composed Gaussian noise in terms of ρ: what a transmission leaks, what (ε, δ) allows. Pure functions.

A round that adds Gaussian noise of variance u to a sum that neighbouring data sets can move by Δ leaks
ρ = Δ²/(2u) (zCDP), and leaks add up over rounds. Sources: arXiv 2604.12401 eq. 17; arXiv 2006.05459;
arXiv 1905.02383 (Gaussian DP).
"""

from __future__ import annotations

import math
from collections.abc import Callable

from scipy.optimize import brentq
from scipy.special import log_ndtr


def leak(sum_sensitivity: float, noise_variance: float) -> float:
    """ρ of one Gaussian observation of the sum with noise variance u: Δ²/(2u); infinite without noise."""
    return math.inf if noise_variance <= 0 else sum_sensitivity**2 / (2 * noise_variance)


def delta_of(rho: float, dp_epsilon: float) -> float:
    """The exact δ at ε of composed Gaussians of total leak ρ (μ-GDP with μ = √(2ρ))."""
    if rho <= 0:
        return 0.0
    if math.isinf(rho):
        return 1.0
    mu = math.sqrt(2 * rho)
    left = float(log_ndtr(-dp_epsilon / mu + mu / 2))
    right = dp_epsilon + float(log_ndtr(-dp_epsilon / mu - mu / 2))
    return max(0.0, math.exp(left) - math.exp(min(right, left)))


def epsilon_of(rho: float, dp_delta: float) -> float:
    """The smallest ε at δ of composed Gaussians of total leak ρ."""
    if delta_of(rho, 0.0) <= dp_delta:
        return 0.0
    if math.isinf(rho):
        return math.inf
    upper = rho + 2 * math.sqrt(rho * math.log(1 / dp_delta)) + 1  # the zCDP bound is never smaller
    return _root(lambda epsilon: delta_of(rho, epsilon) - dp_delta, 0.0, upper)


def budget_exact(dp_epsilon: float, dp_delta: float) -> float:
    """The largest total ρ that keeps (ε, δ), exact for composed Gaussians."""
    low = budget_zcdp(dp_epsilon, dp_delta)
    high = max(1.0, 2 * low)
    while delta_of(high, dp_epsilon) < dp_delta:
        high *= 2
    return _root(lambda rho: delta_of(rho, dp_epsilon) - dp_delta, 0.0, high)


def budget_zcdp(dp_epsilon: float, dp_delta: float) -> float:
    """The ρ that keeps (ε, δ) by the zCDP conversion: (√(ε + ln 1/δ) − √(ln 1/δ))²."""
    log_term = math.log(1 / dp_delta)
    return (math.sqrt(dp_epsilon + log_term) - math.sqrt(log_term)) ** 2


def budget_paper(dp_epsilon: float, dp_delta: float) -> float:
    """R_dp of arXiv 2604.12401 eq. 17: (√(ε + a²) − a)² with √π·a·e^{a²} = 1/δ."""
    a = _root(lambda x: math.sqrt(math.pi) * x * math.exp(x * x) - 1 / dp_delta, 0.0, 26.0)
    return (math.sqrt(dp_epsilon + a * a) - a) ** 2


def _root(function: Callable[[float], float], low: float, high: float) -> float:
    return float(brentq(function, low, high, xtol=1e-15, rtol=8.9e-16, maxiter=500))
