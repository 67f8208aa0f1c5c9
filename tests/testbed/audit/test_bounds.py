"""Lower bounds hold as often as they say, and come close to what is true."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binom

from testbed.audit import bounds
from testbed.audit.lab import audit_tightness, bare_mechanism
from testbed.privacy.gaussian import budget_exact

FAILURE = 0.05


def too_often(num_trials: int, failure: float) -> int:
    """More false bounds than this come up with probability below 1e-6 only, if each fails with ``failure``."""
    return int(binom.isf(1e-6, num_trials, failure))


@given(hits=st.integers(0, 50), more=st.integers(0, 50), failure=st.floats(1e-6, 0.5))
def test_rates_are_bounded_from_both_sides(hits, more, failure):
    trials = hits + more + 1
    assert bounds.lower_rate(hits, trials, failure) <= hits / trials <= bounds.upper_rate(hits, trials, failure)


@pytest.mark.parametrize("mu", [0.1, 0.5, 2.0])
def test_the_window_of_the_right_noise_fails_no_more_often_than_it_says(mu):
    generator = np.random.default_rng(int(10 * mu))
    inside = np.abs(generator.standard_normal((400, 1000))) < mu / 2
    found = np.array([bounds.window_mu(int(each.sum()), 1000, FAILURE) for each in inside])
    assert np.sum(found > mu) <= too_often(400, FAILURE)
    assert np.median(found) > (0.4 if mu == 0.1 else 0.8) * mu


@pytest.mark.parametrize(("mu", "share"), [(1.0, 1.0), (1.0, 0.1), (3.0, 1.0), (3.0, 0.2)])
def test_canaries_of_one_run_prove_no_more_than_is_true(mu, share):
    generator, num = np.random.default_rng(7), 200
    false = 0
    for _ in range(100):
        coins = generator.choice([-1.0, 1.0], num)
        scores = coins * mu / 2 + generator.standard_normal(num)
        guessed = np.argsort(-np.abs(scores))[: int(share * num)]
        right = int(np.sum(np.sign(scores[guessed]) == coins[guessed]))
        false += bounds.one_run_mu(num, len(guessed), right, FAILURE) > mu
    assert false <= too_often(100, FAILURE)


def test_canaries_that_share_one_secret_prove_no_more_than_it_gives_away():
    """All canaries at once are told with probability τ, which μ-GDP allows: the bound must not count them as many."""
    mu, num = 1.0, 100
    tail = FAILURE * 2  # an event of this probability may be certain in one world and much rarer in the other
    generator = np.random.default_rng(3)
    false = 0
    for _ in range(200):
        coins = generator.choice([-1.0, 1.0], num)
        told = generator.random() < 0.5 * tail
        guesses = coins if told else generator.choice([-1.0, 1.0], num)
        false += bounds.one_run_mu(num, num, int(np.sum(guesses == coins)), FAILURE) > mu
    assert false <= too_often(200, FAILURE)


def test_what_canaries_can_prove_grows_with_their_number_and_no_more_is_ever_proven():
    limits = [bounds.one_run_limit(num, FAILURE) for num in (1, 5, 20, 100, 1000)]
    assert limits == sorted(limits)
    assert limits[0] == 0  # one right guess is luck
    assert limits[-1] > 2
    assert bounds.one_run_mu(100, 90, 80, FAILURE) < bounds.one_run_mu(100, 90, 90, FAILURE) <= limits[3]
    assert bounds.one_run_mu(100, 0, 0, FAILURE) == 0
    with pytest.raises(ValueError, match="3 right of 2 about 10"):
        bounds.one_run_mu(10, 2, 3, FAILURE)


@pytest.mark.parametrize("num", [10, 100, 1000])
def test_the_strength_of_noise_is_bounded_as_often_as_it_says(num):
    generator = np.random.default_rng(num)
    squares = (generator.standard_normal((400, num)) ** 2).sum(axis=1)
    found = np.array([bounds.noise_factor(each, num, FAILURE) for each in squares])
    assert np.sum(found < 1) <= too_often(400, FAILURE)
    assert np.median(found) == pytest.approx(bounds.noise_limit(num, FAILURE), rel=0.1)
    assert bounds.noise_factor(0.0, 0, FAILURE) == math.inf


def test_ten_thousand_releases_prove_four_fifths_of_the_claim():
    assert audit_tightness() >= 0.8


def test_the_laboratory_refutes_the_bare_mechanism_no_more_often_than_it_says():
    found = [bare_mechanism(num_releases=2000, seed=100 * seed) for seed in range(1, 61)]
    refuted = sum(any(each.tightness > 1 for each in released) for released in found)
    assert refuted <= too_often(60, FAILURE)
    assert all(each.any_epsilon <= each.claimed_epsilon for released in found for each in released)
    assert bounds.epsilon_at(math.sqrt(2 * budget_exact(4.0, 1e-5)), 1e-5) == pytest.approx(4)
