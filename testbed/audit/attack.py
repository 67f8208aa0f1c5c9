"""A canary attack on recorded observations, and the lower bound on ε that its success proves. Pure functions.

The attacker knows every scalar but the canary's. What is left of an observation is noise, to which the canary adds
±Δ in every round that draws it. Signs are the canary's own secret pattern, so one run is played against thousands of
canaries; given the run's noise they are independent trials. That the noise is one draw only is paid for by assuming it
as much stronger as its degrees of freedom allow.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import chdtri

from testbed.audit.bounds import any_bound, gaussian_bound, upper_rate

Floats = NDArray[np.float64]

_MAX_TRIALS = 20_000
_MAX_WORK = 40_000_000
_THRESHOLDS = 64


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Observations:
    """What the attacker has of R rounds of Q values each."""

    residuals: Floats
    """[R, Q], Re(y)/c minus everything that is known, in the scalar's unit"""
    claimed_noise: Floats
    """[R], u_t: the noise variance that the ledger counted"""
    sensitivity: float
    """Δ of a round's vector"""
    rate: float = 1.0
    """q, with which a round draws the canary; 1 where batches are known"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """What the attack proved, at its confidence."""

    num_rounds: int
    num_trials: int
    confidence: float
    false_positive_rate: float
    false_negative_rate: float
    epsilon_any: float
    """lower bound on ε for any mechanism (Clopper–Pearson)"""
    epsilon_gaussian: float | None
    """lower bound for Gaussian noise, which is tighter; None with secret batches, whose leak is not Gaussian"""
    noise_ratio_low: float
    noise_ratio_high: float
    """interval of measured over claimed noise variance"""

    @property
    def epsilon(self) -> float:
        """The best lower bound."""
        return max(self.epsilon_any, self.epsilon_gaussian or 0.0)

    def refutes(self, claimed_epsilon: float) -> str | None:
        """Why the claim is false, or None where nothing speaks against it."""
        if self.epsilon > claimed_epsilon:
            return f"epsilon is at least {self.epsilon:.3g}, but {claimed_epsilon:.3g} is claimed"
        if self.noise_ratio_high < 1:
            return f"the noise is at most {self.noise_ratio_high:.3g} times as strong as the ledger counted"
        return None


def attack(seen: Observations, *, dp_delta: float, confidence: float, generator: np.random.Generator) -> Finding:
    """Play canaries against the observations: half of them to choose a threshold, half to be judged by it."""
    failure = (1 - confidence) / 4
    low, high = noise_ratio(seen, failure)
    outside, inside = _play(_strengthened(seen, failure), generator)
    half = len(outside) // 2
    threshold = _best_threshold(outside[:half], inside[:half], dp_delta)
    num = len(outside) - half
    false_positives = int(np.sum(outside[half:] > threshold))
    false_negatives = int(np.sum(inside[half:] <= threshold))
    upper = upper_rate(false_positives, num, failure), upper_rate(false_negatives, num, failure)
    return Finding(
        num_rounds=len(seen.residuals),
        num_trials=num,
        confidence=confidence,
        false_positive_rate=false_positives / num,
        false_negative_rate=false_negatives / num,
        epsilon_any=any_bound(*upper, dp_delta),
        epsilon_gaussian=gaussian_bound(*upper, dp_delta) if seen.rate == 1 else None,
        noise_ratio_low=low,
        noise_ratio_high=high,
    )


def noise_ratio(seen: Observations, failure: float) -> tuple[float, float]:
    """Interval of the measured over the claimed noise variance: chi-squared with one degree a value."""
    total = float(np.sum(seen.residuals**2 / seen.claimed_noise[:, None]))
    freedom = seen.residuals.size
    return total / float(chdtri(freedom, failure)), total / float(chdtri(freedom, 1 - failure))


def _strengthened(seen: Observations, failure: float) -> Observations:
    """The residuals as large as they might have been: their weighted power has only so many degrees of freedom."""
    weights = 1 / seen.claimed_noise
    freedom = seen.residuals.shape[1] * float(np.sum(weights)) ** 2 / float(np.sum(weights**2))
    factor = math.sqrt(freedom / float(chdtri(freedom, 1 - failure)))
    return Observations(
        residuals=seen.residuals * factor,
        claimed_noise=seen.claimed_noise,
        sensitivity=seen.sensitivity,
        rate=seen.rate,
    )


def _play(seen: Observations, generator: np.random.Generator) -> tuple[Floats, Floats]:
    """Log likelihood ratios without and with the canary, [M] each."""
    rounds, queries = seen.residuals.shape
    step = seen.sensitivity / math.sqrt(queries)
    num = max(100, min(_MAX_TRIALS, _MAX_WORK // seen.residuals.size))
    outside, inside = np.empty(num), np.empty(num)
    chunk = max(1, _MAX_WORK // 40 // seen.residuals.size)
    for start in range(0, num, chunk):
        size = min(chunk, num - start)
        signs = generator.choice([-step, step], size=(size, rounds, queries))
        drawn = generator.random((size, rounds)) < seen.rate
        correlation = np.einsum("mrq,rq->mr", signs, seen.residuals)
        energy = seen.sensitivity**2
        outside[start : start + size] = _log_ratio(correlation, energy, seen)
        inside[start : start + size] = _log_ratio(correlation + energy * drawn, energy, seen)
    return outside, inside


def _log_ratio(correlation: Floats, energy: float, seen: Observations) -> Floats:
    exponent = (correlation - energy / 2) / seen.claimed_noise
    if seen.rate == 1:
        return np.asarray(exponent.sum(axis=1))
    return np.asarray(np.logaddexp(math.log1p(-seen.rate), math.log(seen.rate) + exponent).sum(axis=1))


def _best_threshold(outside: Floats, inside: Floats, dp_delta: float) -> float:
    """The threshold whose error rates, give or take one trial in a thousand, prove most."""
    candidates = np.quantile(np.concatenate([outside, inside]), np.linspace(0.001, 0.999, _THRESHOLDS))
    slack = 3 / len(outside)

    def proof(threshold: float) -> float:
        positives, negatives = np.mean(outside > threshold) + slack, np.mean(inside <= threshold) + slack
        return gaussian_bound(float(positives), float(negatives), dp_delta) if positives + negatives < 1 else 0.0

    return float(max(candidates, key=proof))
