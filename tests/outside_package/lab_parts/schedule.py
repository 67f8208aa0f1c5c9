"""A schedule: each round deserves more than the one before it, in proportion to its number."""

from __future__ import annotations

import numpy as np

import testbed
from testbed.schedule.base import Floats, Schedule
from testbed.schedule.filling import fill
from testbed.schedule.problem import Problem


@testbed.register
class Linear(Schedule):
    """Spends the budget at one common price, so that no cap is exceeded and nothing is left over."""

    name = "linear"

    def leaks(self, problem: Problem) -> Floats:
        """Round t is worth t + 1."""
        return fill(problem, np.log(np.arange(1.0, problem.num_rounds + 1)))
