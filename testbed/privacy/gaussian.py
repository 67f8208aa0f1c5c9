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
    rho = _root(lambda log_rho: delta_of(math.exp(log_rho), dp_epsilon) - dp_delta, math.log(low / 2), math.log(high))
    found, step = math.exp(rho), 1e-15
    while delta_of(found, dp_epsilon) > dp_delta:  # the root may lie a rounding on the dear side
        found, step = found * (1 - step), 2 * step
    return found


def budget_zcdp(dp_epsilon: float, dp_delta: float) -> float:
    """The ρ that keeps (ε, δ) by the zCDP conversion: (√(ε + ln 1/δ) − √(ln 1/δ))²."""
    return _squared_step(dp_epsilon, math.log(1 / dp_delta))


def budget_paper(dp_epsilon: float, dp_delta: float) -> float:
    """R_dp of arXiv 2604.12401 eq. 17: (√(ε + a²) − a)² with √π·a·e^{a²} = 1/δ."""
    goal = -math.log(dp_delta) - math.log(math.pi) / 2
    log_a = _root(lambda x: x + math.exp(2 * x) - goal, -abs(goal) - 1, math.log(abs(goal) + 1))
    return _squared_step(dp_epsilon, math.exp(2 * log_a))


def _squared_step(dp_epsilon: float, square: float) -> float:
    """(√(ε + x) − √x)² at x = ``square``, without the difference of two numbers that are nearly the same."""
    return (dp_epsilon / (math.sqrt(dp_epsilon + square) + math.sqrt(square))) ** 2


def _root(function: Callable[[float], float], low: float, high: float) -> float:
    return float(brentq(function, low, high, xtol=1e-15, rtol=8.9e-16, maxiter=500))
