"""The solution with its weights upside down: a control, which should be worse than static."""

from __future__ import annotations

from testbed.schedule.base import Floats, Schedule
from testbed.schedule.filling import fill
from testbed.schedule.problem import Problem


class Reversed(Schedule):
    """Gives early rounds what late ones deserve."""

    name = "reversed"
    needs_future = True

    def leaks(self, problem: Problem) -> Floats:
        """Each round's inverse weight at one common price."""
        return fill(problem, -problem.log_weights, inverse=problem.inverse)
