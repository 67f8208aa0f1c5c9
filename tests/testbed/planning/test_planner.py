"""The planner alone, between a schedule by name and a ledger that only says what is left."""

from __future__ import annotations

import math
from dataclasses import dataclass

import pytest

from testbed.bench.rig import resolve
from testbed.config.files import load
from testbed.planning.ledger import BudgetSpentError
from testbed.planning.planner import Planner, limits_of
from testbed.planning.terms import terms_of


@dataclass
class FakeLedger:
    """So much is left, and a round may leak at most ``most``."""

    remaining: float
    most: float = math.inf

    @property
    def is_spent(self) -> bool:
        return self.remaining <= 0

    def affordable(self, round_index: int, rho: float) -> float:
        return min(rho, self.most)


def planned(ledger: FakeLedger, *overrides: str, margin: float = 1.0):
    config = resolve(load(None, None, ["ground_truth=false", "rounds.num=10", *overrides]))
    terms = terms_of(config)
    limits = limits_of(config, terms, 0.01, 1e-9)
    return Planner(config, terms).decide(0, limits, ledger, margin=margin), limits  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["static", "online", "solution", "reversed"])
def test_no_round_leaks_more_than_the_ledger_can_afford(name):
    (power, rho), _ = planned(FakeLedger(1.0, most=1e-4), f"schedule.name={name}")
    assert power.gain > 0
    assert rho is not None
    assert 0 < rho <= 1e-4


def test_a_ledger_that_is_spent_ends_the_run_before_it_transmits():
    with pytest.raises(BudgetSpentError, match="before round 0"):
        planned(FakeLedger(0.0), "schedule.name=static")


def test_what_may_arrive_louder_is_sent_more_quietly():
    (power, rho), _ = planned(FakeLedger(1.0, most=1e-4), "schedule.name=static")
    (careful, charged), _ = planned(FakeLedger(1.0, most=1e-4), "schedule.name=static", margin=2.0)
    assert careful.gain == pytest.approx(power.gain / 2)
    assert charged == pytest.approx(rho)


def test_without_a_budget_all_the_power_there_is_is_used_and_nothing_asked():
    (power, _), limits = planned(FakeLedger(0.0), "schedule.name=full")
    assert power.gain == limits.max_gain(0.0)
