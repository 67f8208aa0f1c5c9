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
    decision = Planner(config, terms).decide(0, limits, ledger, margin=margin)  # type: ignore[arg-type]
    return (decision.power, decision.rho), limits


@pytest.mark.parametrize("name", ["static", "online", "solution", "reversed"])
def test_no_round_leaks_more_than_the_ledger_can_afford(name):
    (power, rho), _ = planned(FakeLedger(1.0, most=1e-4), f"schedule.name={name}")
    assert power.gain > 0
    assert rho is not None
    assert 0 < rho <= 1e-4


def test_a_ledger_that_is_spent_ends_the_run_before_it_transmits():
    with pytest.raises(BudgetSpentError, match="before round 1"):
        planned(FakeLedger(0.0), "schedule.name=static")


def test_what_may_arrive_louder_is_sent_more_quietly():
    (power, rho), _ = planned(FakeLedger(1.0, most=1e-4), "schedule.name=static")
    (careful, charged), _ = planned(FakeLedger(1.0, most=1e-4), "schedule.name=static", margin=2.0)
    assert careful.gain == pytest.approx(power.gain / 2)
    assert charged == pytest.approx(rho)


def test_without_a_budget_all_the_power_there_is_is_used_and_nothing_asked():
    (power, _), limits = planned(FakeLedger(0.0), "schedule.name=full")
    assert power.gain == limits.max_gain(0.0)


@pytest.mark.parametrize("crediting", ["trusted", "untrusted"])
@pytest.mark.parametrize("name", ["static", "online", "solution", "reversed"])
def test_a_round_keeps_one_artificial_noise_through_all_its_attempts(name, crediting):
    config = resolve(
        load(
            None,
            None,
            ["ground_truth=false", "rounds.num=10", f"schedule.name={name}", f"privacy.receiver_noise={crediting}"],
        )
    )
    terms = terms_of(config)
    planner, ledger = Planner(config, terms), FakeLedger(1.0, most=1e-3)
    first = planner.decide(0, limits_of(config, terms, 0.01, 1e-9), ledger)  # type: ignore[arg-type]
    again = planner.decide(0, limits_of(config, terms, 0.03, 4e-9), ledger, before=first.radiated)  # type: ignore[arg-type]
    assert first.power.gain > 0
    assert again.power.gain > 0
    assert again.power.noise_std == first.power.noise_std


def test_where_only_artificial_noise_counts_the_same_value_again_costs_nothing():
    config = resolve(load(None, None, ["ground_truth=false", "schedule.name=static", "scheme.name=digital"]))
    terms = terms_of(config)
    planner = Planner(config, terms)
    first = planner.decide(0, limits_of(config, terms, 0.01, 1e-9), FakeLedger(1.0, most=1e-3))  # type: ignore[arg-type]
    again = planner.decide(0, limits_of(config, terms, 0.02, 1e-9), FakeLedger(0.0), before=first.radiated)  # type: ignore[arg-type]
    assert first.rho is not None
    assert first.rho > 0
    assert again.rho == 0
    assert again.power.gain > 0


def test_values_that_were_drawn_anew_are_charged_by_themselves():
    config = resolve(load(None, None, ["ground_truth=false", "schedule.name=full", "privacy.artificial_noise_std=50"]))
    terms = terms_of(config)
    planner, limits, ledger = Planner(config, terms), limits_of(config, terms, 0.01, 1e-9), FakeLedger(math.inf)
    first = planner.decide(0, limits, ledger)  # type: ignore[arg-type]
    sent = first.radiated.by(frozenset({1, 2}))
    same = planner.decide(0, limits, ledger, before=sent.of(frozenset({1, 2})))  # type: ignore[arg-type]
    other = planner.decide(0, limits, ledger, before=sent.of(frozenset({1, 3})))  # type: ignore[arg-type]
    assert other.rho == pytest.approx(first.rho)
    assert same.rho < 0.9 * first.rho
