"""Both blocks at once, exactly: the least bandwidth for a deadline is a convex program, and the deadline a root; pure.

For a deadline T a client that prunes by ρ needs a share β_k(ρ), convex and decreasing, so that

    S(T) = min Σ β_k(ρ_k)   subject to   Σ ρ_k² ≤ ε,  β_k ≤ 1,  0 ≤ ρ_k ≤ ρ_max

separates under one multiplier λ: −β_k'(ρ_k) = 2 λ ρ_k. S decreases in T, and the optimum is S(T) = 1. All three
equations, for each client's v, for λ and for T, are solved by Newton's method between brackets.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from radio.arrays import Reals
from testbed.jcpba.blocks import best_shares, efficiency
from testbed.jcpba.problem import Allocation, Problem

_NUM_DEADLINES = 80
_NUM_MULTIPLIERS = 80
_NUM_STEPS = 80
_TOLERANCE = 1e-8
_V_TOLERANCE = 1e-7  # of a Newton step: what is left is its square
_TINY = 1e-30
_MARGIN = 1e-12
_LARGEST_STEP = 4.0


def best_allocation(problem: Problem) -> Allocation:
    """Pruning rates and shares with the earliest deadline there is, to 1e-8 of it."""
    num_clients = problem.num_clients
    largest = np.full(num_clients, problem.max_pruning)
    if num_clients * problem.max_pruning**2 <= problem.pruning_limit * (1 - _MARGIN):
        return best_shares(problem, largest)
    if problem.pruning_limit == 0:
        return best_shares(problem, np.zeros(num_clients))
    pruning = _joint_pruning(problem)
    scale = math.sqrt(problem.pruning_limit * (1 - _MARGIN) / float(np.square(pruning).sum()))
    pruning = np.minimum(pruning * scale, problem.max_pruning)  # what is left of the limit, or too much, by rounding
    return best_shares(problem, pruning)


def _joint_pruning(problem: Problem) -> Reals:
    """ρ at the earliest deadline: Newton's method on ln S(T) = 0, within what is known of T."""
    num_clients = problem.num_clients
    pruning = np.full(num_clients, math.sqrt(problem.pruning_limit / num_clients) * (1 - _MARGIN))
    early, late = 0.0, problem.latencies_s(pruning, np.full(num_clients, 1 / num_clients)).max()
    deadline_s, log_multiplier = float(late), 0.0
    for _ in range(_NUM_DEADLINES):
        found = _least_bandwidth(problem, deadline_s, log_multiplier)
        if found is None:
            early, following = deadline_s, 0.0
        else:
            log_multiplier = found.log_multiplier
            total = float(found.shares.sum())
            if total <= 1:
                late, pruning = deadline_s, found.pruning
            else:
                early = deadline_s
            following = deadline_s - math.log(total) * total / found.slope_per_s
        if late - early <= _TOLERANCE * late or (found is not None and abs(following / deadline_s - 1) <= _TOLERANCE):
            break
        deadline_s = following if early < following < late else (early + late) / 2
    return pruning if found is None else found.pruning


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Least:
    """The least bandwidth for a deadline; arrays [K]."""

    pruning: Reals
    shares: Reals
    log_multiplier: float
    slope_per_s: float
    """dS/dT, which is Σ ∂β_k/∂T at fixed ρ."""


def _least_bandwidth(problem: Problem, deadline_s: float, log_multiplier: float) -> _Least | None:
    """S(T); None where no shares of at most 1 each will do. Newton's method on ln Σ ρ_k² = ln ε in ln λ."""
    curves = _Curves(problem, deadline_s)
    if not curves.in_reach or np.square(curves.pruning(curves.v_low)).sum() > problem.pruning_limit:
        return None
    low, high = -math.inf, math.inf
    v = (curves.v_low + curves.v_high) / 2
    for _ in range(_NUM_MULTIPLIERS):
        v, slopes = curves.solve(log_multiplier, v)
        pruning = curves.pruning(v)
        squares = float(np.square(pruning).sum())
        error = math.log(max(squares, _TINY) / problem.pruning_limit)
        if abs(error) <= _TOLERANCE:
            break
        low, high = (log_multiplier, high) if error > 0 else (low, log_multiplier)
        change = float((2 * pruning * curves.pruning_slope(v) * slopes).sum()) / max(squares, _TINY)
        step = error / change if change > 0 else math.copysign(_LARGEST_STEP, error)
        following = log_multiplier + max(-_LARGEST_STEP, min(_LARGEST_STEP, step))
        if not low < following < high:
            following = (low + high) / 2 if math.isfinite(low + high) else log_multiplier + math.copysign(1, error)
        if following == log_multiplier:
            break
        log_multiplier = following
    return _Least(
        pruning=pruning,
        shares=curves.shares(v),
        log_multiplier=log_multiplier,
        slope_per_s=curves.bandwidth_slope_per_s(v, pruning),
    )


class _Curves:
    """Of every client, what ends at the deadline, along its spectral efficiency v in [v_low, v_high]; arrays [K].

    With w = (e^v − 1)/v: 1 − ρ = (T − c⁰ − d⁰ w)/(c + d w) and β = γ/(e^v − 1), where d and d⁰ are the times of D and
    D⁰ in an endless band.
    """

    def __init__(self, problem: Problem, deadline_s: float) -> None:
        self._snr, self._sparable_s = problem.snr, problem.compute_s
        self._airtime_s = problem.payload_bits * problem.airtime_scale_s
        self._fixed_airtime_s = problem.fixed_bits * problem.airtime_scale_s
        self._left_s = deadline_s - problem.fixed_compute_s
        self._rise = self._fixed_airtime_s * self._sparable_s + self._airtime_s * self._left_s
        """dρ/dw is this over (c + d w)²."""
        whole_band = np.log1p(problem.snr)
        self.v_high = self._v_at(1 - problem.max_pruning)
        self.in_reach = bool(np.all(self.v_high > whole_band))
        """Whether every client that prunes all it may would be done in the whole band."""
        self.v_low = np.minimum(np.maximum(self._v_at(1.0), whole_band), self.v_high)
        if self.in_reach:
            self._least, self._most = self._balance(self.v_low)[0], self._balance(self.v_high)[0]

    def _v_at(self, kept: float) -> Reals:
        airtime_s = self._fixed_airtime_s + kept * self._airtime_s
        return efficiency((self._left_s - kept * self._sparable_s) / airtime_s)

    def pruning(self, v: Reals) -> Reals:
        """ρ"""
        w = np.expm1(v) / v
        kept = (self._left_s - self._fixed_airtime_s * w) / (self._sparable_s + self._airtime_s * w)
        return np.maximum(1 - kept, 0.0)

    def shares(self, v: Reals) -> Reals:
        """β"""
        shares: Reals = self._snr / np.expm1(v)
        return shares

    def pruning_slope(self, v: Reals) -> Reals:
        """dρ/dv"""
        slope: Reals = _w_slope(v) * self._rise / (self._sparable_s + self._airtime_s * np.expm1(v) / v) ** 2
        return slope

    def bandwidth_slope_per_s(self, v: Reals, pruning: Reals) -> float:
        """Σ ∂β/∂T at fixed ρ: dw/dT is 1/(d⁰ + (1 − ρ) d)."""
        per_w = -self._snr * np.exp(v) / np.expm1(v) ** 2 / _w_slope(v)
        return float((per_w / (self._fixed_airtime_s + (1 - pruning) * self._airtime_s)).sum())

    def solve(self, log_multiplier: float, start: Reals) -> tuple[Reals, Reals]:
        """v with −β'(ρ) = 2 λ ρ, or the end beyond which that lies, and −dv/dln λ (0 at an end)."""
        all_pruned, none_pruned = self._most <= -log_multiplier, self._least >= -log_multiplier
        is_inside = ~(all_pruned | none_pruned)
        low, high = self.v_low, self.v_high
        v = np.where(is_inside, np.clip(start, low, high), np.where(all_pruned, high, low))
        for _ in range(_NUM_STEPS):
            value, slope = self._balance(v)
            value = value + log_multiplier
            low, high = np.where(value < 0, v, low), np.where(value < 0, high, v)
            newton = v - value / slope
            following = np.where((newton >= low) & (newton <= high), newton, (low + high) / 2)
            step = np.abs(following - v)[is_inside]
            v = np.where(is_inside, following, v)
            if not step.size or np.all(step <= _V_TOLERANCE * v[is_inside]):
                break
        return v, np.where(is_inside, 1 / slope, 0.0)

    def _balance(self, v: Reals) -> tuple[Reals, Reals]:
        """ln(2 ρ dρ/dv) − ln(−dβ/dv), which increases in v, and its slope."""
        e = np.exp(v)
        w, w1 = (e - 1) / v, _w_slope(v)
        total = self._sparable_s + self._airtime_s * w
        rate = np.maximum(1 - (self._left_s - self._fixed_airtime_s * w) / total, _TINY)
        slope = w1 * self._rise / total**2
        value = np.log(2 * rate * slope * (e - 1) ** 2 / (self._snr * e))
        curvature = (e / w1 - 2) / v - 2 * self._airtime_s * w1 / total
        return value, slope / rate + curvature + (e + 1) / (e - 1)


def _w_slope(v: Reals) -> Reals:
    """w' = (v e^v − e^v + 1)/v², by its series where that would cancel."""
    small = v < 1e-2
    safe = np.where(small, 1.0, v)
    return np.where(small, 0.5 + v / 3 + v**2 / 8 + v**3 / 30, (safe * np.exp(safe) - np.expm1(safe)) / safe**2)
