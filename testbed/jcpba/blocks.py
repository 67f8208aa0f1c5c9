"""The two blocks, each solved exactly while the other is held, and plain block coordinate descent over them; pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from radio.arrays import Reals
from testbed.jcpba.problem import Allocation, Problem

NUM_HALVINGS = 60
_STEPS = 60
Block = Literal["bandwidth", "pruning"]
_MARGIN = 1e-12
"""By which limits are undercut, so that rounding never exceeds one."""


def efficiency(inflation: Reals) -> Reals:
    """v > 0 with (e^v − 1)/v = `inflation` ≥ 1, elementwise: how much longer a bit takes than in an endless band.

    Newton on ln((e^v − 1)/v), which is convex and increasing: from the right it falls onto the root.
    """
    target = np.log(np.maximum(inflation, 1.0))
    v = np.maximum(2 * target, 1e-12)  # ln((e^v − 1)/v) ≥ v/2
    for _ in range(_STEPS):
        value = v + np.log(-np.expm1(-v) / v) - target
        slope = 1 / -np.expm1(-v) - 1 / v
        step = np.minimum(value / np.maximum(slope, 1e-3), v * (1 - 1e-9))
        v = v - step
        if np.all(np.abs(step) <= 1e-15 + 1e-14 * v):
            break
    return v


def shares_for(problem: Problem, pruning: Reals, deadline_s: float) -> Reals:
    """The least β_k with which each client is done by then, [K]; inf where no bandwidth would do."""
    kept = 1 - pruning
    bits = problem.fixed_bits + kept * problem.payload_bits
    left_s = deadline_s - problem.fixed_compute_s - kept * problem.compute_s
    shortest_s = bits * problem.airtime_scale_s
    possible = left_s > shortest_s * (1 + 1e-12)
    inflation = np.where(possible, left_s, 2 * shortest_s) / shortest_s
    return np.where(possible, problem.snr / np.expm1(efficiency(inflation)), np.inf)


def best_shares(problem: Problem, pruning: Reals) -> Allocation:
    """The earliest deadline with these pruning rates: all clients end together; bisection on when."""
    equal = np.full(problem.num_clients, 1 / problem.num_clients)
    high = float(problem.latencies_s(pruning, equal).max())  # in reach: equal shares reach it
    low = 0.0
    shares = equal
    for _ in range(NUM_HALVINGS):
        middle = (low + high) / 2
        wanted = shares_for(problem, pruning, middle)
        if wanted.sum() <= 1 - _MARGIN:
            high, shares = middle, wanted
        else:
            low = middle
    return Allocation(pruning=pruning, shares=shares)


def pruning_for(problem: Problem, shares: Reals, deadline_s: float) -> Reals:
    """The least ρ_k with which each client is done by then, [K]; above `max_pruning` where it cannot be."""
    per_bit = 1 / problem.rates_bps(shares)
    sparable = problem.compute_s + problem.payload_bits * per_bit
    left_s = deadline_s - problem.fixed_compute_s - problem.fixed_bits * per_bit
    with np.errstate(divide="ignore", invalid="ignore"):
        rates = np.where(sparable > 0, 1 - left_s / sparable, np.where(left_s >= 0, 0.0, np.inf))
    return np.maximum(rates, 0.0)


def best_pruning(problem: Problem, shares: Reals) -> Allocation:
    """The earliest deadline with these shares, and the least pruning that meets it; bisection on when."""
    pruning = np.zeros(problem.num_clients)
    high = float(problem.latencies_s(pruning, shares).max())
    low = 0.0
    for _ in range(NUM_HALVINGS):
        middle = (low + high) / 2
        wanted = pruning_for(problem, shares, middle)
        if wanted.max() <= problem.max_pruning and np.square(wanted).sum() <= problem.pruning_limit * (1 - _MARGIN):
            high, pruning = middle, wanted
        else:
            low = middle
    return Allocation(pruning=pruning, shares=shares)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Descent:
    """What block coordinate descent came to."""

    allocation: Allocation
    deadlines_s: tuple[float, ...]
    """Before the first block, and after each."""


def block_coordinate_descent(
    problem: Problem, *, begin: Block = "bandwidth", num_sweeps: int = 20, tolerance: float = 1e-9
) -> Descent:
    """One block after the other, from equal shares and no pruning, until a sweep gains less than `tolerance`.

    Whichever block comes last has made its clients end together; then the other has nothing to gain, and the descent
    stands after about one sweep, in general not at the optimum (docs/jcpba.md).
    """
    num_clients = problem.num_clients
    now = Allocation(pruning=np.zeros(num_clients), shares=np.full(num_clients, 1 / num_clients))
    deadlines = [now.deadline_s(problem)]
    order: tuple[Block, Block] = ("bandwidth", "pruning") if begin == "bandwidth" else ("pruning", "bandwidth")
    for _ in range(num_sweeps):
        before = deadlines[-1]
        for block in order:
            tried = best_shares(problem, now.pruning) if block == "bandwidth" else best_pruning(problem, now.shares)
            if tried.deadline_s(problem) <= deadlines[-1]:
                now = tried
            deadlines.append(now.deadline_s(problem))
        if deadlines[-1] > before * (1 - tolerance):
            break
    return Descent(allocation=now, deadlines_s=tuple(deadlines))
