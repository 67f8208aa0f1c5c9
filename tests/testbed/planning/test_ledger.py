"""The ledger: charged before, never refunded, never above the budget, the same after a crash."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from testbed.bench.rig import resolve
from testbed.config.files import load
from testbed.planning.ledger import BudgetSpentError, Ledger
from testbed.planning.planner import Planner, limits_of
from testbed.planning.terms import terms_of
from testbed.results import journal as j

PRIVATE = ["ground_truth=false", "schedule.name=static", "rounds.num=40"]
SAMPLED = ["privacy.level=example", "privacy.adjacency=remove", "privacy.batch_rate=0.1", "privacy.example_clip=10"]


def terms(*overrides):
    config = resolve(load(None, None, [*PRIVATE, *overrides]))
    return config, terms_of(config)


@pytest.fixture
def journal(tmp_path):
    with j.Journal(tmp_path / "journal.bin") as made:
        made.append(j.Start(version=1, run_id="run", initial_fingerprint="00"))
        yield made


def test_a_charge_is_on_disk_before_it_counts(journal, tmp_path):
    ledger = Ledger(journal, terms()[1], past=())
    ledger.charge(0, 1, 0.25)
    assert j.read(tmp_path / "journal.bin")[-1] == j.Spent(round=0, attempt=1, rho=0.25)
    assert ledger.rho == 0.25


def test_what_is_not_affordable_is_refused_and_not_written(journal):
    _, made = terms()
    ledger = Ledger(journal, made, past=())
    ledger.charge(0, 1, made.accountant.limit * 0.75)
    before = list(journal.records)
    with pytest.raises(BudgetSpentError, match="would exceed it"):
        ledger.charge(1, 1, made.accountant.limit * 0.26)
    with pytest.raises(BudgetSpentError):
        ledger.charge(1, 1, None)
    with pytest.raises(BudgetSpentError):
        ledger.charge(1, 1, math.inf)
    with pytest.raises(BudgetSpentError):
        ledger.charge(1, 1, math.nan)
    assert journal.records == before
    assert ledger.affordable(1, 10.0) == pytest.approx(made.accountant.limit * 0.25)


@pytest.mark.parametrize("overrides", [[], SAMPLED])
def test_a_resumed_ledger_continues_the_same_one(journal, overrides):
    _, made = terms(*overrides)
    first = Ledger(journal, made, past=())
    for round_index, attempt in ((0, 1), (0, 2), (1, 1), (2, 1), (2, 2)):
        first.charge(round_index, attempt, 0.01)
    again = Ledger(journal, made, past=journal.records)
    assert (again.cost, again.epsilon, again.rho) == (first.cost, first.epsilon, first.rho)
    again.charge(2, 3, 0.01)
    first.charge(2, 3, 0.01)
    assert again.cost == first.cost


def test_attempts_of_one_round_cost_at_least_what_rounds_do(journal):
    _, made = terms(*SAMPLED)
    together, apart = Ledger(journal, made, past=()), Ledger(journal, made, past=())
    for k in range(4):
        together.charge(0, k + 1, 0.3)
        apart.charge(k, 1, 0.3)
    assert together.cost > apart.cost


def test_without_a_budget_everything_is_written_and_nothing_refused(journal):
    config, made = terms("schedule.name=full")
    assert config.experiment.schedule.name == "full"
    ledger = Ledger(journal, made, past=())
    ledger.charge(0, 1, 1e9)
    ledger.charge(1, 1, None)
    assert ledger.unbounded
    assert ledger.epsilon is None


CASES = [
    [],
    ["schedule.name=online"],
    ["schedule.name=solution"],
    ["schedule.name=paper"],
    ["schedule.name=reversed", "schedule.contraction=0.9"],
    ["schedule.name=online", "schedule.skip_rms=50"],
    ["schedule.name=solution", "privacy.receiver_noise=untrusted"],
    ["schedule.name=online", *SAMPLED],
    ["schedule.name=static", "privacy.accountant=pld", *SAMPLED],
    ["schedule.name=static", "scheme.name=digital"],
    ["schedule.name=solution", "schedule.min_gain=1e-4"],
]
MADE = [terms("rounds.num=12", *case) for case in CASES]


@settings(max_examples=20, deadline=None)
@given(case=st.sampled_from(range(len(CASES))), data=st.data())
def test_whatever_channels_and_retries_come_no_prefix_overspends(tmp_path_factory, case, data):
    config, made = MADE[case]
    limit = made.accountant.limit
    with j.Journal(tmp_path_factory.mktemp("ledger") / "journal.bin") as journal:
        ledger = Ledger(journal, made, past=())
        planner = Planner(config, made)
        for round_index in range(config.experiment.rounds.num):
            radiated, heard, charged = None, [], 0.0
            for attempt in range(1, 1 + data.draw(st.sampled_from([1, 1, 2, 3]))):
                amplitude = data.draw(st.floats(1e-6, 1))
                limits = limits_of(config, made, amplitude, data.draw(st.floats(1e-9, 1e-3)))
                margin = data.draw(st.floats(1, 3))
                try:
                    decision = planner.decide(round_index, limits, ledger, margin=margin, before=radiated)
                    power, rho = decision.power, decision.rho
                    if power.gain > 0:
                        ledger.charge(round_index, attempt, rho)
                        radiated = decision.radiated
                        heard.append((power.gain * margin, power.noise_std, limits.noise_variance))
                        charged += rho
                except BudgetSpentError:
                    assert ledger.remaining < 1e-6 * limit
                    return
                assert ledger.cost <= limit
            if heard:
                assert charged >= true_leak(heard, made) * (1 - 1e-9)


def true_leak(heard, made) -> float:
    """ρ of the best linear combination of all that one round has radiated: rows of gain, σ and N0'."""
    gains, stds, variances = np.array(heard).T
    receiver = variances / (gains**2 * made.crediting.payload_energy) * made.crediting.receiver_trusted
    # the artificial noise is one draw, scaled by each attempt's σ; receiver noise is anew in each
    covariance = np.outer(stds, stds) * made.crediting.num_noise_sources + np.diag(receiver)
    # maximise (w·1)²/(w'Σw): where Σ is singular, ask whether 1 has a part that no noise covers
    ones = np.ones(len(heard))
    values, vectors = np.linalg.eigh(covariance)
    seen = (vectors.T @ ones) ** 2
    if np.any(seen[values <= 1e-12 * values.max()] > 1e-9):
        return np.inf
    kept = values > 1e-12 * values.max()
    return float(made.sensitivity**2 / 2 * np.sum(seen[kept] / values[kept]))
