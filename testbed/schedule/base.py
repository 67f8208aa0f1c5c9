"""What every schedule is: how much each round may leak, decided before the run or round by round."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

import msgspec
import numpy as np
from numpy.typing import NDArray

from testbed.config.words import AccountantName, Adjacency, Level
from testbed.errors import ConfigError
from testbed.schedule.problem import Problem

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Scope:
    """The only promise that a schedule's equations are about; its noise is the receiver's, which is trusted."""

    level: Level
    adjacency: Adjacency
    accountant: AccountantName


class Told(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """What `Schedule.next` was told of one transmission; the journal keeps it, for who may remember it."""

    round_index: int
    cap: float
    remaining: float


class Schedule(ABC):
    """Spreads a budget over rounds. An object plays one run: it may remember what `begin` and `next` told it,
    and nothing else, since a resumed run tells it the same again.

    `name` and `leaks` must be given. Whatever a schedule asks for, the ledger refuses what the budget does not cover,
    and the transmitters what is beyond their power.
    """

    name: str
    """Its name in experiments."""
    needs_future: bool = False
    """Whether it is useless without every round's channel in advance, and so exists on simulated rigs only."""
    is_causal: bool = False
    """Whether `next` decides each round from that round's own cap; otherwise `leaks` has decided before the run."""
    keeps_budget: bool = True
    """Whether there is a budget at all; without one every round has all the power there is, and nothing is claimed."""
    has_equal_rounds: bool = False
    """Whether all rounds may leak the same, as accountants of equal rounds (pld) assume."""
    scope: Scope | None = None
    """The one promise that it is sound for; None where it fits any."""

    @abstractmethod
    def leaks(self, problem: Problem) -> Floats:
        """ρ_t [T] of a run whose caps are all known; 0 is a silent round. Caps may be infinite."""

    def begin(self, problem: Problem) -> None:
        """A run starts. Caps are those of its rounds, infinite where nobody knows them or the schedule is causal.

        Raises ConfigError for leaks that are none.
        """
        plan = np.asarray(self.leaks(problem), dtype=np.float64)
        if plan.shape != (problem.num_rounds,) or not np.all(plan >= 0):
            raise ConfigError(
                f"schedule {self.name!r}: got leaks of shape {plan.shape}, the least {np.min(plan, initial=0.0):g}; "
                f"allowed: one of at least 0 for each of {problem.num_rounds} rounds; correct its method leaks"
            )
        self._plan = plan
        costs = problem.accountant.cost(plan)
        self._planned_rest = np.cumsum(costs[::-1])[::-1]

    def next(self, round_index: int, cap: float, remaining: float) -> float:
        """ρ of this round's next transmission, which is ``cap`` at full power, with ``remaining`` of the budget left.

        As planned; where repeats have spent what was meant for later rounds, all that follow share the loss.
        """
        planned, rest = float(self._plan[round_index]), float(self._planned_rest[round_index])
        return planned * min(1.0, remaining / rest) if rest > 0 else planned

    def replay(self, told: Sequence[Told]) -> None:
        """A run goes on that has told `next` this before, oldest first; be as after it, bit for bit."""
        for each in told:
            self.next(each.round_index, each.cap, each.remaining)
