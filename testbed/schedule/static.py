"""One noise for all rounds, capped by power."""

from __future__ import annotations

import numpy as np

from testbed.schedule.base import Floats, Schedule
from testbed.schedule.filling import fill
from testbed.schedule.problem import Problem


class Static(Schedule):
    """Every round is worth the same."""

    name = "static"
    has_equal_rounds = True

    def leaks(self, problem: Problem) -> Floats:
        """One leak, less where a cap is lower."""
        return fill(problem, np.zeros_like(problem.log_weights))
