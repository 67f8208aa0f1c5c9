"""Budgets and leaks against the method's table and against each other."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from testbed.privacy import gaussian as privacy

# (ε, δ, R_dp of the paper, zCDP, exact), as printed in the method's table
TABLE = [
    (5, 1e-2, 1.108, 0.909, 1.542),
    (1, 1e-2, 0.064, 0.049, 0.142),
    (2, 1e-5, 0.093, 0.080, 0.126),
    (5, 1e-5, 0.514, 0.450, 0.629),
    (8, 1e-5, 1.185, 1.049, 1.388),
    (10, 1e-2, 3.29, 2.81, 4.08),
]


def digits(value: float, printed: float) -> float:
    """``value`` rounded like ``printed``."""
    return round(value, len(str(printed).partition(".")[2]))


@pytest.mark.parametrize(("epsilon", "delta", "paper", "zcdp", "exact"), TABLE)
def test_budgets_reproduce_the_printed_table(epsilon, delta, paper, zcdp, exact):
    assert digits(privacy.budget_paper(epsilon, delta), paper) == paper
    assert digits(privacy.budget_zcdp(epsilon, delta), zcdp) == zcdp
    assert digits(privacy.budget_exact(epsilon, delta), exact) == exact


budgets = {"dp_epsilon": st.floats(0.1, 20), "dp_delta": st.floats(1e-8, 0.05)}


@given(**budgets)
def test_the_exact_budget_is_the_largest_of_the_three(dp_epsilon, dp_delta):
    exact = privacy.budget_exact(dp_epsilon, dp_delta)
    assert exact >= privacy.budget_zcdp(dp_epsilon, dp_delta)
    assert exact >= privacy.budget_paper(dp_epsilon, dp_delta) * (1 - 1e-9)


@given(**budgets)
def test_epsilon_of_the_exact_budget_is_the_epsilon_asked_for(dp_epsilon, dp_delta):
    rho = privacy.budget_exact(dp_epsilon, dp_delta)
    assert privacy.epsilon_of(rho, dp_delta) == pytest.approx(dp_epsilon, rel=1e-6)


@given(rho=st.floats(1e-6, 20), dp_delta=st.floats(1e-8, 0.05), factor=st.floats(1.01, 10))
def test_more_leak_never_means_a_smaller_epsilon(rho, dp_delta, factor):
    assert privacy.epsilon_of(rho * factor, dp_delta) >= privacy.epsilon_of(rho, dp_delta)


def test_leak_is_sensitivity_squared_over_twice_the_variance():
    assert privacy.leak(4.0, 2.0) == 4.0
    assert privacy.leak(1.0, 0.0) == math.inf
    assert privacy.epsilon_of(math.inf, 1e-2) == math.inf
    assert privacy.epsilon_of(0.0, 1e-2) == 0.0
