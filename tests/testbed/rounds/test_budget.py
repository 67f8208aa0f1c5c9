"""Runs that draw from a data set's budget: once each, before anything is sent, and not without a promise."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from testbed.bench.rig import resolve
from testbed.config.files import load
from testbed.config.schema import RunConfig
from testbed.errors import BudgetError, ConfigError, JournalError
from testbed.planning import dataset_budget as d
from testbed.planning.ledger import Ledger
from testbed.planning.terms import terms_of
from testbed.results import journal as j
from testbed.rounds.budget import count
from testbed.rounds.processes import run_in_one_process
from testbed.rounds.resume import resume
from testbed.rounds.session import Session, begin
from tests.testbed.rounds.test_session import FakeReplica


@pytest.fixture
def budget(tmp_path: Path) -> Path:
    d.create(tmp_path / "data.budget", d.Opened(epsilon=10.0, delta=0.5))
    return tmp_path / "data.budget"


def configured(budget: Path, *overrides: str) -> RunConfig:
    settings = ["num_devices=2", "rounds.num=5", "ground_truth=false", "schedule.name=static"]
    return resolve(load(None, None, [*settings, f"privacy.budget='{budget}'", *overrides]))


def begun(budget: Path, out: Path, *overrides: str) -> Path:
    begin(configured(budget, *overrides), out, FakeReplica()).journal.close()  # type: ignore[arg-type]
    return out


def test_a_run_draws_its_whole_promise_and_a_spent_budget_refuses_the_next(budget, tmp_path):
    begun(budget, tmp_path / "one", "learner.learning_rate=0.001")
    begun(budget, tmp_path / "two")
    assert [(r.epsilon, r.delta) for r in d.read(budget).reserved] == [(5.0, 0.01)] * 2
    with pytest.raises(BudgetError, match=r"allowed: up to \(0, 0.48\)"):
        begun(budget, tmp_path / "three")
    assert not (tmp_path / "three" / "journal.bin").exists()
    assert len(d.read(budget).reserved) == 2


def test_a_resumed_run_draws_no_second_time(budget, tmp_path):
    path = begun(budget, tmp_path / "run")
    for _ in range(2):
        resume(path).journal.close()
    assert len(d.read(budget).reserved) == 1


def test_a_run_directory_that_was_put_back_regains_nothing(budget, tmp_path):
    path = begun(budget, tmp_path / "run")
    shutil.copytree(path, tmp_path / "copy")
    shutil.rmtree(path)
    assert d.read(budget).epsilon_left == 5.0
    resume(tmp_path / "copy").journal.close()
    assert d.read(budget).epsilon_left == 5.0


def test_a_resumed_run_must_have_drawn_from_the_file_that_it_names(budget, tmp_path):
    path = begun(budget, tmp_path / "run")
    budget.rename(tmp_path / "elsewhere")
    with pytest.raises(BudgetError, match="not found"):
        resume(path)
    d.create(budget, d.Opened(epsilon=10.0, delta=0.5))
    with pytest.raises(BudgetError, match="has drawn nothing"):
        resume(path)
    assert d.read(budget).reserved == ()


@pytest.mark.parametrize(
    ("before", "after"),
    [("dp_epsilon = 5.0", "dp_epsilon = 6.0"), ("dp_delta = 0.01", "dp_delta = 0.02"), ("\nseed = 1", "\nseed = 2")],
)
def test_a_resumed_run_must_have_drawn_what_it_promises(budget, tmp_path, before, after):
    path = begun(budget, tmp_path / "run")
    config = path / "config.toml"
    text = config.read_text()
    assert before in text
    config.write_text(text.replace(before, after))
    with pytest.raises((BudgetError, JournalError), match=r"now promises|promises another"):
        resume(path)


@pytest.mark.parametrize("other", ["seed=2", "num_devices=3", "task.partition=dirichlet"])
def test_runs_that_divide_the_data_among_other_clients_do_not_share_a_budget(budget, tmp_path, other):
    begun(budget, tmp_path / "one", "privacy.dp_epsilon=1")
    with pytest.raises(BudgetError, match="unlike clients"):
        begun(budget, tmp_path / "two", "privacy.dp_epsilon=1", other)


def test_at_example_level_any_division_draws_from_one_budget(tmp_path):
    budget = tmp_path / "data.budget"
    d.create(budget, d.Opened(epsilon=10.0, delta=0.5, level="example"))
    for seed in (1, 2):
        begun(budget, tmp_path / f"{seed}", "privacy.level=example", f"seed={seed}")
    assert len(d.read(budget).reserved) == 2


@pytest.mark.parametrize("unbounded", ["schedule.name=full", "ground_truth=true"])
def test_a_run_that_promises_nothing_may_not_use_a_budgeted_data_set(budget, unbounded):
    with pytest.raises(ConfigError, match=r"privacy\.budget: .* promises nothing"):
        configured(budget, unbounded)


def test_a_refused_run_leaves_its_directory_empty_and_the_budget_whole(budget, tmp_path):
    with pytest.raises(BudgetError):
        begun(budget, tmp_path / "run", "privacy.dp_epsilon=11")
    assert list((tmp_path / "run").iterdir()) == []
    assert d.read(budget).reserved == ()


def test_nothing_that_fails_after_the_draw_gives_it_back(budget, tmp_path, monkeypatch):
    def fails(*_: object) -> j.Journal:
        raise JournalError("no journal")

    monkeypatch.setattr(j.Journal, "begun", fails)
    with pytest.raises(JournalError):
        begun(budget, tmp_path / "run")
    assert len(d.read(budget).reserved) == 1


def charge(session: Session) -> None:
    """As the loop does before each transmission."""
    ledger = Ledger(
        session.journal,
        terms_of(session.config),
        past=session.journal.records,
        on_charged=lambda: count(session.config, session.journal.records),
    )
    ledger.charge(session.next_round, 1, 1e-6)


def test_a_whole_directory_that_was_put_back_behind_a_transmission_is_refused(budget, tmp_path):
    path = begun(budget, tmp_path / "run")
    shutil.copytree(path, tmp_path / "copy")
    session = resume(path)
    charge(session)
    session.journal.close()
    with pytest.raises(BudgetError, match="has charged 1 transmissions, and its journal holds 0"):
        resume(tmp_path / "copy")
    resume(path).journal.close()


def test_two_copies_of_a_run_do_not_both_transmit(budget, tmp_path):
    path = begun(budget, tmp_path / "run")
    shutil.copytree(path, tmp_path / "copy")
    one, other = resume(path), resume(tmp_path / "copy")
    charge(one)
    with pytest.raises(BudgetError, match="put back or copied"):
        charge(other)
    one.journal.close()
    other.journal.close()


def test_a_charge_that_a_crash_kept_from_the_count_is_counted_on_resuming(budget, tmp_path):
    path = begun(budget, tmp_path / "run")
    with j.Journal(path / "journal.bin") as journal:
        journal.append(j.Spent(round=0, attempt=1, rho=1e-6))
    resume(path).journal.close()
    (counted,) = (tmp_path / "data.budget.runs").iterdir()
    assert counted.stat().st_size == 1


def test_a_run_whose_count_is_gone_may_not_go_on(budget, tmp_path):
    path = begun(budget, tmp_path / "run")
    session = resume(path)
    shutil.rmtree(tmp_path / "data.budget.runs")
    with pytest.raises(BudgetError, match="counts what the run has sent"):
        charge(session)
    session.journal.close()
    with pytest.raises(BudgetError, match="counts what the run has sent"):
        resume(path)


def test_a_run_counts_what_it_transmits(budget, tmp_path):
    loaded = configured(budget, "rounds.num=3", "rounds.eval_every=3", "task.num_train=64", "task.num_test=8")
    run_in_one_process(loaded, out=tmp_path / "run")
    (counted,) = (tmp_path / "data.budget.runs").iterdir()
    records = j.read(tmp_path / "run" / "journal.bin")
    assert counted.stat().st_size == sum(isinstance(record, j.Spent) for record in records) > 0
