"""Accountants: what a budget (ε, δ) is in a currency that adds up over rounds, and what a round costs in it.

What happened is ρ, the Gaussian leak Δ²/(2u) of everything sent in one round. Who judges it is separate:

    GaussianAccountant   composed Gaussians; batches are not secret; the currency is ρ itself
    RenyiAccountant      secret Poisson batches; the currency is the Rényi divergence of one order, fixed before the run
    EqualRoundsAccountant  secret Poisson batches, judged as T rounds of one size by privacy-loss distributions

Costs are convex in ρ with cost 0 at 0. So attempts of one round, which repeat one batch, are charged for their sum, and
that is never less than what separate batches would cost. The order is fixed in advance because a sum of divergences of
one order is a valid stopping rule whatever the past (arXiv 2008.11193), which the least over all orders is not.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from testbed.config.words import AccountantName
from testbed.errors import ConfigError
from testbed.privacy import gaussian, sampled

Floats = NDArray[np.float64]

_LOG_ROUNDING = 1e-12
"""By how much a logarithm is lowered, so that its exponential is never the larger by a rounding."""


class Accountant(Protocol):
    """Judges rounds by their Gaussian leaks ρ."""

    @property
    def limit(self) -> float:
        """What all rounds together may cost."""
        ...

    @property
    def words(self) -> str:
        """The method, for whoever reads an (ε, δ)."""
        ...

    def cost(self, rho: Floats) -> Floats:
        """What rounds of leaks ``rho`` (any shape) cost, each."""
        ...

    def leak_for(self, total: float, num_rounds: int) -> float:
        """The largest ρ that T equal rounds may have at a total cost."""
        ...

    def log_leak_at(self, log_price: Floats) -> Floats:
        """log ρ at which ρ²·d cost/dρ = e^log_price: where one more unit of benefit is worth its price."""
        ...

    def epsilon(self, total_cost: float) -> float:
        """ε at the accountant's δ of rounds that cost so much together; an upper bound, exact where possible."""
        ...


@dataclass(frozen=True, kw_only=True)
class GaussianAccountant:
    """Composed Gaussians. Shown ε are exact; only the budget may be the paper's or zCDP's, which are smaller."""

    dp_epsilon: float
    dp_delta: float
    budget: Literal["exact", "zcdp", "paper"] = "exact"

    @cached_property
    def limit(self) -> float:
        """ρ in total."""
        of = {"exact": gaussian.budget_exact, "zcdp": gaussian.budget_zcdp, "paper": gaussian.budget_paper}
        return of[self.budget](self.dp_epsilon, self.dp_delta)

    @property
    def words(self) -> str:
        """The method."""
        budgets = {"exact": "exact composition", "zcdp": "the zCDP bound", "paper": "R_dp of arXiv 2604.12401"}
        return f"composed Gaussian noise, budget by {budgets[self.budget]}"

    def cost(self, rho: Floats) -> Floats:
        """ρ."""
        return np.asarray(rho, dtype=np.float64)

    def leak_for(self, total: float, num_rounds: int) -> float:
        """total/T."""
        return total / num_rounds

    def log_leak_at(self, log_price: Floats) -> Floats:
        """½ log price."""
        return log_price / 2

    def epsilon(self, total_cost: float) -> float:
        """Exact."""
        return gaussian.epsilon_of(total_cost, self.dp_delta)


@dataclass(frozen=True, kw_only=True)
class RenyiAccountant:
    """Secret Poisson batches of a public rate q; add/remove neighbours."""

    dp_epsilon: float
    dp_delta: float
    rate: float
    order: int

    @classmethod
    def for_rounds(cls, dp_epsilon: float, dp_delta: float, *, rate: float, num_rounds: int) -> RenyiAccountant:
        """The order that lets T equal rounds leak most. Raises ConfigError where no order can keep (ε, δ)."""
        candidates = [
            cls(dp_epsilon=dp_epsilon, dp_delta=dp_delta, rate=rate, order=order)
            for order in sampled.ORDERS
            if sampled.conversion(order, dp_delta) < dp_epsilon
        ]
        if not candidates:
            least = min(sampled.conversion(order, dp_delta) for order in sampled.ORDERS)
            raise ConfigError(
                f"privacy.dp_epsilon: got {dp_epsilon:g} with dp_delta {dp_delta:g} and secret batches; allowed: more "
                f"than {least:.3g}, which is what turning a Renyi divergence into (epsilon, delta) costs before any "
                "round; raise dp_epsilon or dp_delta, or use known batches (no privacy.batch_rate)"
            )
        return max(candidates, key=lambda each: each.leak_for(each.limit, num_rounds))

    @property
    def limit(self) -> float:
        """Rényi divergence in total."""
        return self.dp_epsilon - sampled.conversion(self.order, self.dp_delta)

    @property
    def words(self) -> str:
        """The method."""
        return f"Renyi divergence of order {self.order} with secret Poisson batches of rate {self.rate:g}"

    def cost(self, rho: Floats) -> Floats:
        """Rényi divergence of a round."""
        return sampled.renyi_leak(rho, rate=self.rate, order=self.order)

    def leak_for(self, total: float, num_rounds: int) -> float:
        """By bisection."""
        return _inverse(lambda rho: float(self.cost(np.array(rho))), total / num_rounds)

    def log_leak_at(self, log_price: Floats) -> Floats:
        """From a table of 1024 leaks."""
        log_prices, log_rhos = self._price_table
        below = log_rhos[0] + (log_price - log_prices[0]) / 2  # the cost is linear at both ends
        above = log_rhos[-1] + (log_price - log_prices[-1]) / 2
        inside = np.interp(log_price, log_prices, log_rhos)
        return np.where(log_price < log_prices[0], below, np.where(log_price > log_prices[-1], above, inside))

    @cached_property
    def _price_table(self) -> tuple[Floats, Floats]:
        log_rhos = np.linspace(math.log(1e-9), math.log(1e3), 1024)
        slopes = sampled.renyi_slope(np.exp(log_rhos), rate=self.rate, order=self.order)
        return 2 * log_rhos + np.log(slopes), log_rhos

    def epsilon(self, total_cost: float) -> float:
        """Of this order alone: an upper bound."""
        return sampled.renyi_to_epsilon(total_cost, order=self.order, dp_delta=self.dp_delta) if total_cost else 0.0


@dataclass(frozen=True, kw_only=True)
class EqualRoundsAccountant:
    """Secret Poisson batches, judged once and for all as T rounds of one leak; the currency is rounds."""

    dp_epsilon: float
    dp_delta: float
    rate: float
    num_rounds: int

    @cached_property
    def rho(self) -> float:
        """The most that one round may leak."""
        rate, num_rounds = self.rate, self.num_rounds
        safe = RenyiAccountant.for_rounds(self.dp_epsilon, self.dp_delta, rate=rate, num_rounds=num_rounds)
        at_least = safe.leak_for(safe.limit, num_rounds)
        return sampled.pld_rho(self.dp_epsilon, self.dp_delta, rate=rate, num_rounds=num_rounds, at_least=at_least)

    @property
    def limit(self) -> float:
        """T."""
        return float(self.num_rounds)

    @property
    def words(self) -> str:
        """The method."""
        return f"privacy-loss distributions with secret Poisson batches of rate {self.rate:g}"

    def cost(self, rho: Floats) -> Floats:
        """One round, if it leaks no more than was judged; more cannot be paid for."""
        leak = np.asarray(rho, dtype=np.float64)
        return np.where(leak > self.rho, np.inf, np.where(leak > 0, 1.0, 0.0))

    def leak_for(self, total: float, num_rounds: int) -> float:
        """What was judged, as long as there are rounds."""
        return self.rho if total >= num_rounds else 0.0

    def log_leak_at(self, log_price: Floats) -> Floats:
        """What was judged, at any price."""
        return np.full_like(log_price, math.log(self.rho) - _LOG_ROUNDING)

    def epsilon(self, total_cost: float) -> float:
        """Of so many rounds, in steps of T/16 rounded up."""
        if total_cost == 0 or math.isinf(total_cost):
            return total_cost
        step = max(1, self.num_rounds // 16)
        return self._epsilon_of(min(math.ceil(total_cost / step) * step, max(self.num_rounds, math.ceil(total_cost))))

    def _epsilon_of(self, num_rounds: int) -> float:
        known = self._known
        if num_rounds not in known:  # both are upper bounds; a tiny δ lies below the tails of distributions
            known[num_rounds] = min(
                sampled.pld_epsilon([self.rho] * num_rounds, rate=self.rate, dp_delta=self.dp_delta),
                sampled.renyi_epsilon(self.rho, num_rounds, rate=self.rate, dp_delta=self.dp_delta),
            )
        return known[num_rounds]

    @cached_property
    def _known(self) -> dict[int, float]:
        return {}


def accountant(
    name: AccountantName, dp_epsilon: float, dp_delta: float, *, rate: float | None, num_rounds: int
) -> Accountant:
    """The accountant of that name; ``rate`` is that of secret Poisson batches, None where batches are not secret."""
    match name:
        case "rdp":
            return RenyiAccountant.for_rounds(dp_epsilon, dp_delta, rate=rate or 1.0, num_rounds=num_rounds)
        case "pld":
            return EqualRoundsAccountant(
                dp_epsilon=dp_epsilon, dp_delta=dp_delta, rate=rate or 1.0, num_rounds=num_rounds
            )
        case _:
            return GaussianAccountant(dp_epsilon=dp_epsilon, dp_delta=dp_delta, budget=name)


def _inverse(cost: Callable[[float], float], wanted: float) -> float:
    """The largest ρ of at most this cost, for an increasing cost that is 0 at 0."""
    low, high = 0.0, 1.0
    while cost(high) < wanted and high < 1e12:
        low, high = high, 2 * high
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if cost(middle) <= wanted else (low, middle)
    return low
