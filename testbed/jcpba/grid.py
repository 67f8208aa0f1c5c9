"""The optimum by brute force, for a handful of clients: an oracle that shares nothing with the solvers but t_k."""

from __future__ import annotations

import itertools

import numpy as np

from testbed.jcpba.problem import Allocation, Problem


def grid_optimum(problem: Problem, *, num_rates: int = 200, num_shares: int = 400) -> Allocation:
    """The best of all points with ρ_k on a grid of [0, ρ_max] within the limit and β on one of the simplex.

    K − 1 rates are on the grid, the last client takes what they leave. (num_rates · num_shares)^(K − 1) points.
    """
    num_clients, limit = problem.num_clients, problem.pruning_limit
    best: tuple[float, Allocation | None] = (np.inf, None)
    rates = np.linspace(0, problem.max_pruning, num_rates)
    parts = [c for c in itertools.product(range(1, num_shares), repeat=num_clients - 1) if sum(c) < num_shares]
    shares = np.array([(*c, num_shares - sum(c)) for c in parts], dtype=np.float64) / num_shares  # [S, K]
    seconds_a_bit = 1 / problem.rates_bps(shares)
    for first in itertools.product(rates, repeat=num_clients - 1):
        left = limit - sum(rate**2 for rate in first)
        if left < 0:
            continue
        pruning = np.array((*first, min(problem.max_pruning, float(np.sqrt(left)))))
        kept = 1 - pruning
        bits = problem.fixed_bits + kept * problem.payload_bits
        ends_s = (problem.fixed_compute_s + kept * problem.compute_s + bits * seconds_a_bit).max(axis=1)
        place = int(ends_s.argmin())
        if ends_s[place] < best[0]:
            best = (float(ends_s[place]), Allocation(pruning=pruning, shares=shares[place]))
    assert best[1] is not None, "no pruning at all is within every limit"
    return best[1]
