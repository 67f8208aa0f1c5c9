"""The best round by validation, and an early end: decided from the record, rebuilt from the journal."""

from pathlib import Path

import msgspec
import pytest

from learner.config import ModelConfig
from learner.zo.replica import Replica
from testbed.bench.rig import resolve
from testbed.config.files import load
from testbed.config.schema import Experiment, RoundsConfig, TaskConfig
from testbed.errors import ConfigError
from testbed.results import journal as j
from testbed.results.records import RoundRecord
from testbed.results.run import Run
from testbed.rounds import loop, processes
from testbed.rounds.evaluations import best_round, early_end
from testbed.rounds.processes import run_in_one_process
from testbed.rounds.replay import replay_run

PATIENT = Experiment(task=TaskConfig(num_validation=8), rounds=RoundsConfig(patience=2))


def records(*losses):
    return [
        RoundRecord(round=t, seed=t, scheme="ideal", status="ok", attempt=1, validation_loss=loss)
        for t, loss in enumerate(losses)
    ]


def test_the_best_round_has_the_least_validation_loss_and_is_the_first_of_equals():
    best = best_round(records(None, 0.5, None, 0.3, 0.3, 0.4))
    assert best is not None
    assert best.round == 3
    assert best_round(records(None, None)) is None


def test_patience_counts_evaluations_since_the_best_one():
    assert early_end(PATIENT, records(0.5, None, 0.4, 0.6, None)) is None
    assert early_end(PATIENT, records(0.5, 0.4, 0.6, None, 0.4)) == (
        "the validation loss has not fallen in 2 evaluations (rounds.patience); best after round 1"
    )
    assert early_end(Experiment(), records(0.5, 0.6, 0.7, 0.8)) is None


def test_patience_without_a_validation_split_is_refused():
    with pytest.raises(ConfigError, match=r"rounds\.patience: got 2 without a validation split"):
        Experiment(rounds=RoundsConfig(patience=2))


class Cut(loop.Quiet):
    """Stops a run after so many rounds."""

    def __init__(self, num_rounds):
        self.num_rounds, self.seen = num_rounds, 0

    def round_done(self, record):
        self.seen = record.round + 1

    def should_stop(self):
        return self.seen >= self.num_rounds


def left_by(path: Path):
    run = Run.open(path)
    kept = [(r.round, r.estimate, r.metric, r.validation_loss, r.validation_metric) for r in run.rounds]
    results = [(r.seed, r.coefficients) for r in run.journal if isinstance(r, j.Result)]
    assert run.summary is not None
    return kept, results, run.summary.best_round, run.summary.stopped, run.directory.best_weights.read_bytes()


def test_a_run_ends_early_keeps_its_best_weights_and_decides_the_same_when_it_is_resumed(tmp_path, monkeypatch):
    monkeypatch.setattr(processes, "write_report", lambda directory: None)
    small = ("num_devices=2", "task.num_test=8", "task.num_validation=32", "learner.batch_size=4", "scheme.name=ideal")
    early = ("rounds.num=40", "rounds.eval_every=2", "rounds.patience=3", "learner.learning_rate=3e-3")
    config = resolve(load("ideal", None, [*small, *early]))
    run_in_one_process(config, out=tmp_path / "at once", progress=loop.Quiet())
    for number, cut in enumerate((3, 5, 99)):
        seen = Cut(cut)
        where = {"resume": tmp_path / "in parts"} if number else {"out": tmp_path / "in parts"}
        run_in_one_process(config, progress=seen, should_stop=seen.should_stop, **where)
    kept, _, best, stopped, weights = left_by(tmp_path / "at once")
    assert left_by(tmp_path / "in parts") == left_by(tmp_path / "at once")
    assert stopped.startswith("the validation loss has not fallen in 3 evaluations")
    assert len(kept) == best + 1 + 6 < 40  # three evaluations, two rounds apart
    replayed = replay_run(tmp_path / "at once", num_rounds=best + 1)
    best_model = Run.open(tmp_path / "at once").weights("best")
    replica = Replica.load(ModelConfig())
    replica.load_weights(tmp_path / "at once" / "checkpoints" / "best.safetensors")
    assert replica.fingerprint() == replayed.fingerprint
    assert set(best_model) == set(replica.weights())
    assert replay_run(tmp_path / "at once").compared  # the final weights are those of the last round, as hosts hold
    again = run_in_one_process(config, resume=tmp_path / "at once", progress=loop.Quiet())
    assert msgspec.to_builtins(again.summary)["rounds_total"] == len(kept)
    assert weights == (tmp_path / "at once" / "checkpoints" / "best.safetensors").read_bytes()
