"""Schedules as pure functions."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from testbed import schedule
from testbed.privacy import leak

limits = st.builds(
    schedule.RoundLimits,
    max_gain=st.floats(1e-6, 1e3),
    noise_variance=st.floats(1e-12, 10),
    artificial_noise_variance=st.just(0.0) | st.floats(1e-3, 1e3),
)
budget = st.builds(
    schedule.Budget, rho=st.floats(1e-3, 10), sensitivity=st.floats(0.1, 400), num_rounds=st.integers(1, 20_000)
)


@given(limits=limits, budget=budget)
def test_static_never_leaks_more_per_round_than_its_share(limits, budget):
    gain = schedule.static_gain(limits, budget)
    variance = schedule.sum_noise_variance(gain, limits)
    share = budget.rho / budget.num_rounds
    power_limited = gain == limits.max_gain
    assert 0 <= gain <= limits.max_gain
    needed = budget.sensitivity**2 / (2 * share)
    if limits.artificial_noise_variance < needed:
        assert leak(budget.sensitivity, variance) <= share * (1 + 1e-9)
        if not power_limited:
            assert leak(budget.sensitivity, variance) == pytest.approx(share, rel=1e-9)


def test_full_power_is_the_limit_itself_and_silence_has_infinite_noise():
    some = schedule.RoundLimits(max_gain=0.5, noise_variance=0.1, artificial_noise_variance=1.0)
    assert schedule.full_gain(some) == 0.5
    assert schedule.sum_noise_variance(0.0, some) == math.inf
    assert schedule.sum_noise_variance(0.5, some) == pytest.approx(1.4)
