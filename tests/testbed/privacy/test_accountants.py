"""One suite over all accountants: what a budget is worth, and that costs never deceive."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from testbed.privacy import gaussian, sampled
from testbed.privacy.accountants import accountant

T = 500
MADE = {
    name: accountant(name, 4.0, 1e-5, rate=None if name in ("exact", "zcdp", "paper") else 0.05, num_rounds=T)
    for name in ("exact", "zcdp", "paper", "rdp", "pld")
}


@pytest.fixture(params=sorted(MADE))
def judge(request):
    return MADE[request.param]


def test_equal_rounds_that_use_the_budget_up_end_at_epsilon(judge):
    rho = judge.leak_for(judge.limit, T)
    total = float(np.sum(judge.cost(np.full(T, rho))))
    assert total <= judge.limit * (1 + 1e-12)
    assert judge.epsilon(total) <= 4.0 * (1 + 1e-6)
    assert judge.epsilon(total) >= 3.2  # the budget of zCDP is smaller than it need be


def test_nothing_costs_nothing_and_infinite_leaks_cannot_be_paid(judge):
    assert float(judge.cost(np.array(0.0))) == 0
    assert judge.epsilon(0.0) == 0
    assert float(judge.cost(np.array(1e9))) > judge.limit


@given(first=st.floats(0, 0.2), second=st.floats(0, 0.2))
def test_attempts_of_one_round_cost_at_least_what_rounds_do(first, second):
    for name, judge in MADE.items():
        if name != "pld":  # whose currency is rounds: more than one attempt cannot be paid unless they fit into one
            cost = judge.cost(np.array([first, second, first + second]))
            assert cost[2] >= (cost[0] + cost[1]) * (1 - 1e-9)


@given(prices=st.lists(st.floats(-20, 5), min_size=2, max_size=5))
def test_a_higher_benefit_is_worth_a_larger_leak_at_the_margin(prices):
    for name in ("exact", "rdp"):
        judge = MADE[name]
        leaks = np.exp(judge.log_leak_at(np.array(sorted(prices))))
        assert np.all(np.diff(leaks) >= 0)
        if name == "rdp":
            benefit = np.log(leaks**2 * sampled.renyi_slope(leaks, rate=judge.rate, order=judge.order))
            assert np.allclose(benefit, sorted(prices), atol=2e-2)


def test_subsampling_allows_less_noise_and_distributions_less_than_divergences():
    per_round = {name: judge.leak_for(judge.limit, T) for name, judge in MADE.items()}
    assert per_round["zcdp"] < per_round["paper"] < per_round["exact"] < per_round["rdp"] < per_round["pld"]


def test_the_gaussian_accountant_is_exact():
    assert MADE["exact"].epsilon(0.3) == gaussian.epsilon_of(0.3, 1e-5)


def test_a_round_larger_than_what_was_judged_is_refused_by_the_equal_rounds_accountant():
    judge = MADE["pld"]
    assert judge.cost(np.array([judge.rho, judge.rho * 1.001])).tolist() == [1.0, math.inf]
    assert judge.epsilon(10) <= judge.epsilon(400) <= 4.0
