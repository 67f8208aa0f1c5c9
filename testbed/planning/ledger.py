"""The privacy ledger: charged on disk before a transmission is announced, never refunded.

The journal holds the Gaussian leak ρ of everything sent; the accountant turns it into what it costs. Attempts of one
round repeat one batch and one noise, so a round costs what the sum of its attempts does.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable

import numpy as np

from testbed.planning.terms import Terms
from testbed.results.journal import AnyRecord, Journal, Spent

_NOTHING_LEFT = 1e-9
"""Share of the budget below which a run is over."""


class BudgetSpentError(Exception):
    """The next transmission would exceed the budget: the run ends here."""


class Ledger:
    """What a run has leaked, and what it may still leak."""

    def __init__(
        self,
        journal: Journal | None,
        terms: Terms,
        past: Iterable[AnyRecord],
        *,
        on_charged: Callable[[], None] = lambda: None,
    ) -> None:
        """``on_charged`` is called when a charge is on disk, and may still forbid the transmission by raising.

        Without a journal nothing can be charged.
        """
        self._journal = journal
        self._terms = terms
        self._on_charged = on_charged
        self._accountant = terms.accountant
        self._limit = terms.accountant.limit if terms.enforced else math.inf
        self._settled = 0.0
        self._round = -1
        self._round_rho = 0.0
        self.rho = 0.0
        """Sum of all Gaussian leaks."""
        self.unbounded = False
        """Whether something was sent whose leak cannot be stated."""
        self.void = terms.void
        """Why nothing may be claimed: for what was sent before, whatever the configuration says now."""
        for record in past:
            if isinstance(record, Spent):
                self.void = self.void or record.void
                self._count(record.round, record.rho)

    @property
    def cost(self) -> float:
        """What everything sent so far costs, in the accountant's currency."""
        return math.inf if self.unbounded else self._settled + self._cost(self._round_rho)

    @property
    def remaining(self) -> float:
        """What may still be spent, in the accountant's currency."""
        return max(0.0, self._limit - self.cost)

    @property
    def is_spent(self) -> bool:
        """Whether nothing worth a round is left."""
        return self.remaining <= _NOTHING_LEFT * self._limit

    @property
    def epsilon(self) -> float | None:
        """ε of everything sent so far; None where the leak cannot be stated."""
        return None if self.unbounded else self._accountant.epsilon(self.cost)

    @property
    def statement(self) -> str:
        """What may be claimed of everything sent so far, in words."""
        return self._terms.statement(self.epsilon, void=self.void)

    def affordable(self, round_index: int, rho: float) -> float:
        """The largest leak up to ``rho`` that another transmission of this round may have."""
        if self._cost_with(round_index, rho) <= self._limit:
            return rho
        low, high = 0.0, rho
        for _ in range(60):
            middle = (low + high) / 2
            low, high = (middle, high) if self._cost_with(round_index, middle) <= self._limit else (low, middle)
        return low

    def charge(self, round_index: int, attempt: int, rho: float | None) -> None:
        """Put a transmission's leak on disk. Raises BudgetSpentError, and charges nothing, if it is not affordable."""
        if self._limit < math.inf and (rho is None or not self._cost_with(round_index, rho) <= self._limit):
            raise BudgetSpentError(
                f"privacy budget: round {round_index + 1} needs rho {rho if rho is None else f'{rho:.3g}'}, which "
                f"would exceed it: {self.remaining:.3g} of {self._limit:.4g} is left ({self._accountant.words})"
            )
        if self._journal is None:
            raise ValueError("this ledger was opened to be read; allowed: charging one that has a journal")
        self._journal.append(Spent(round=round_index, attempt=attempt, rho=rho, void=self._terms.void))
        self._count(round_index, rho)
        self._on_charged()

    def _count(self, round_index: int, rho: float | None) -> None:
        if rho is None:
            self.unbounded = True
            return
        if round_index != self._round:
            self._settled += self._cost(self._round_rho)
            self._round, self._round_rho = round_index, 0.0
        self._round_rho += rho
        self.rho += rho

    def _cost_with(self, round_index: int, rho: float) -> float:
        if round_index == self._round:
            return self._settled + self._cost(self._round_rho + rho)
        return self._settled + self._cost(self._round_rho) + self._cost(rho)

    def _cost(self, rho: float) -> float:
        return float(self._accountant.cost(np.array(rho)))
