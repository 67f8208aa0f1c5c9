"""The canary attack: it never accuses an honest mechanism, and it catches broken ones."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import ndtr

from testbed.audit.attack import Observations, attack
from testbed.audit.bounds import any_bound, gaussian_bound
from testbed.privacy import gaussian
from testbed.privacy.accountants import accountant

T, DELTA = 400, 1e-2


def honest(
    seed: int,
    *,
    true_over_claimed: float = 1.0,
    rate: float = 1.0,
    epsilon: float = 5.0,
    queries: int = 1,
    num_rounds: int = T,
):
    """Observations of a run that spends its whole budget unevenly, and the claim."""
    generator = np.random.default_rng(seed)
    judge = accountant(
        "exact" if rate == 1 else "rdp", epsilon, DELTA, rate=None if rate == 1 else rate, num_rounds=num_rounds
    )
    shares = np.exp(np.linspace(-1, 1, num_rounds))
    rho = (
        shares / shares.sum() * num_rounds * judge.leak_for(judge.limit, num_rounds) * (1 - 1e-12 if rate == 1 else 0.7)
    )
    assert float(np.sum(judge.cost(rho))) <= judge.limit
    noise = 4.0 / (2 * rho)
    residuals = generator.standard_normal((num_rounds, queries)) * np.sqrt(noise * true_over_claimed)[:, None]
    return Observations(residuals=residuals, claimed_noise=noise, sensitivity=2.0, rate=rate), generator


def play(seed: int, **options):
    seen, generator = honest(seed, **options)
    return attack(seen, dp_delta=DELTA, confidence=0.999, generator=generator)


def test_the_bound_stays_below_a_true_claim_over_20_seeds():
    found = [play(seed) for seed in range(20)]
    assert all(each.refutes(5.0) is None for each in found)
    assert max(each.epsilon for each in found) <= 5.0
    assert np.median([each.epsilon for each in found]) > 2.5  # and it is not empty


def test_the_bound_stays_below_a_true_claim_of_secret_batches_over_20_seeds():
    found = [play(seed, rate=0.2, epsilon=3.0, num_rounds=50) for seed in range(20)]
    assert all(each.refutes(3.0) is None for each in found)
    assert all(each.epsilon_gaussian is None for each in found)


@pytest.mark.parametrize(("rate", "epsilon"), [(1.0, 5.0), (1.0, 8.0), (0.2, 5.0)])
@pytest.mark.parametrize("strength", [0.0, 0.01, 0.25])
def test_noise_that_is_off_or_too_weak_is_caught(rate, epsilon, strength):
    found = play(1, true_over_claimed=strength, rate=rate, epsilon=epsilon)
    assert found.refutes(epsilon) is not None
    if strength == 0:
        assert found.epsilon > min(epsilon, 6.5)


def test_several_queries_are_one_observation():
    assert play(2, queries=4).refutes(5.0) is None
    assert play(2, queries=4, true_over_claimed=0.1).refutes(5.0) is not None


@given(mu=st.floats(0.1, 4), threshold=st.floats(-3, 5), delta=st.floats(1e-6, 1e-1))
def test_exact_error_rates_of_gaussian_noise_prove_no_more_than_its_epsilon(mu, threshold, delta):
    positives, negatives = float(ndtr(-threshold)), float(ndtr(threshold - mu))
    epsilon = gaussian.epsilon_of(mu**2 / 2, delta)
    assert any_bound(positives, negatives, delta) <= epsilon + 1e-6
    assert gaussian_bound(positives, negatives, delta) == pytest.approx(epsilon, abs=1e-6, rel=1e-6)


def test_guessing_proves_nothing():
    assert any_bound(0.5, 0.5, 1e-5) == 0
    assert gaussian_bound(0.5, 0.5, 1e-5) == 0
    assert any_bound(1.0, 1.0, 1e-5) == 0
    assert math.isfinite(any_bound(1e-9, 1e-9, 1e-5))
