"""The optimum of the sound problem, for who knows every channel in advance."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from testbed.schedule.base import Floats, Schedule
from testbed.schedule.filling import fill
from testbed.schedule.problem import Problem


class Solution(Schedule):
    """Minimises the objective over all leaks within the budget."""

    name = "solution"
    needs_future = True

    def leaks(self, problem: Problem) -> Floats:
        """Each round's weight at one common price.

        Which rounds to silence is not a convex question: the better of the price's answer and of none beyond need.
        """
        plain = fill(problem, problem.log_weights, inverse=problem.inverse)
        if problem.least_leak == 0 or problem.inverse is not None:
            return plain
        kept = fill(problem, problem.log_weights, frugal=True) > 0
        frugal = fill(replace(problem, caps=np.where(kept, problem.caps, 0.0)), problem.log_weights)
        return min(plain, frugal, key=problem.log_objective)
