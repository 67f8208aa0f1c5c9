"""Schedules: the method's figures, optimality against a general solver, and laws that hold for every instance."""

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks import instances
from benchmarks.instances import leaks
from testbed.privacy.accountants import accountant
from testbed.privacy.gaussian import budget_paper
from testbed.schedule.problem import Problem, caps_at_full_power, log_weights, snr_threshold


def free_problem(num_rounds: int, contraction: float, judge_name: str = "exact", sensitivity: float = 200.0) -> Problem:
    """The paper's numbers, with power for anything."""
    return Problem(
        log_weights=log_weights(num_rounds, contraction),
        caps=np.full(num_rounds, np.inf),
        sensitivity=sensitivity,
        accountant=accountant(judge_name, 5.0, 1e-2, rate=None, num_rounds=num_rounds),
    )


def ratio(problem: Problem, name: str, reference: str = "solution") -> float:
    return math.exp(problem.log_objective(leaks(name, problem)) - problem.log_objective(leaks(reference, problem)))


@pytest.mark.parametrize(("num_rounds", "printed"), [(1000, "1.08"), (2000, "1.31"), (4000, "2.08"), (8000, "4.0")])
def test_static_over_solution_is_the_printed_ratio(num_rounds, printed):
    assert f"{ratio(free_problem(num_rounds, 0.998), 'static'):.{len(printed) - 2}f}" == printed


@pytest.mark.parametrize(
    ("assumed", "printed"), [(0.9999, "3.4"), (0.9995, "1.98"), (0.999, "1.31"), (0.996, "4.0"), (0.99, "2e+09")]
)
def test_a_wrong_contraction_costs_what_was_printed(assumed, printed):
    true = free_problem(8000, 0.998)
    believed = replace(true, log_weights=log_weights(8000, assumed))
    cost = math.exp(true.log_objective(leaks("solution", believed)) - true.log_objective(leaks("solution", true)))
    shown = f"{cost:.0e}" if "e" in printed else f"{cost:.{len(printed.partition('.')[2])}f}"
    assert shown == printed


@pytest.mark.parametrize(("moved", "printed"), [(2.0, "-34.6"), (2 / 16, "-10.5"), (2 / 64, "1.5")])
def test_the_snr_threshold_is_the_printed_one(moved, printed):
    threshold = snr_threshold(
        budget_paper(5, 1e-2) / 8000, sensitivity=moved * 100, sent_bound=100, mean_weakest_gain=1 / 5
    )
    assert f"{10 * math.log10(threshold):.1f}" == printed


def test_the_published_equations_destroy_the_model_as_the_method_says():
    published = free_problem(8000, 0.998, "paper")
    on_the_mean = np.sqrt(published.noise(leaks("paper", published))) / 5
    assert 4.6e4 <= on_the_mean[0] < 4.7e4  # printed as 4.6e4, which is cut, not rounded
    assert f"{on_the_mean[-1]:.1e}" == "8.5e+02"
    assert f"{math.sqrt(published.noise(leaks('static', published))[0]) / 5:.1e}" == "2.4e+03"


def test_the_paper_is_the_solution_for_its_own_budget():
    published = free_problem(300, 0.99, "paper")
    t = np.arange(300)
    noise = published.noise(leaks("paper", published))
    assert np.allclose(noise / noise[0], 0.99 ** (t / 2), rtol=1e-9)


@pytest.mark.parametrize("seed", range(6))
def test_the_solution_is_as_good_as_a_general_solver_over_gains_and_noises(seed):
    generator = np.random.default_rng(seed)
    asked = instances.problem(
        instances.weakest_gain_powers(generator, 10, 5, 0.0),
        snr_db=float(generator.uniform(-5, 15)),
        clip=1.0,
        sensitivity=2.0,
        contraction=0.8,
        judge=accountant("exact", 5.0, 1e-2, rate=None, num_rounds=10),
        skip_noise=math.inf,
    )
    ours = leaks("solution", asked)
    theirs = instances.objective_by_slsqp(asked, 1.0, 5, 1.0, leaks("static", asked))
    assert math.exp(asked.log_objective(ours) - theirs) <= 1 + 1e-6


seeds = st.integers(0, 2**32)


@settings(max_examples=50, deadline=None)
@given(seed=seeds)
def test_the_solution_meets_the_conditions_of_optimality(seed):
    asked = replace(instances.random_problem(np.random.default_rng(seed)), skip_noise=math.inf)
    found = leaks("solution", asked)
    inner = found < asked.caps * (1 - 1e-9)
    price = asked.log_weights - 2 * np.log(found)  # W_t u_t²: equal where no cap binds, lower where one does
    if inner.any():
        assert np.ptp(price[inner]) < 1e-6
        assert np.all(price[~inner] >= price[inner].max() - 1e-6)
        assert asked.spent(found) == pytest.approx(asked.accountant.limit, rel=1e-9)


@settings(max_examples=50, deadline=None)
@given(seed=seeds)
def test_no_schedule_beats_the_solution_and_none_exceeds_power(seed):
    asked = replace(instances.random_problem(np.random.default_rng(seed)), skip_noise=math.inf)
    best = asked.log_objective(leaks("solution", asked))
    for name in instances.BUDGETED:
        found = leaks(name, asked)
        assert np.all(found <= asked.caps)
        assert asked.log_objective(found) >= best - 1e-9


@settings(max_examples=50, deadline=None)
@given(seed=seeds)
def test_silent_rounds_are_those_that_would_be_noisier_than_silence(seed):
    generator = np.random.default_rng(seed)
    asked = replace(instances.random_problem(generator), skip_noise=float(10 ** generator.uniform(-2, 6)))
    for name in instances.BUDGETED:
        found = leaks(name, asked)
        assert np.all(asked.noise(found)[found > 0] < asked.skip_noise)
    silent = leaks("solution", asked)
    always = leaks("solution", replace(asked, skip_noise=math.inf))
    assert asked.log_objective(silent) <= asked.log_objective(always) + 1e-9


@settings(max_examples=50, deadline=None)
@given(seed=seeds, factor=st.floats(1.1, 10))
def test_power_to_spare_changes_nothing_once_no_cap_binds(seed, factor):
    asked = replace(instances.random_problem(np.random.default_rng(seed)), skip_noise=math.inf)
    free = replace(asked, caps=np.full(asked.num_rounds, 1e9))
    assert np.allclose(leaks("solution", free), leaks("solution", replace(free, caps=free.caps * factor)), rtol=1e-9)


@settings(max_examples=40, deadline=None)
@given(seed=seeds)
def test_no_prefix_of_any_run_overspends(seed):
    assert instances.worst_overspend(instances.random_problem(np.random.default_rng(seed))) <= 0


@pytest.mark.long
def test_no_prefix_of_ten_thousand_runs_overspends():
    generator = np.random.default_rng(1)
    assert max(instances.worst_overspend(instances.random_problem(generator)) for _ in range(10_000)) <= 0


def test_extreme_runs_stay_finite():
    generator = np.random.default_rng(1)
    asked = instances.problem(
        instances.weakest_gain_powers(generator, 20_000, 50, 0.0) / 20,  # as the weakest of 1000
        snr_db=40.0,
        clip=100.0,
        sensitivity=200.0,
        contraction=0.9,
        judge=accountant("exact", 1.0, 1e-5, rate=None, num_rounds=20_000),
        skip_noise=math.inf,
    )
    for name in (*instances.BUDGETED, "full"):
        found = leaks(name, asked)
        assert np.isfinite(found).all()
        assert math.isfinite(asked.log_objective(found))
    assert asked.spent(leaks("solution", asked)) <= asked.accountant.limit


@pytest.mark.parametrize("rice_k", [0.0, 5.0])
def test_the_causal_schedule_is_within_a_percent_of_the_one_that_knows_the_future(rice_k):
    generator = np.random.default_rng(3)
    made = {
        "snr_db": -25.0, "clip": 100.0, "sensitivity": 200.0, "contraction": 0.998,
        "judge": accountant("exact", 5.0, 1e-2, rate=None, num_rounds=1000), "skip_noise": (5 * 3000.0) ** 2,
    }  # fmt: skip
    asked, forecast = (
        instances.problem(instances.weakest_gain_powers(generator, 1000, 5, rice_k), **made) for _ in range(2)
    )
    played = instances.play_online(asked, forecast)
    assert asked.spent(played) <= asked.accountant.limit
    assert math.exp(asked.log_objective(played) - asked.log_objective(leaks("solution", asked))) < 1.01


def test_secret_batches_change_the_price_but_not_the_safety():
    generator = np.random.default_rng(5)
    judge = accountant("rdp", 5.0, 1e-5, rate=0.08, num_rounds=400)
    weakest = instances.weakest_gain_powers(generator, 400, 5, 0.0)
    asked = instances.problem(
        weakest, snr_db=40.0, clip=10.0, sensitivity=10 / 64, contraction=0.995, judge=judge, skip_noise=math.inf
    )
    best = asked.log_objective(leaks("solution", asked))
    for name in instances.BUDGETED:
        found = leaks(name, asked)
        assert asked.spent(found) <= judge.limit
        assert asked.log_objective(found) >= best - 1e-6
    assert asked.spent(instances.play_online(asked)) <= judge.limit
    assert np.all(caps_at_full_power(np.array([0.0, 1.0]), 2.0) == [np.inf, 2.0])
