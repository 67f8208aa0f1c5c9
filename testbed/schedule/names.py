"""Every schedule by name, given all channels in advance; `causal.Online` is the one that is not.

paper      arXiv 2604.12401, Theorems 3 (analog) and 4 (sign; corrected), clamped: the gain grows with t
solution   the optimum of the sound problem
static     one noise for all rounds, capped by power
reversed   the solution with its weights upside down: a control, which should be worse than static
full       all the power there is; no budget, no claim
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from testbed.config.words import ScheduleName
from testbed.schedule.filling import Inverse, fill
from testbed.schedule.problem import Problem
from testbed.schedule.votes import Votes

Floats = NDArray[np.float64]

OFFLINE_NAMES: tuple[ScheduleName, ...] = ("paper", "solution", "static", "reversed", "full")


def leaks(name: ScheduleName, problem: Problem, votes: Votes | None = None) -> Floats:
    """Leaks ρ_t [T] of a schedule that knows every round's cap; ``votes`` for the sign scheme.

    The paper's problem is its caller's business: Δ = 2γ (client level), ρ = R_dp, no silent rounds.
    """
    match name:
        case "full":
            return problem.caps
        case "static":
            return fill(problem, np.zeros_like(problem.log_weights))
        case "reversed":
            return fill(problem, -problem.log_weights, inverse=inverse_of(name, votes))
        case "paper":
            return fill(problem, problem.log_weights, inverse=inverse_of(name, votes))
        case "solution" if votes is None:
            return _solution(problem)
        case "solution":
            return fill(problem, problem.log_weights, inverse=inverse_of(name, votes))
        case _:
            raise ValueError(f"{name} decides round by round; use testbed.schedule.Online")


def _solution(problem: Problem) -> Floats:
    """Which rounds to silence is not a convex question: the better of the price's answer and of none beyond need."""
    plain = fill(problem, problem.log_weights)
    if problem.least_leak == 0:
        return plain
    kept = fill(problem, problem.log_weights, frugal=True) > 0
    frugal = fill(replace(problem, caps=np.where(kept, problem.caps, 0.0)), problem.log_weights)
    return min(plain, frugal, key=problem.log_objective)


def inverse_of(name: ScheduleName, votes: Votes | None) -> Inverse | None:
    """What a round's desire is worth under the objective of analog sums (None) or of votes."""
    if votes is None:
        return None
    return votes.published_log_leak if name == "paper" else votes.log_leak
