"""Secret Poisson batches: the closed form against dp-accounting, and the figures that the method quotes."""

import math

import numpy as np
import pytest
from dp_accounting import GaussianDpEvent, PoissonSampledDpEvent
from dp_accounting.rdp import RdpAccountant
from hypothesis import given
from hypothesis import strategies as st

from testbed.privacy import sampled
from testbed.privacy.accountants import accountant

rates = st.floats(1e-4, 1.0)
orders = st.sampled_from([2, 3, 5, 16, 64])
leaks = st.floats(1e-6, 5.0)


@given(rate=st.floats(1e-3, 0.9), order=orders, rho=st.floats(1e-4, 5.0))
def test_the_closed_form_is_that_of_the_accountant(rate, order, rho):
    accountant = RdpAccountant([order])
    accountant.compose(PoissonSampledDpEvent(rate, GaussianDpEvent(1 / math.sqrt(2 * rho))))
    ours = float(sampled.renyi_leak(np.array(rho), rate=rate, order=order))
    assert sampled.renyi_to_epsilon(ours, order=order, dp_delta=1e-9) == pytest.approx(
        accountant.get_epsilon(1e-9), rel=1e-6
    )


@given(order=orders, rho=leaks)
def test_a_batch_of_everything_leaks_like_one_that_is_known(order, rho):
    assert float(sampled.renyi_leak(np.array(rho), rate=1.0, order=order)) == pytest.approx(order * rho, rel=1e-9)


@given(rate=rates, order=orders, first=leaks, second=leaks)
def test_two_looks_at_one_batch_cost_at_least_what_looks_at_two_batches_do(rate, order, first, second):
    cost = sampled.renyi_leak(np.array([first, second, first + second]), rate=rate, order=order)
    assert cost[2] >= (cost[0] + cost[1]) * (1 - 1e-9)


@given(rate=rates, order=orders, rho=leaks)
def test_the_slope_is_the_derivative(rate, order, rho):
    step = 1e-5 * rho
    upper, lower = sampled.renyi_leak(np.array([rho + step, rho - step]), rate=rate, order=order)
    slope = float(sampled.renyi_slope(np.array(rho), rate=rate, order=order))
    assert slope == pytest.approx((upper - lower) / (2 * step), rel=1e-3)


def rounds(multiplier: float, num: int) -> list[float]:
    return [1 / (2 * multiplier**2)] * num


@pytest.mark.parametrize(
    ("rate", "num_rounds", "multiplier", "delta", "rdp", "pld"),
    [
        (0.064, 8000, 3.74, 1e-2, "4.96", "4.24"),
        (0.016, 10_000, 2.0, 1e-5, "3.987", "3.679"),
        (0.008, 20_000, 2.0, 1e-5, "2.690", "2.477"),
    ],
)
def test_epsilons_reproduce_the_printed_ones(rate, num_rounds, multiplier, delta, rdp, pld):
    run = rounds(multiplier, num_rounds)
    digits = len(rdp.partition(".")[2])
    assert f"{sampled.rdp_epsilon(run, rate=rate, dp_delta=delta):.{digits}f}" == rdp
    assert f"{sampled.pld_epsilon(run, rate=rate, dp_delta=delta):.{digits}f}" == pld


def test_noise_on_the_mean_is_that_of_the_method():
    """Clip C over batch 64, five devices: noise multiplier over K times C/b."""
    printed = {100: "1.2", 200: "2.3", 300: "3.5"}
    assert {clip: f"{3.74 * clip / 64 / 5:.1f}" for clip in printed} == printed
    for rate, multiplier in ((0.064, 3.74), (0.32, 18.5)):
        judge = accountant("rdp", 5, 1e-2, rate=rate, num_rounds=8000)
        assert 1 / math.sqrt(2 * judge.leak_for(judge.limit, 8000)) == pytest.approx(multiplier, rel=0.01)


def test_many_different_rounds_are_judged_by_levels_that_are_never_lower():
    run = [0.01 * (1 + k / 500) for k in range(80)]
    judged = sampled.rdp_epsilon(run, rate=0.1, dp_delta=1e-5)
    accountant = RdpAccountant(sampled._JUDGED_ORDERS)
    for rho in run:
        accountant.compose(PoissonSampledDpEvent(0.1, GaussianDpEvent(1 / math.sqrt(2 * rho))))
    exact = accountant.get_epsilon(1e-5)
    assert exact <= judged <= 1.02 * exact
    assert sampled.rdp_epsilon([], rate=0.1, dp_delta=1e-5) == 0
    assert sampled.rdp_epsilon([math.inf], rate=0.1, dp_delta=1e-5) == math.inf
