"""All the power there is in every round: no budget, no claim."""

from __future__ import annotations

from testbed.schedule.base import Floats, Schedule
from testbed.schedule.problem import Problem


class Full(Schedule):
    """Every round leaks what it leaks at full power."""

    name = "full"
    keeps_budget = False

    def leaks(self, problem: Problem) -> Floats:
        """The caps."""
        return problem.caps
