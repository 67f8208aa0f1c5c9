"""Every way to choose pruning rates and shares, by name: the joint optimum, plain BCD, and what is left of it; pure."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from radio.arrays import Reals
from testbed.config.words import Allocating
from testbed.jcpba.blocks import best_pruning, best_shares, block_coordinate_descent
from testbed.jcpba.joint import best_allocation
from testbed.jcpba.problem import Allocation, Problem

WORDS: dict[Allocating, str] = {
    "joint": "JCPBA, joint solver",
    "bcd": "JCPBA, plain block coordinate descent",
    "bandwidth": "bandwidth only, no pruning",
    "pruning": "pruning only, equal bandwidth",
    "uniform": "uniform pruning, best bandwidth",
    "equal": "equal bandwidth, no pruning",
}
EQUAL_SHARES: tuple[Allocating, ...] = ("pruning", "equal")


def allocation(method: Allocating, problem: Problem) -> Allocation:
    """What this method does in this round."""
    return _METHODS[method](problem)


def as_realised(
    method: Allocating, problem: Problem, wanted: Allocation, realised: Callable[[float], float]
) -> Allocation:
    """The same with what masks can really leave out, `realised(ρ)` ≤ ρ; shares are made anew where they are free.

    Every limit that held still holds; the round ends a little later.
    """
    pruning = np.array([realised(float(rate)) for rate in wanted.pruning])
    if method in EQUAL_SHARES:
        return Allocation(pruning=pruning, shares=wanted.shares)
    return best_shares(problem, pruning)


def _none(problem: Problem) -> Reals:
    return np.zeros(problem.num_clients)


def _equal(problem: Problem) -> Reals:
    return np.full(problem.num_clients, 1 / problem.num_clients)


def _uniform(problem: Problem) -> Allocation:
    rate = min(problem.max_pruning, math.sqrt(problem.pruning_limit / problem.num_clients) * (1 - 1e-12))
    return best_shares(problem, np.full(problem.num_clients, rate))


_METHODS: dict[Allocating, Callable[[Problem], Allocation]] = {
    "joint": best_allocation,
    "bcd": lambda problem: block_coordinate_descent(problem).allocation,
    "bandwidth": lambda problem: best_shares(problem, _none(problem)),
    "pruning": lambda problem: best_pruning(problem, _equal(problem)),
    "uniform": _uniform,
    "equal": lambda problem: Allocation(pruning=_none(problem), shares=_equal(problem)),
}
