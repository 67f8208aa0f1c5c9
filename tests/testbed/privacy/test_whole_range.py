"""Accountants answer, or refuse in words, over everything that a configuration may say."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from testbed.errors import ConfigError
from testbed.privacy.accountants import accountant
from testbed.privacy.gaussian import budget_paper, epsilon_of
from testbed.privacy.sampled import ORDERS, conversion
from testbed.schedule.online import Online
from testbed.schedule.power import Crediting, Power, credited_noise, total_noise
from testbed.schedule.problem import Problem, log_weights

EPSILONS = st.floats(-4, 4).map(lambda exponent: 10**exponent)
DELTAS = st.floats(-30, math.log10(0.5)).map(lambda exponent: min(0.5, 10**exponent))
RATES = st.floats(-6, 0).map(lambda exponent: min(1.0, 10**exponent))


@given(epsilon=EPSILONS, delta=DELTAS, name=st.sampled_from(["exact", "zcdp", "paper"]))
def test_a_budget_for_known_batches_is_positive_and_never_overspent(epsilon, delta, name):
    judge = accountant(name, epsilon, delta, rate=None, num_rounds=40)
    assert 0 < judge.limit < math.inf
    if name != "paper":
        assert judge.epsilon(judge.limit) <= epsilon * (1 + 1e-6)


@settings(max_examples=25)
@given(epsilon=EPSILONS, delta=DELTAS, rate=RATES, num_rounds=st.sampled_from([1, 40, 8000]))
def test_a_budget_for_secret_batches_is_kept_or_refused_in_words(epsilon, delta, rate, num_rounds):
    if min(conversion(order, delta) for order in ORDERS) >= epsilon:
        with pytest.raises(ConfigError, match="allowed: more than"):
            accountant("rdp", epsilon, delta, rate=rate, num_rounds=num_rounds)
        return
    judge = accountant("rdp", epsilon, delta, rate=rate, num_rounds=num_rounds)
    rho = judge.leak_for(judge.limit, num_rounds)
    assert 0 < rho < math.inf
    assert judge.epsilon(num_rounds * float(judge.cost(np.array(rho)))) <= epsilon * (1 + 1e-9)


@pytest.mark.parametrize("epsilon", [0.1, 1.0, 8.0])
def test_distributions_serve_rare_examples_and_allow_at_least_what_divergences_do(epsilon):
    judge = accountant("pld", epsilon, 1e-5, rate=0.001, num_rounds=40)
    renyi = accountant("rdp", epsilon, 1e-5, rate=0.001, num_rounds=40)
    assert judge.rho >= renyi.leak_for(renyi.limit, 40) * (1 - 1e-9)
    assert 0.97 * epsilon < judge.epsilon(40) <= epsilon


def test_a_delta_below_the_tails_of_distributions_falls_back_on_divergences():
    judge = accountant("pld", 5.0, 1e-30, rate=0.01, num_rounds=10)
    assert 0 < judge.epsilon(10) <= 5.0 * (1 + 1e-9)


def test_tiny_epsilons_and_deltas_have_the_published_budget():
    a_square = 1e-4**2 / (4 * budget_paper(1e-4, 1e-300))  # R_dp is nearly (ε/2a)² for small ε
    assert math.sqrt(math.pi * a_square) * math.exp(a_square - 300 * math.log(10)) == pytest.approx(1, rel=1e-3)
    assert epsilon_of(accountant("exact", 0.003, 1e-5, rate=None, num_rounds=1).limit, 1e-5) == pytest.approx(0.003)


def test_a_gain_whose_square_is_no_number_leaves_all_noise_there_is_and_takes_none_that_devices_add():
    power = Power(gain=1e-200, noise_std=0.0)
    assert credited_noise(power, 1.0, Crediting(receiver_trusted=True, num_noise_sources=1)) > 1e300
    noisy = Power(gain=1e-200, noise_std=3.0)
    assert credited_noise(noisy, 1.0, Crediting(receiver_trusted=False, num_noise_sources=1)) == 9.0
    assert total_noise(power, 1.0, 5) == math.inf


def test_the_causal_schedule_plays_on_where_no_round_has_a_cap():
    num_rounds = 300
    problem = Problem(
        log_weights=log_weights(num_rounds, 0.998),
        caps=np.full(num_rounds, np.inf),
        sensitivity=2.0,
        accountant=accountant("exact", 1.0, 1e-5, rate=None, num_rounds=num_rounds),
    )
    schedule, remaining = Online(), problem.accountant.limit
    schedule.begin(problem)
    for round_index in range(num_rounds):
        rho = schedule.next(round_index, math.inf, remaining)
        assert 0 < rho <= remaining
        remaining -= rho
    assert remaining < 1e-6 * problem.accountant.limit


def test_the_causal_schedule_ends_its_search_where_every_round_costs_the_same():
    """`testbed plan` previews it beside a judge of equal rounds, whose least cost may be above what is left."""
    num_rounds = 20
    judge = accountant("pld", 1.0, 1e-5, rate=0.05, num_rounds=num_rounds)
    problem = Problem(
        log_weights=log_weights(num_rounds, 0.998), caps=np.full(num_rounds, np.inf), sensitivity=2.0, accountant=judge
    )
    leaks = Online().leaks(problem)
    assert np.isfinite(leaks).all()
    assert problem.spent(leaks) <= judge.limit


@pytest.mark.parametrize("rho", np.geomspace(1e-6, 1, 40))
def test_what_a_judge_of_equal_rounds_offers_is_never_more_than_it_judged(rho):
    judge = accountant("pld", 1.0, 1e-5, rate=0.05, num_rounds=20)
    judge.__dict__["rho"] = float(rho)  # instead of the search, whose answer rounds well or badly
    assert judge.cost(np.exp(judge.log_leak_at(np.zeros(1))))[0] == 1.0
