"""A run whose n-th write fails, for every n: one line, and a directory that opens and can be resumed."""

import re
import shutil

import pytest

import testbed
from testbed.errors import TestbedError
from testbed.results import report

TINY = {"num_devices": 1, "rounds": {"num": 2, "eval_every": 3}, "task.num_test": 4, "learner.batch_size": 1}
REMEDY = re.compile(
    r".*: No space left on device; [^\n]*(run again|--resume|`testbed report|choose another place)[^\n]*"
)
NUM_PARTS = 4


@pytest.fixture(autouse=True)
def plain_pictures(monkeypatch):
    """Drawing takes seconds and writes nothing."""
    monkeypatch.setattr(report.plots, "rendered", lambda figure: b"a picture")


def state_of(out):
    """What a resumed run finds."""
    run = testbed.Run.open(out)
    files = sorted(str(path.relative_to(out)) for path in out.rglob("*") if path.is_file())
    return (*files, *(type(record).__name__ for record in run.journal), len(run.rounds))


@pytest.mark.parametrize("part", range(NUM_PARTS))
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
    assert num_unbegun > 3
    assert len(states) > 3
