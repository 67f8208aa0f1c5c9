"""Lower bounds on ε and μ from what an attacker got right and wrong. Pure functions.

By what they assume:

    any_bound              any (ε, δ) mechanism, from two error rates (arXiv 1311.0776)
    gaussian_bound         the trade-off of μ-GDP, from two error rates (arXiv 1905.02383)
    window_mu              the same from one binomial, where both worlds are played with the same noise
    one_run_mu             the same from many canaries in one run, with abstention (arXiv 2410.22235)
    noise_factor           Gaussian noise whose shape is known and whose strength is not: chi-squared

Every bound holds with the probability that its ``failure`` leaves; none of them claims that a mechanism is private.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy.special import bdtri, chdtri, ndtr, ndtri

from testbed.privacy.gaussian import epsilon_of

Floats = NDArray[np.float64]

_LARGEST_MU = 40.0


def upper_rate(num_hits: int, num_trials: int, failure: float) -> float:
    """Clopper–Pearson upper bound of a binomial rate."""
    return float(bdtri(num_hits, num_trials, failure)) if num_hits < num_trials else 1.0


def lower_rate(num_hits: int, num_trials: int, failure: float) -> float:
    """Clopper–Pearson lower bound of a binomial rate."""
    return 1 - upper_rate(num_trials - num_hits, num_trials, failure)


def any_bound(false_positives: float, false_negatives: float, dp_delta: float) -> float:
    """ε that error rates of at most this much rule out anything below, whatever the mechanism (arXiv 1311.0776)."""
    bounds = [
        math.log((1 - dp_delta - one) / other)
        for one, other in ((false_negatives, false_positives), (false_positives, false_negatives))
        if other > 0 and 1 - dp_delta - one > 0
    ]
    return max(0.0, *bounds) if bounds else 0.0


def gaussian_bound(false_positives: float, false_negatives: float, dp_delta: float) -> float:
    """The same for Gaussian noise: μ >= Φ⁻¹(1 − α) − Φ⁻¹(β), and ρ = μ²/2 (arXiv 1905.02383)."""
    mu = max(0.0, -float(ndtri(false_positives)) - float(ndtri(false_negatives)))
    return epsilon_of(mu**2 / 2, dp_delta)


def window_mu(num_inside: int, num_releases: int, failure: float) -> float:
    """μ of one release at least, from how often one noise draw left both worlds on their own side of the middle.

    That probability is 1 − α − β, at most the total variation 2Φ(μ/2) − 1 of μ-GDP. The worlds must differ by a shift
    towards the attacker's side, so that one draw never deceives in both; the threshold must be fixed in advance.
    """
    rate = lower_rate(num_inside, num_releases, failure)
    return min(_LARGEST_MU, 2 * float(ndtri((1 + rate) / 2)))


def one_run_mu(num_canaries: int, num_guesses: int, num_correct: int, failure: float) -> float:
    """μ at least, when so many guesses about canaries of one run were right and the attacker kept silent on the rest.

    Each canary is in, or exchanged, by a fair coin of its own. Theorem of arXiv 2410.22235, for the trade-off of μ-GDP
    and two choices; pure μ-GDP needs no further δ.
    """
    if not 0 <= num_correct <= num_guesses <= num_canaries:
        raise ValueError(
            f"guesses: got {num_correct} right of {num_guesses} about {num_canaries} canaries; allowed: each at most "
            "the next"
        )
    if num_guesses == 0 or not _ruled_out(1e-6, num_canaries, num_guesses, num_correct, failure):
        return 0.0
    return _largest(lambda mu: _ruled_out(mu, num_canaries, num_guesses, num_correct, failure), _LARGEST_MU)


def one_run_limit(num_canaries: int, failure: float) -> float:
    """The most that so many canaries of one run can prove: every one of them guessed, and every guess right."""
    return one_run_mu(num_canaries, num_canaries, num_canaries, failure)


def noise_factor(squares: float, num_values: int, failure: float) -> float:
    """What noise variance is at most, in units of what was claimed: Σ r²/u of Gaussian residuals over χ²'s quantile."""
    return squares / float(chdtri(num_values, 1 - failure)) if num_values else math.inf


def noise_limit(num_values: int, failure: float) -> float:
    """What `noise_factor` comes to at best, of noise as strong as claimed: the limit of so many values."""
    return num_values / float(chdtri(num_values, 1 - failure))


def epsilon_at(mu: float, dp_delta: float) -> float:
    """ε of μ-GDP at δ."""
    return epsilon_of(mu**2 / 2, dp_delta)


def _ruled_out(mu: float, num_canaries: int, num_guesses: int, num_correct: int, failure: float) -> bool:
    """Whether so many right guesses are less likely than ``failure`` under μ-GDP.

    Walks down from the observed count: ``right`` and ``wrong`` bound, of a guess, the mass with at least i right.
    """
    right = failure * num_correct / num_canaries
    wrong = failure * (num_guesses - num_correct) / num_canaries
    for i in range(num_correct - 1, -1, -1):
        before, wrong = wrong, max(wrong, float(ndtr(ndtri(min(1.0, right)) - mu)))
        right += i / (num_guesses - i) * (wrong - before)
        if right + wrong >= num_guesses / num_canaries:
            return True
    return right + wrong >= num_guesses / num_canaries


def _largest(holds: Callable[[float], bool], highest: float) -> float:
    """The largest number up to ``highest`` for which a falling predicate holds."""
    if holds(highest):
        return highest
    low, high = 0.0, highest
    for _ in range(50):
        middle = (low + high) / 2
        low, high = (middle, high) if holds(middle) else (low, middle)
    return low
