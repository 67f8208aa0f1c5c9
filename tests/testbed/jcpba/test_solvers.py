"""Pruning rates and shares: against brute force, against the other solvers, and within every limit."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import brentq

from testbed.config.words import ALLOCATING
from testbed.errors import ConfigError
from testbed.jcpba.blocks import best_pruning, best_shares, block_coordinate_descent, efficiency
from testbed.jcpba.grid import grid_optimum
from testbed.jcpba.joint import best_allocation
from testbed.jcpba.methods import allocation, as_realised
from testbed.jcpba.problem import Problem, pruning_limit

ROUNDING = 1e-7


def instance(seed, num_clients, *, payload_bits=1.5e6, fixed_bits=0.0, max_pruning=0.7, rms=0.3):
    rng = np.random.default_rng(seed)
    return Problem(
        compute_s=rng.uniform(0.2, 4, num_clients),
        fixed_compute_s=rng.uniform(0, 0.3, num_clients),
        payload_bits=payload_bits,
        fixed_bits=fixed_bits,
        bandwidth_hz=1e6,
        snr=10 ** rng.uniform(0, 4, num_clients),
        max_pruning=max_pruning,
        pruning_limit=num_clients * rms**2,
    )


@st.composite
def problems(draw):
    num_clients = draw(st.integers(1, 8))

    def numbers(low, high):
        return np.array([10 ** draw(st.floats(low, high)) for _ in range(num_clients)])

    spared, fixed = draw(st.sampled_from([(1, 0), (1, 1), (0, 1)]))
    return Problem(
        compute_s=numbers(-4, 2),
        fixed_compute_s=numbers(-4, 2) * draw(st.integers(0, 1)),
        payload_bits=spared * 10 ** draw(st.floats(1, 9)),
        fixed_bits=fixed * 10 ** draw(st.floats(1, 9)),
        bandwidth_hz=10 ** draw(st.floats(4, 8)),
        snr=numbers(-2, 5),
        max_pruning=draw(st.sampled_from([0.0, 0.3, 0.7, 0.99])),
        pruning_limit=num_clients * draw(st.sampled_from([0.0, 1e-6, 1e-2, 0.09, 1.0])),
    )


@pytest.mark.parametrize("seed", range(12))
def test_the_joint_optimum_is_that_of_the_grid(seed):
    problem = instance(seed, 2, fixed_bits=1e5 * (seed % 2))
    grid_s = grid_optimum(problem, num_rates=200, num_shares=1000).deadline_s(problem)
    joint_s = best_allocation(problem).deadline_s(problem)
    assert joint_s <= grid_s * (1 + ROUNDING)
    assert joint_s >= grid_s * 0.99  # the grid is fine enough to tell


@pytest.mark.parametrize("seed", range(2))
def test_the_joint_optimum_is_that_of_the_grid_with_three_clients(seed):
    problem = instance(seed, 3)
    grid_s = grid_optimum(problem, num_rates=40, num_shares=80).deadline_s(problem)
    assert 0.97 <= best_allocation(problem).deadline_s(problem) / grid_s <= 1 + ROUNDING


@given(problem=problems())
@settings(max_examples=150, deadline=None)
def test_no_limit_is_ever_exceeded_and_no_rival_is_better_than_the_joint_optimum(problem):
    found = {method: allocation(method, problem) for method in ALLOCATING}
    deadlines_s = {method: each.deadline_s(problem) for method, each in found.items()}
    for method, each in found.items():
        assert each.violation(problem) <= 0, method
        assert deadlines_s["joint"] <= deadlines_s[method] * (1 + ROUNDING), method


@given(problem=problems(), begin=st.sampled_from(["bandwidth", "pruning"]))
@settings(max_examples=60, deadline=None)
def test_block_coordinate_descent_never_increases_the_deadline(problem, begin):
    found = block_coordinate_descent(problem, begin=begin)
    assert np.all(np.diff(found.deadlines_s) <= 0)
    assert found.deadlines_s[-1] == found.allocation.deadline_s(problem)
    assert found.allocation.violation(problem) <= 0


def test_plain_block_coordinate_descent_stands_above_the_optimum_after_one_sweep():
    problem = instance(0, 2)
    found = block_coordinate_descent(problem)
    assert found.deadlines_s[2] == pytest.approx(found.deadlines_s[-1], rel=1e-6)
    assert found.deadlines_s[-1] > 1.02 * best_allocation(problem).deadline_s(problem)


def test_at_the_joint_optimum_all_clients_end_together_and_every_limit_is_used_up():
    problem = instance(3, 6)
    found = best_allocation(problem)
    np.testing.assert_allclose(problem.latencies_s(found.pruning, found.shares), found.deadline_s(problem), rtol=1e-6)
    assert found.shares.sum() == pytest.approx(1, abs=1e-9)
    assert np.square(found.pruning).sum() == pytest.approx(problem.pruning_limit, rel=1e-9)


@given(problem=problems(), shift=st.floats(-0.2, 0.2), first=st.integers(0, 7), second=st.integers(0, 7))
@settings(max_examples=60, deadline=None)
def test_no_exchange_of_pruning_between_two_clients_makes_the_round_shorter(problem, shift, first, second):
    found = best_allocation(problem)
    squares = np.square(found.pruning)
    a, b = first % problem.num_clients, second % problem.num_clients
    moved = np.clip(squares[a] * (1 + shift), 0, problem.max_pruning**2) - squares[a]
    if a == b or not 0 <= squares[b] - moved <= problem.max_pruning**2:
        return
    squares[a] += moved
    squares[b] -= moved
    other = best_shares(problem, np.minimum(np.sqrt(squares), problem.max_pruning))
    assert other.deadline_s(problem) >= found.deadline_s(problem) * (1 - ROUNDING)


def test_without_arithmetic_of_different_speed_alike_clients_share_evenly():
    problem = Problem(
        compute_s=np.ones(4), fixed_compute_s=np.zeros(4), payload_bits=1e6, fixed_bits=0.0, bandwidth_hz=1e6,
        snr=np.full(4, 10.0), max_pruning=0.7, pruning_limit=4 * 0.3**2,
    )  # fmt: skip
    found = best_allocation(problem)
    np.testing.assert_allclose(found.shares, 0.25, rtol=1e-6)
    np.testing.assert_allclose(found.pruning, 0.3, rtol=1e-6)
    expected_s = 0.7 * (1 + 1e6 / (0.25e6 * np.log2(1 + 40)))  # by hand
    assert found.deadline_s(problem) == pytest.approx(expected_s, rel=1e-9)


def test_shares_for_fixed_pruning_are_those_of_an_independent_root_search():
    problem = instance(5, 3)
    pruning = np.array([0.1, 0.3, 0.2])

    def needed(deadline_s):
        def late(share, k):
            shares = np.full(3, share)
            return problem.latencies_s(pruning, shares)[k] - deadline_s

        return sum(brentq(late, 1e-9, 50.0, args=(k,), xtol=1e-14) for k in range(3)) - 1

    found_s = best_shares(problem, pruning).deadline_s(problem)
    assert found_s == pytest.approx(brentq(needed, 0.95 * found_s, 1.3 * found_s, xtol=1e-12), rel=1e-9)


def test_pruning_for_fixed_shares_is_the_least_that_meets_the_deadline():
    problem = instance(1, 5)
    found = best_pruning(problem, np.full(5, 0.2))
    latencies_s = problem.latencies_s(found.pruning, found.shares)
    deadline_s = found.deadline_s(problem)
    assert np.all((found.pruning == 0) | np.isclose(latencies_s, deadline_s, rtol=1e-9))
    assert np.square(found.pruning).sum() == pytest.approx(problem.pruning_limit, rel=1e-6)


@given(v=st.floats(1e-6, 200))
def test_spectral_efficiency_undoes_the_inflation_of_a_bit(v):
    inflation = np.expm1(v) / v
    assert float(np.expm1(efficiency(np.array([inflation])))[0]) == pytest.approx(np.expm1(v), rel=1e-8)


def test_masks_that_round_down_keep_every_limit_and_end_a_little_later():
    problem = instance(2, 6)
    for method in ALLOCATING:
        wanted = allocation(method, problem)
        real = as_realised(method, problem, wanted, lambda rate: np.floor(rate * 48) / 48)
        assert real.violation(problem) <= 0
        assert (
            wanted.deadline_s(problem) * (1 - ROUNDING) <= real.deadline_s(problem) <= 1.05 * wanted.deadline_s(problem)
        )


def test_the_limit_on_pruning_follows_from_the_bound():
    assert pruning_limit(10, gradient_floor=0.09, smoothness=2.0, weight_norm=0.5) == pytest.approx(0.9)
    with pytest.raises(ConfigError, match="smoothness: got 0; allowed: finite, more than 0"):
        pruning_limit(10, gradient_floor=0.09, smoothness=0.0, weight_norm=0.5)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"snr": np.array([1.0, 0.0])}, "snr: got 0; allowed: finite, more than 0"),
        ({"compute_s": np.array([1.0, np.nan])}, "compute_s: got nan"),
        ({"compute_s": np.ones(3)}, "allowed: one shape"),
        ({"payload_bits": 0.0}, r"payload_bits \+ fixed_bits: got 0"),
        ({"payload_bits": 0.0, "fixed_bits": 1.0, "compute_s": np.zeros(2)}, "nothing that pruning would spare"),
        ({"max_pruning": 1.0}, "max_pruning: got 1; allowed: 0 to 0.99"),
        ({"pruning_limit": -1.0}, "pruning_limit: got -1"),
        ({"bandwidth_hz": np.inf}, "bandwidth_hz: got inf"),
    ],
)
def test_a_problem_that_means_nothing_is_refused(change, message):
    given_ = {
        "compute_s": np.ones(2), "fixed_compute_s": np.zeros(2), "payload_bits": 1.0, "fixed_bits": 0.0,
        "bandwidth_hz": 1.0, "snr": np.ones(2), "max_pruning": 0.5, "pruning_limit": 0.1,
    }  # fmt: skip
    with pytest.raises(ConfigError, match=message):
        Problem(**(given_ | change))
