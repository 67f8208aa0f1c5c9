"""Spreads a budget over rounds: every round leaks what its desire is worth at one common price, up to its cap.

The price is left on the side that does not overspend, so no result ever does.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq

from testbed.schedule.problem import Inverse, Problem

Floats = NDArray[np.float64]

_MAX_LOG_PRICE = 1e4
_LEAST_LEAK = 1e-280
"""Below this a leak would underflow and a round fall silent by accident."""


def fill(problem: Problem, log_desires: Floats, *, inverse: Inverse | None = None, frugal: bool = False) -> Floats:
    """Leaks ρ_t [T] that use the budget up, or all the power there is; silent rounds leak 0.

    ``frugal`` also silences rounds whose leak is worth more elsewhere: right when desires are the weights themselves.
    """
    desires = log_desires - log_desires.max()
    limit = problem.accountant.limit

    def at(log_price: float) -> tuple[Floats, float]:
        leaks = worth(problem, desires - log_price, problem.caps, inverse=inverse, frugal=frugal)
        return leaks, problem.spent(leaks)

    at_full_power = np.where(problem.caps > problem.least_leak, problem.caps, 0.0)
    if problem.spent(at_full_power) <= limit:
        return at_full_power
    low, high = _bracket(at, limit)
    log_price = low if low == high else float(brentq(lambda x: at(x)[1] - limit, low, high, xtol=1e-13))
    step = 1e-15
    while (found := at(log_price))[1] > limit:  # the root may lie a rounding, or a silenced round, on the dear side
        log_price, step = log_price + step, 2 * step
    return found[0]


def worth(
    problem: Problem, log_prices: Floats, caps: Floats, *, inverse: Inverse | None = None, frugal: bool = False
) -> Floats:
    """What rounds leak at log(desire/price), up to ``caps``; 0 where that is not worth transmitting."""
    log_leaks = (inverse or problem.accountant.log_leak_at)(log_prices)
    with np.errstate(over="ignore"):
        leaks = np.minimum(caps, np.where(np.isneginf(log_leaks), 0.0, np.maximum(np.exp(log_leaks), _LEAST_LEAK)))
    if problem.least_leak == 0:
        return leaks
    with np.errstate(divide="ignore", over="ignore", invalid="ignore"):
        noise_saved = 1 / problem.least_leak - 1 / leaks
        price_paid = problem.accountant.cost(leaks) * np.exp(-log_prices) if frugal else 0.0
        return np.where(noise_saved > price_paid, leaks, 0.0)


def _bracket(at: Callable[[float], tuple[Floats, float]], limit: float) -> tuple[float, float]:
    """Log prices of which the lower one overspends and the higher one does not."""
    low, high, step = 0.0, 0.0, 1.0
    while at(high)[1] > limit:
        low, high, step = high, high + step, 2 * step
    if low == high:
        while at(low)[1] <= limit and low > -_MAX_LOG_PRICE:
            high, low, step = low, low - step, 2 * step
    return low, high
