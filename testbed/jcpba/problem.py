"""One round's problem: how much each client prunes and which share of the bandwidth it gets, to end soonest; pure.

Client k with pruning rate ρ_k and share β_k needs (after arXiv 2602.01024, docs/method.md §5.6)

    t_k = c⁰_k + (1 − ρ_k) c_k + (D⁰ + (1 − ρ_k) D) / R_k(β_k),   R_k(β) = β B log2(1 + γ_k / β),

γ_k the signal-to-noise ratio when it has the whole band; the round ends after max_k t_k. With the spectral efficiency
v = ln(1 + γ/β) on the share, 1/R = (e^v − 1)/v · ln 2/(B γ), and β = γ/(e^v − 1): both solvers are written in v.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from radio.arrays import Reals
from testbed.errors import ConfigError

MAX_PRUNING = 0.99


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Problem:
    """What is given in a round; arrays have shape [K]."""

    compute_s: Reals
    """c: arithmetic that pruning spares, unpruned."""
    fixed_compute_s: Reals
    """c⁰: arithmetic that it does not."""
    payload_bits: float
    """D: bits that pruning spares, unpruned."""
    fixed_bits: float
    """D⁰: bits that it does not."""
    bandwidth_hz: float
    """B, shared by all."""
    snr: Reals
    """γ, linear: P |h|² / (N0 B)."""
    max_pruning: float
    """Of one client."""
    pruning_limit: float
    """Of Σ ρ_k²: `pruning_limit`."""

    def __post_init__(self) -> None:
        """Raise ConfigError for what no client could do in finite time, or what is no limit."""
        shapes = {self.compute_s.shape, self.fixed_compute_s.shape, self.snr.shape}
        if len(shapes) != 1 or self.snr.ndim != 1 or not self.snr.size:
            raise ConfigError(f"problem: got arrays of shapes {sorted(shapes)}; allowed: one shape [K], K ≥ 1")
        _check("snr", self.snr, above=0.0)
        _check("compute_s", self.compute_s)
        _check("fixed_compute_s", self.fixed_compute_s)
        _check("payload_bits", np.array(self.payload_bits))
        _check("fixed_bits", np.array(self.fixed_bits))
        _check("payload_bits + fixed_bits", np.array(self.payload_bits + self.fixed_bits), above=0.0)
        _check("bandwidth_hz", np.array(self.bandwidth_hz), above=0.0)
        _check("pruning_limit", np.array(self.pruning_limit))
        if self.payload_bits == 0 and not np.all(self.compute_s > 0):
            raise ConfigError(
                "problem: got a client with nothing that pruning would spare; allowed: payload_bits above 0, or "
                "compute_s above 0 for each"
            )
        if not 0 <= self.max_pruning <= MAX_PRUNING:
            raise ConfigError(f"max_pruning: got {self.max_pruning:g}; allowed: 0 to {MAX_PRUNING}")

    @property
    def num_clients(self) -> int:
        """K"""
        return self.snr.size

    @property
    def airtime_scale_s(self) -> Reals:
        """Seconds that a bit takes in an endless band, [K]: ln 2 / (B γ)."""
        scale: Reals = np.log(2) / (self.bandwidth_hz * self.snr)
        return scale

    def rates_bps(self, shares: Reals) -> Reals:
        """R_k(β_k), shape [K]."""
        rates: Reals = self.bandwidth_hz * shares * np.log1p(self.snr / shares) / np.log(2)
        return rates

    def latencies_s(self, pruning: Reals, shares: Reals) -> Reals:
        """t_k, shape [K]."""
        kept = 1 - pruning
        bits = self.fixed_bits + kept * self.payload_bits
        latencies: Reals = self.fixed_compute_s + kept * self.compute_s + bits / self.rates_bps(shares)
        return latencies


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Allocation:
    """What each client does in a round, shape [K]."""

    pruning: Reals
    """ρ_k, the share of its prunable weights that a client leaves out."""
    shares: Reals
    """β_k, of the bandwidth."""

    def deadline_s(self, problem: Problem) -> float:
        """When the last client has sent: what is minimised."""
        return float(problem.latencies_s(self.pruning, self.shares).max())

    def violation(self, problem: Problem) -> float:
        """By how much the worst kept limit is exceeded; 0 or less if all are kept."""
        return max(
            float(self.shares.sum()) - 1,
            float(-self.shares.min()),
            float(self.pruning.max()) - problem.max_pruning,
            float(-self.pruning.min()),
            float(np.square(self.pruning).sum()) - problem.pruning_limit,
        )


def pruning_limit(num_clients: int, *, gradient_floor: float, smoothness: float, weight_norm: float) -> float:
    """The largest Σ ρ_k² with which pruning adds at most `gradient_floor` to the bound of mean ‖∇F‖².

    For an L-smooth loss, a client's gradient at masked weights is off by at most L ‖w − m∘w‖; where masks take the
    smallest weights, ‖w − m∘w‖ ≤ ρ ‖w‖. The mean over K clients of the square is L² ‖w‖² Σ ρ_k² / K (the structure of
    arXiv 2205.14271's bound). Raises ConfigError for numbers that are not above 0.
    """
    given = {"num_clients": num_clients, "gradient_floor": gradient_floor, "smoothness": smoothness}
    for name, value in (given | {"weight_norm": weight_norm}).items():
        _check(name, np.array(float(value)), above=0.0)
    return num_clients * gradient_floor / (smoothness * weight_norm) ** 2


def _check(name: str, values: Reals, *, above: float | None = None) -> None:
    good = np.isfinite(values) & ((values >= 0) if above is None else (values > above))
    if not good.all():
        allowed = "0 or more" if above is None else f"more than {above:g}"
        raise ConfigError(f"{name}: got {np.extract(~good, values)[0]:g}; allowed: finite, {allowed}")
