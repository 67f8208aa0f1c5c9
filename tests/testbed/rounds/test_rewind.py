"""A run that SIGKILL cut off between a charge and its result, taken back to its last whole round."""

import shutil
import signal
import subprocess
import sys
import time

import msgspec
import pytest

import testbed
from testbed.errors import ConfigError, JournalError
from testbed.results import journal as j
from testbed.rounds.rewind import check_can_rewind, rewind, whole_rounds

SETTINGS = {
    "rounds.num": 12,
    "rounds.eval_every": 6,
    "task.num_test": 8,
    "task.num_train": 80,
    "scheme.csi": "sounding",
}
SECONDS = ("learner_s", "radio_s", "control_s", "wall_s")


def without_seconds(run):
    return [{k: v for k, v in msgspec.to_builtins(r).items() if k not in SECONDS} for r in run.rounds]


def is_in_a_round(path):
    try:
        records = j.read(path / "journal.bin")
    except JournalError:  # not there yet, or in the middle of a write
        return False
    return len(records) > 6 and isinstance(records[-1], j.Spent)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    return testbed.run(overrides=SETTINGS, out=tmp_path_factory.mktemp("whole") / "run")


@pytest.fixture(scope="module")
def cut_off(tmp_path_factory):
    """Stopped again and again until it is between a charge and its result, and there killed."""
    path = tmp_path_factory.mktemp("cut") / "run"
    changes = [text for key, value in SETTINGS.items() for text in ("--set", f"{key}={value}")]
    for _ in range(20):
        with subprocess.Popen([sys.executable, "-m", "testbed", "run", *changes, "--out", path]) as process:
            while process.poll() is None:
                process.send_signal(signal.SIGSTOP)
                if is_in_a_round(path):
                    process.kill()
                    process.wait()
                    return path
                process.send_signal(signal.SIGCONT)
                time.sleep(0.002)
        shutil.rmtree(path, ignore_errors=True)
    raise AssertionError("no run was ever seen in a round")


def test_a_round_that_was_cut_off_is_played_again_bit_for_bit(tmp_path, cut_off, undisturbed):
    path = shutil.copytree(cut_off, tmp_path / "run")
    assert rewind(path) > 0
    run = testbed.run(resume=path)
    assert run.info.ended_with == undisturbed.info.ended_with
    assert without_seconds(run) == without_seconds(undisturbed)
    assert rewind(path) == 0
    assert [type(r) for r in run.journal] == [type(r) for r in undisturbed.journal]
    assert (path / "journal.bin.1.bak").exists()


def test_without_going_back_it_would_be_a_skipped_round(tmp_path, cut_off, undisturbed):
    run = testbed.run(resume=shutil.copytree(cut_off, tmp_path / "run"))
    assert run.info.ended_with != undisturbed.info.ended_with
    assert "skipped" in [record.status for record in run.rounds]


def test_a_result_without_its_line_in_the_records_is_played_again_too(tmp_path, undisturbed):
    path = shutil.copytree(undisturbed.path, tmp_path / "run")
    lines = (path / "rounds.jsonl").read_bytes().splitlines(keepends=True)
    (path / "rounds.jsonl").write_bytes(b"".join(lines[:7]) + lines[7][:40])
    rewind(path)
    assert sum(isinstance(record, j.Result) for record in j.read(path / "journal.bin")) == 7
    assert not (path / "summary.json").exists()
    run = testbed.run(resume=path)
    assert run.info.ended_with == undisturbed.info.ended_with
    assert without_seconds(run) == without_seconds(undisturbed)


def test_nothing_is_taken_back_while_somebody_writes_the_run(tmp_path, undisturbed):
    path = shutil.copytree(undisturbed.path, tmp_path / "run")
    with j.Journal(path / "journal.bin"), pytest.raises(JournalError, match="another process is writing this run"):
        rewind(path)


def test_what_leaves_traces_outside_its_directory_is_never_taken_back(tmp_path):
    with pytest.raises(ConfigError, match="outside of this process"):
        check_can_rewind(testbed.load(rig="virtual_plutos", experiment="quickstart_energy"))
    budget = {"privacy.budget": str(tmp_path / "b"), "schedule.name": "static", "ground_truth": False}
    with pytest.raises(ConfigError, match=r"privacy\.budget: got .* counts every transmission for good"):
        check_can_rewind(testbed.load(overrides=budget))


def test_what_is_kept_ends_with_the_last_whole_round():
    start = j.Start(version=j.VERSION, run_id="a", initial_fingerprint="b")
    spent = [j.Spent(round=number, attempt=1, rho=0.1) for number in (0, 1, 2, 2)]
    result = [
        j.Result(round=number, attempt=1, status="ok", seed=1, estimates=(), coefficients=()) for number in (0, 1)
    ]
    records = [start, spent[0], result[0], spent[1], result[1], spent[2], spent[3]]
    assert whole_rounds(records, 2) == records[:5]
    assert whole_rounds(records, 1) == records[:3]
    assert whole_rounds(records, 0) == [start]
