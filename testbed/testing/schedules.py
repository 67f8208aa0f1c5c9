"""What every schedule must do: ask for leaks that are some, and keep the budget it says it keeps."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest

from testbed.privacy.accountants import accountant
from testbed.schedule.artificial import DeviceNoise
from testbed.schedule.base import Schedule, Told
from testbed.schedule.problem import Problem, caps_at_full_power, log_weights
from testbed.schedule.votes import Votes

NUM_ROUNDS = 24


class ScheduleContract:
    """Derive a class from this one and give it a fixture `schedule`, a new schedule under test.

    >>> class TestLinear(ScheduleContract):
    ...     @pytest.fixture
    ...     def schedule(self) -> Schedule:
    ...         return Linear()
    """

    def test_its_facts_fit_together(self, schedule: Schedule) -> None:
        """A schedule that decides round by round needs no future."""
        assert isinstance(schedule.name, str)
        assert not (schedule.is_causal and schedule.needs_future)
        assert schedule.keeps_budget or not (schedule.is_causal or schedule.needs_future)

    @pytest.mark.parametrize("seed", range(8))
    def test_it_plans_a_leak_for_every_round_within_power_and_budget(self, schedule: Schedule, seed: int) -> None:
        """On channels that are all known, the same each time."""
        for problem in problems(seed):
            found = schedule.leaks(problem)
            assert found.shape == (NUM_ROUNDS,)
            assert np.all((found >= 0) & (found <= problem.caps))
            assert np.array_equal(found, schedule.leaks(problem))
            if schedule.keeps_budget:
                assert problem.spent(found) <= problem.accountant.limit

    @pytest.mark.parametrize("seed", range(4))
    def test_a_run_round_by_round_never_overspends(self, schedule: Schedule, seed: int) -> None:
        """However often transmissions are repeated; the ledger would end such a run early."""
        if not schedule.keeps_budget:
            pytest.skip("this schedule has no budget")
        generator = np.random.default_rng(seed)
        for problem in problems(seed):
            remaining = limit = problem.accountant.limit
            schedule.begin(problem if schedule.needs_future else unknown(problem))
            for round_index, cap in enumerate(problem.caps):
                for _ in range(1 + generator.integers(2)):
                    wanted = schedule.next(round_index, float(cap), max(0.0, remaining))
                    assert 0 <= wanted < math.inf
                    remaining -= float(problem.accountant.cost(np.array(min(wanted, cap))))
                    assert remaining >= -1e-9 * limit

    @pytest.mark.parametrize("num_before", [1, 2, 7, 19])
    def test_told_its_past_again_it_goes_on_bit_for_bit(self, schedule: Schedule, num_before: int) -> None:
        """As in a run that was cut off and resumed: an object that never stopped asks for the same."""
        if not schedule.keeps_budget:
            pytest.skip("this schedule has no budget")
        for problem in problems(num_before):
            told, asked, remaining = [], [], problem.accountant.limit
            begun = problem if schedule.needs_future else unknown(problem)
            schedule.begin(begun)
            for round_index, cap in enumerate(problem.caps):
                told.append(Told(round_index, float(cap), max(0.0, remaining)))
                asked.append(schedule.next(round_index, float(cap), max(0.0, remaining)))
                remaining -= float(problem.accountant.cost(np.array(min(asked[-1], cap))))
            schedule.begin(begun)
            schedule.replay(told[:num_before])
            assert [schedule.next(each.round_index, each.cap, each.remaining) for each in told[num_before:]] == asked[
                num_before:
            ]

    def test_it_asks_for_nothing_where_nothing_is_left(self, schedule: Schedule) -> None:
        """Silence is the only transmission that costs nothing."""
        if not schedule.keeps_budget:
            pytest.skip("this schedule has no budget")
        problem = next(problems(1))
        schedule.begin(problem if schedule.needs_future else unknown(problem))
        assert schedule.next(0, float(problem.caps[0]), 0.0) == 0

    def test_one_round_is_a_run_too(self, schedule: Schedule) -> None:
        """The shortest one."""
        problem = next(problems(2))
        short = replace(problem, log_weights=problem.log_weights[:1], caps=problem.caps[:1])
        assert schedule.leaks(short).shape == (1,)


def unknown(problem: Problem) -> Problem:
    """The same problem for who does not know its channels."""
    device_noise = problem.device_noise
    if device_noise is not None:
        device_noise = replace(device_noise, receiver=np.zeros_like(problem.caps))
    return replace(problem, caps=np.full(problem.num_rounds, math.inf), device_noise=device_noise)


def problems(seed: int) -> Iterator[Problem]:
    """Rayleigh channels under every threat model: trusted receiver noise (bounded, too), votes, devices' own noise."""
    generator = np.random.default_rng(seed)
    weakest = (np.abs(generator.standard_normal((NUM_ROUNDS, 5, 2)) @ np.array([1, 1j])) ** 2).min(axis=1)  # [T]
    noise = 10 ** generator.uniform(-3, 3) / weakest
    plain = Problem(
        log_weights=log_weights(NUM_ROUNDS, 0.97),
        caps=caps_at_full_power(noise, 2.0),
        sensitivity=2.0,
        accountant=accountant("exact", float(generator.uniform(0.5, 8)), 1e-3, rate=None, num_rounds=NUM_ROUNDS),
    )
    yield plain
    yield replace(plain, skip_noise=float(10 ** generator.uniform(0, 4)))
    yield replace(plain, votes=Votes(num_devices=5, error_probability=0.4))
    yield replace(
        plain,
        caps=np.full(NUM_ROUNDS, math.inf),
        device_noise=DeviceNoise(receiver=noise, num_devices=5, num_noise_sources=1, clip=1.0),
    )
