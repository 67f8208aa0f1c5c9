"""The optimum, causal: each round is decided from its own channel, the budget that is left, and a forecast.

It solves the whole problem again every round, with later rounds' caps replaced by a sample of caps. What was spent is
taken off the budget, so no prefix of a run overspends.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq

from testbed.schedule.base import Schedule, Told
from testbed.schedule.filling import worth
from testbed.schedule.problem import Inverse, Problem

Floats = NDArray[np.float64]

_KNOWN_CHANNELS = 1000
_BINS = 128
_TABLE_SIZE = 1024
_TABLE_SPAN = 80.0
_ROUNDING = 1e-12


class Online(Schedule):
    """Forecasts later rounds from the caps of those that were."""

    name = "online"
    is_causal = True

    def leaks(self, problem: Problem) -> Floats:
        """Plays the whole run, with its caps as the forecast."""
        balance, remaining, played = Balance(problem, inverse=_inverse(problem)), problem.accountant.limit, []
        for round_index, cap in enumerate(problem.caps):
            rho = balance.leak(round_index, float(cap), remaining)
            remaining -= float(problem.accountant.cost(np.array(rho)))
            played.append(rho)
        return np.array(played)

    def begin(self, problem: Problem) -> None:
        """Nothing is known yet."""
        self._problem = problem
        self._caps: list[float] = []

    def next(self, round_index: int, cap: float, remaining: float) -> float:
        """ρ at the price that balances the budget."""
        self._caps.append(cap)
        if _is_forecast_after(len(self._caps)):
            known = replace(self._problem, caps=np.array(self._caps))
            self._balance = Balance(known, inverse=_inverse(known))
        return self._balance.leak(round_index, cap, remaining)

    def replay(self, told: Sequence[Told]) -> None:
        """Only the last forecast counts, and its first price, near which later ones are looked for."""
        latest = max((num for num in range(1, len(told) + 1) if _is_forecast_after(num)), default=0)
        self._caps = [each.cap for each in told[: max(0, latest - 1)]]
        for each in told[max(0, latest - 1) : latest]:
            self.next(each.round_index, each.cap, each.remaining)
        self._caps += [each.cap for each in told[latest:]]


def _is_forecast_after(num_known: int) -> bool:
    """Whether caps are forecast anew: when 1, 2, 4, 8 … channels are known."""
    return 0 < num_known <= _KNOWN_CHANNELS and num_known & (num_known - 1) == 0


def _inverse(problem: Problem) -> Inverse | None:
    return None if problem.votes is None else problem.votes.log_leak


class Balance:
    """Decides rounds in order; ``problem.caps`` [M] is a sample of what rounds to come may allow."""

    def __init__(self, problem: Problem, *, inverse: Inverse | None = None) -> None:
        self._problem = problem
        self._inverse = inverse
        self._desires = problem.log_weights - problem.log_weights.max()
        edges = np.unique(np.linspace(0, problem.num_rounds, min(_BINS, problem.num_rounds) + 1).astype(int))
        self._bin_ends = edges[1:]
        self._bin_sizes = np.diff(edges)
        sums = np.concatenate(([0.0], np.cumsum(self._desires)))
        self._bin_desires = np.diff(sums[edges]) / self._bin_sizes
        self._first_log_price: float | None = None
        self._table = np.zeros(0)
        self.forecast(problem.caps)

    def forecast(self, caps: Floats) -> None:
        """Replace the sample of caps [M] that stands for every later round."""
        quantiles = np.asarray(caps)
        if len(caps) > 64:
            levels = (np.arange(64) + 0.5) / 64
            bounded = np.isfinite(caps).all()  # between two infinite caps lies no number
            quantiles = np.quantile(caps, levels) if bounded else np.quantile(caps, levels, method="lower")
        self._grid = np.linspace(-_TABLE_SPAN, _TABLE_SPAN, _TABLE_SIZE)
        prices = np.repeat(self._grid, len(quantiles))
        leaks = worth(
            self._problem, prices, np.tile(quantiles, _TABLE_SIZE), inverse=self._inverse, frugal=self._frugal
        )
        distinct, places = np.unique(leaks, return_inverse=True)  # few: each is a price's, or a cap
        self._table = self._problem.accountant.cost(distinct)[places].reshape(_TABLE_SIZE, -1).mean(axis=1)

    @property
    def _frugal(self) -> bool:
        return self._inverse is None

    def leak(self, round_index: int, cap: float, remaining: float) -> float:
        """ρ of this round, whose own cap is known, with ``remaining`` of the budget's currency left."""
        remaining -= _ROUNDING * self._problem.accountant.limit  # what rounding may lose over a whole run
        if remaining <= 0:
            return 0.0
        desire = float(self._desires[round_index])
        later = np.clip(self._bin_ends - 1 - round_index, 0, self._bin_sizes)

        def now(log_price: float) -> float:
            found = worth(
                self._problem,
                np.array([desire - log_price]),
                np.array([cap]),
                inverse=self._inverse,
                frugal=self._frugal,
            )
            return float(found[0])

        def excess(log_price: float) -> float:
            future = float(np.interp(self._bin_desires - log_price, self._grid, self._table) @ later)
            return future + float(self._problem.accountant.cost(np.array(now(log_price)))) - remaining

        wanted = now(self._solve(excess))
        cost = float(self._problem.accountant.cost(np.array(wanted)))
        return wanted if cost <= remaining else min(wanted, self._problem.accountant.leak_for(remaining, 1))

    def _solve(self, excess: Callable[[float], float]) -> float:
        """The price of a balanced budget, near the first one; −∞ where even full power stays below it."""
        low = high = self._first_log_price or 0.0
        step = 0.01
        while excess(high) > 0:
            if high > 2 * _TABLE_SPAN:
                return high  # some accountants have no smaller cost to offer; the budget decides
            low, high, step = high, high + step, 4 * step
        while low == high or excess(low) <= 0:
            if low < -_TABLE_SPAN:
                return -math.inf
            high, low, step = low, low - step, 4 * step
        found = float(brentq(excess, low, high, xtol=1e-9))
        if self._first_log_price is None:
            self._first_log_price = found
        return found
