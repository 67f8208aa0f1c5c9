"""The sign scheme's schedules: the corrected published optimum, and the sound one."""

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize

from testbed.privacy.accountants import accountant
from testbed.schedule.problem import Problem, log_weights
from testbed.schedule.registry import schedule
from testbed.schedule.votes import Votes

PAPER = Votes(num_devices=5, error_probability=0.4960)


def problem(num_rounds: int, contraction: float, cap: float = np.inf, judge: str = "exact") -> Problem:
    return Problem(
        log_weights=log_weights(num_rounds, contraction),
        caps=np.full(num_rounds, cap),
        sensitivity=2.0,
        accountant=accountant(judge, 5.0, 1e-2, rate=None, num_rounds=num_rounds),
    )


def test_the_corrected_theorem_transmits_in_the_last_73_rounds_only():
    asked = problem(8000, 0.998, judge="paper")
    found = schedule("paper").leaks(replace(asked, votes=PAPER))
    assert np.flatnonzero(found).tolist() == list(range(8000 - 73, 8000))
    assert asked.spent(found) == pytest.approx(asked.accountant.limit)


@pytest.mark.parametrize("error_probability", [0.496, 0.3, 0.05])
def test_the_solution_is_as_good_as_a_general_solver(error_probability):
    votes, asked = Votes(num_devices=5, error_probability=error_probability), problem(8, 0.7, cap=0.6)
    found = schedule("solution").leaks(replace(asked, votes=votes))

    def loss(rho):
        return float(np.sum(np.exp(asked.log_weights) * votes.wrong(rho / 2)))

    best = minimize(
        loss,
        np.full(8, asked.accountant.limit / 9),
        method="SLSQP",
        bounds=[(1e-9, 0.6)] * 8,
        constraints=[{"type": "ineq", "fun": lambda rho: asked.accountant.limit - float(rho.sum())}],
        options={"ftol": 1e-15, "maxiter": 999},
    )
    assert loss(found) <= best.fun * (1 + 1e-6)
    assert found.max() <= 0.6


@settings(max_examples=50, deadline=None)
@given(
    num_devices=st.integers(1, 100), error=st.floats(0.01, 0.49), cap=st.floats(1e-6, 10), num_rounds=st.integers(1, 60)
)
def test_no_schedule_of_votes_overspends_or_beats_the_solution(num_devices, error, cap, num_rounds):
    votes, asked = Votes(num_devices=num_devices, error_probability=error), problem(num_rounds, 0.95, cap)
    best = votes.log_loss(asked.log_weights, schedule("solution").leaks(replace(asked, votes=votes)))
    for name in ("paper", "solution", "static", "reversed"):
        found = schedule(name).leaks(replace(asked, votes=votes))
        assert asked.spent(found) <= asked.accountant.limit
        assert np.all((found >= 0) & (found <= cap))
        assert votes.log_loss(asked.log_weights, found) >= best - 1e-9


def test_a_silent_vote_is_a_coin_and_a_loud_one_errs_as_the_devices_do():
    assert float(PAPER.wrong(np.array(0.0))) == 0.5
    sure = Votes(num_devices=1, error_probability=0.1)
    assert float(sure.wrong(np.array(1e12))) == pytest.approx(0.5 * math.erfc(0.8 / math.sqrt(0.36) / math.sqrt(2)))


def test_a_causal_schedule_of_votes_uses_all_the_power_where_that_is_free():
    loose = replace(problem(20, 0.9, cap=1e-4), votes=PAPER)
    found = schedule("online")
    found.begin(loose)
    assert [found.next(t, 1e-4, loose.accountant.limit) for t in range(20)] == [1e-4] * 20
