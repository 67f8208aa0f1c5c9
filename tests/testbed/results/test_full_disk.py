"""A run whose n-th write fails, for every n: one line, and a directory that opens and can be resumed."""

import re
import shutil

import pytest

import testbed
from testbed.errors import TestbedError
from testbed.results import plots, report

TINY = {"num_devices": 1, "rounds": {"num": 2, "eval_every": 3}, "task.num_test": 4, "learner.batch_size": 1}
REMEDY = re.compile(
    r".*: No space left on device; [^\n]*(run again|--resume|`testbed report|choose another place)[^\n]*"
)
NUM_PARTS = 8


PLOTS = ("learning_curve", "nmse_by_round", "estimate_against_truth", "time_by_round")
OTHERS = ("errors_explained", "capture_trace", "privacy_by_round")


@pytest.fixture(autouse=True)
def plain_pictures(monkeypatch):
    """Drawing is slow and writes nothing."""
    for name in PLOTS:
        monkeypatch.setattr(plots, name, lambda *_, **__: None)
    for name in OTHERS:
        monkeypatch.setattr(report, name, lambda *_, **__: None)
    monkeypatch.setattr(plots, "rendered", lambda *_: b"a picture")


def state_of(out):
    """What a resumed run finds."""
    run = testbed.Run.open(out)
    files = sorted(str(path.relative_to(out)) for path in out.rglob("*") if path.is_file())
    return (*files, *(type(record).__name__ for record in run.journal), len(run.rounds))


@pytest.mark.timeout(600)  # for a busy machine
@pytest.mark.parametrize(
    "part", [pytest.param(part, marks=pytest.mark.long if part >= 2 else ()) for part in range(NUM_PARTS)]
)
def test_a_run_survives_the_failure_of_any_one_write(tmp_path, fail_at, part):
    counted = fail_at(None)
    testbed.run(overrides=TINY, out=tmp_path / "whole")
    assert counted.num_calls > 60
    states = set()
    num_unbegun = 0
    for n in range(part, counted.num_calls, NUM_PARTS):
        out = tmp_path / f"run-{n}"
        fail_at(n)
        with pytest.raises(TestbedError) as failed:
            testbed.run(overrides=TINY, out=out)
        fail_at(None)
        assert REMEDY.fullmatch(str(failed.value)), failed.value
        assert not list(out.rglob("*.partial"))
        if not (out / "journal.bin").exists():
            assert not out.exists() or not list(out.iterdir())  # the same command may be given again
            assert "run again" in str(failed.value) or "choose another place" in str(failed.value)
            num_unbegun += 1
        elif (state := state_of(out)) not in states:
            states.add(state)
            run = testbed.run(resume=out)
            assert run.summary.stopped == "done"
            assert testbed.replay(run).compared
            assert [record.round for record in run.rounds] == [0, 1]
            assert [record.status for record in run.rounds].count("skipped") <= 1  # charged, and no result
        shutil.rmtree(out, ignore_errors=True)
    assert num_unbegun > 1
    assert len(states) > 1
