"""arXiv 2604.12401, Theorems 3 (analog) and 4 (sign; corrected), clamped: the gain grows with t."""

from __future__ import annotations

from testbed.schedule.base import Floats, Schedule, Scope
from testbed.schedule.filling import fill
from testbed.schedule.problem import Problem


class Paper(Schedule):
    """The published equations, which protect clients by receiver noise: Δ = 2γ, ρ = R_dp, no silent rounds."""

    name = "paper"
    needs_future = True
    scope = Scope(level="client", adjacency="replace", accountant="paper")

    def leaks(self, problem: Problem) -> Floats:
        """Each round's weight at one common price, with the published worth of votes."""
        inverse = None if problem.votes is None else problem.votes.published_log_leak
        return fill(problem, problem.log_weights, inverse=inverse)
