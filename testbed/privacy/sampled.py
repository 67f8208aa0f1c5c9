"""Gaussian noise on a secret Poisson batch: Rényi DP of one round in closed form, and dp-accounting as the judge.

σ is the noise multiplier, noise over sensitivity: ρ = 1/(2σ²) is what the round would leak if its batch were known.
Adjacency is add/remove. The closed form is that of whole orders α (arXiv 1908.10530), which is enough here and, being
a log-sum-exp of lines in ρ, convex in ρ with value 0 at 0.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable

import numpy as np
from dp_accounting import DpEvent, GaussianDpEvent, PoissonSampledDpEvent, PrivacyAccountant, SelfComposedDpEvent
from dp_accounting.pld import PLDAccountant
from dp_accounting.rdp import RdpAccountant
from numpy.typing import NDArray
from scipy.special import gammaln, logsumexp

Floats = NDArray[np.float64]

ORDERS = (*range(2, 65), 80, 96, 128, 192, 256, 512, 1024)
_JUDGED_ORDERS = sorted({*ORDERS, *(tenths / 10 for tenths in (*range(21, 50), *range(50, 110, 5)))})
_MAX_LEVELS = 64
_MOST_DOUBLINGS = 16.0
"""Leaks that are weaker than the strongest by more than this count as so much weaker."""
_MOST_POINTS = 1 << 17
"""Of one round's privacy-loss distribution."""
_TAIL_STDS = 10.0
_LARGEST_EXPONENT = 600.0
_LOG_LARGEST_RHO = math.log(1e4)
"""No promise is kept by a round that leaks more."""
_LOG_RHO_STEP = 1e-3
"""To which precision a leak is looked for."""


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


def renyi_epsilon(rho: float, num_rounds: int, *, rate: float, dp_delta: float) -> float:
    """ε at δ of T rounds of one Gaussian leak, by the best of the orders."""
    leak = np.array(rho)
    return min(
        renyi_to_epsilon(num_rounds * float(renyi_leak(leak, rate=rate, order=order)), order=order, dp_delta=dp_delta)
        for order in ORDERS
    )


def conversion(order: int, dp_delta: float) -> float:
    """What the conversion of order α adds to the divergence; may be negative for large δ."""
    return math.log1p(-1 / order) - math.log(dp_delta * order) / (order - 1)


def rdp_epsilon(rhos: Iterable[float], *, rate: float, dp_delta: float) -> float:
    """ε at δ of rounds with Gaussian leaks ``rhos``, by dp-accounting's Rényi accountant."""
    return _judge(lambda _: RdpAccountant(_JUDGED_ORDERS), rhos, rate, dp_delta)


def pld_epsilon(rhos: Iterable[float], *, rate: float, dp_delta: float) -> float:
    """The same by dp-accounting's privacy-loss distributions: tighter, slower; infinite for a δ below their tails."""
    return _judge(
        lambda levels: PLDAccountant(value_discretization_interval=_loss_interval(levels, rate)), rhos, rate, dp_delta
    )


def pld_rho(dp_epsilon: float, dp_delta: float, *, rate: float, num_rounds: int, at_least: float) -> float:
    """The Gaussian leak that each of T equal rounds may have to end at (ε, δ), by privacy-loss distributions.

    ``at_least`` is what the Rényi accountant allows; also the answer where distributions prove no more.
    """

    def keeps(log_rho: float) -> bool:
        return pld_epsilon([math.exp(log_rho)] * num_rounds, rate=rate, dp_delta=dp_delta) <= dp_epsilon

    low, step = math.log(at_least), math.log(2)
    if not keeps(low):
        return at_least
    while step > _LOG_RHO_STEP:
        if low + step < _LOG_LARGEST_RHO and keeps(low + step):
            low += step
        else:
            step /= 2
    return math.exp(low)


def _loss_interval(levels: Counter[float], rate: float) -> float:
    """Of the grid of privacy losses: a fraction of a round's standard deviation, but few enough points to wait for.

    Whatever it is, the bound holds: losses are rounded up, or connected by lines that lie above (arXiv 2207.04380).
    """
    rhos = np.array(list(levels), dtype=np.float64)
    counts = np.array(list(levels.values()), dtype=np.float64)
    tails = np.minimum(rhos + _TAIL_STDS * np.sqrt(2 * rhos), _LARGEST_EXPONENT)
    small = rate * np.sqrt(np.expm1(np.minimum(2 * rhos, _LARGEST_EXPONENT)))
    spread = np.minimum(small, math.sqrt(rate) * (rhos + np.sqrt(2 * rhos)))
    typical = math.sqrt(float(counts @ spread**2) / float(counts.sum()))
    return max(typical / 32, float(np.log1p(rate * np.expm1(tails)).max()) / _MOST_POINTS)


def _judge(
    accountant_for: Callable[[Counter[float]], PrivacyAccountant], rhos: Iterable[float], rate: float, dp_delta: float
) -> float:
    """Many different rounds are judged with leaks rounded up to 64 levels: of a doubling, or of all that there are."""
    levels = Counter(rho for rho in rhos if rho > 0)
    if any(rho > math.exp(_LOG_LARGEST_RHO) for rho in levels):
        return math.inf
    if len(levels) > _MAX_LEVELS:
        levels = _rounded_up(levels)
    if not levels:
        return 0.0
    accountant = accountant_for(levels)
    for rho, count in sorted(levels.items()):
        accountant.compose(_event(rho, rate, count))
    return float(accountant.get_epsilon(dp_delta))


def _rounded_up(levels: Counter[float]) -> Counter[float]:
    highest = math.log2(max(levels))
    lowest = max(math.log2(min(levels)), highest - _MOST_DOUBLINGS)
    step = max(1.0, highest - lowest) / _MAX_LEVELS
    rounded: Counter[float] = Counter()
    for rho, count in levels.items():
        rounded[2 ** (math.ceil(max(math.log2(rho), lowest) / step) * step)] += count
    return rounded


def _event(rho: float, rate: float, count: int) -> DpEvent:
    noise = GaussianDpEvent(1 / math.sqrt(2 * rho))
    return SelfComposedDpEvent(noise if rate == 1 else PoissonSampledDpEvent(rate, noise), count)
