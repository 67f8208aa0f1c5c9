"""Gaussian noise on a secret Poisson batch: Rényi DP of one round in closed form, and dp-accounting as the judge.

σ is the noise multiplier, noise over sensitivity: ρ = 1/(2σ²) is what the round would leak if its batch were known.
Adjacency is add/remove. The closed form is that of whole orders α (arXiv 1908.10530), which is enough here and, being
a log-sum-exp of lines in ρ, convex in ρ with value 0 at 0.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable

import numpy as np
from dp_accounting import DpEvent, GaussianDpEvent, PoissonSampledDpEvent, PrivacyAccountant, SelfComposedDpEvent
from dp_accounting.mechanism_calibration import ExplicitBracketInterval, calibrate_dp_mechanism
from dp_accounting.pld import PLDAccountant
from dp_accounting.rdp import RdpAccountant
from numpy.typing import NDArray
from scipy.special import gammaln, logsumexp

Floats = NDArray[np.float64]

ORDERS = (*range(2, 65), 80, 96, 128, 192, 256, 512, 1024)
_JUDGED_ORDERS = sorted({*ORDERS, *(tenths / 10 for tenths in range(21, 110))})
_MAX_LEVELS = 64
_MOST_GAINED = 1.6
"""By what factor distributions need less noise than divergences at the very most."""


def renyi_leak(rho: Floats, *, rate: float, order: int) -> Floats:
    """Rényi divergence of whole order α of one round, for Gaussian leaks ``rho`` >= 0 of any shape."""
    leak: Floats = np.logaddexp(0.0, logsumexp(_log_terms(rho, rate, order), axis=-1)) / (order - 1)
    return leak


def renyi_slope(rho: Floats, *, rate: float, order: int) -> Floats:
    """d renyi_leak / dρ: the mean of k(k − 1)/(α − 1) under the tilted weights."""
    log_weights, pairs = _binomial(rate, order)
    tilted = log_weights + pairs * np.asarray(rho, dtype=np.float64)[..., None]
    log_moment = np.logaddexp(0.0, logsumexp(_log_terms(rho, rate, order), axis=-1))
    slope: Floats = np.exp(logsumexp(tilted, b=pairs, axis=-1) - log_moment) / (order - 1)
    return slope


def _binomial(rate: float, order: int) -> tuple[Floats, Floats]:
    """For k = 2 … α draws of the example: log of the binomial weight, and k(k − 1)."""
    k = np.arange(2, order + 1, dtype=np.float64)
    missed = (order - k) * math.log1p(-rate) if rate < 1 else np.where(k < order, -np.inf, 0.0)
    log_weights = gammaln(order + 1) - gammaln(k + 1) - gammaln(order - k + 1) + k * math.log(rate) + missed
    return log_weights, k * (k - 1)


def _log_terms(rho: Floats, rate: float, order: int) -> Floats:
    """log(weight·(e^{k(k−1)ρ} − 1)) for k = 2 … α, shape [..., α − 1]: exact for the tiniest and the largest ρ."""
    log_weights, pairs = _binomial(rate, order)
    exponents = pairs * np.asarray(rho, dtype=np.float64)[..., None]
    with np.errstate(divide="ignore"):
        terms: Floats = log_weights + exponents + np.log(-np.expm1(-exponents))
    return terms


def renyi_to_epsilon(leak: float, *, order: int, dp_delta: float) -> float:
    """ε at δ of a total Rényi divergence of one order (arXiv 2004.00010, proposition 12)."""
    return max(0.0, leak + conversion(order, dp_delta))


def conversion(order: int, dp_delta: float) -> float:
    """What the conversion of order α adds to the divergence; may be negative for large δ."""
    return math.log1p(-1 / order) - math.log(dp_delta * order) / (order - 1)


def rdp_epsilon(rhos: Iterable[float], *, rate: float, dp_delta: float) -> float:
    """ε at δ of rounds with Gaussian leaks ``rhos``, by dp-accounting's Rényi accountant."""
    return _judge(RdpAccountant(_JUDGED_ORDERS), rhos, rate, dp_delta)


def pld_epsilon(rhos: Iterable[float], *, rate: float, dp_delta: float) -> float:
    """The same by dp-accounting's privacy-loss distributions: tighter, slower."""
    return _judge(PLDAccountant(), rhos, rate, dp_delta)


def pld_rho(dp_epsilon: float, dp_delta: float, *, rate: float, num_rounds: int, at_least: float) -> float:
    """The Gaussian leak that each of T equal rounds may have to end at (ε, δ), by privacy-loss distributions.

    ``at_least`` is what the Rényi accountant allows, which is less.
    """
    safe = 1 / math.sqrt(2 * at_least)
    multiplier = calibrate_dp_mechanism(
        PLDAccountant,
        lambda multiplier: _event(1 / (2 * multiplier**2), rate, num_rounds),
        target_epsilon=dp_epsilon,
        target_delta=dp_delta,
        bracket_interval=ExplicitBracketInterval(safe / _MOST_GAINED, safe),
        tol=1e-3,
    )
    return float(1 / (2 * multiplier**2))


def _judge(accountant: PrivacyAccountant, rhos: Iterable[float], rate: float, dp_delta: float) -> float:
    """Runs of many different rounds are judged with leaks rounded up to 64 levels a doubling."""
    levels = Counter(rho for rho in rhos if rho > 0)
    if any(math.isinf(rho) for rho in levels):
        return math.inf
    if len(levels) > _MAX_LEVELS:
        levels = _rounded_up(levels)
    for rho, count in sorted(levels.items()):
        accountant.compose(_event(rho, rate, count))
    return float(accountant.get_epsilon(dp_delta)) if levels else 0.0


def _rounded_up(levels: Counter[float]) -> Counter[float]:
    rounded: Counter[float] = Counter()
    for rho, count in levels.items():
        rounded[2 ** (math.ceil(math.log2(rho) * _MAX_LEVELS) / _MAX_LEVELS)] += count
    return rounded


def _event(rho: float, rate: float, count: int) -> DpEvent:
    noise = GaussianDpEvent(1 / math.sqrt(2 * rho))
    return SelfComposedDpEvent(noise if rate == 1 else PoissonSampledDpEvent(rate, noise), count)
