"""Whole sweeps by their command: real Dask processes on loopback, killed, interrupted, and compared."""

import argparse
import csv
import json
import signal
import time
from pathlib import Path

import msgspec
import psutil
import pyarrow.parquet
import pytest

import testbed
from benchmarks import sweep as benchmark
from testbed.comparison.tables import records
from testbed.sweep.directory import SweepDirectory

FILE = """
[sweep]
seeds = 2
[sweep.set]
task.num_train = 80
task.num_test = 8
rounds.num = {rounds}
rounds.eval_every = 2
[sweep.grid]
air.snr_db = [0.0, 20.0]
learner.batch_size = {sizes}
"""


@pytest.mark.long  # some thirteen processes are started, one after the other
@pytest.mark.timeout(1500)
def test_workers_client_and_scheduler_may_be_killed_and_nothing_is_lost_repeated_or_different(tmp_path):
    asked = argparse.Namespace(runs=6, settings=2, rounds=12, workers=1, kill_every_s=0.0, max_kills=3, limit_s=400.0)
    found = benchmark.measure(tmp_path, asked)
    assert found["kills"] == {"worker": 1, "client": 1, "scheduler": 1}
    assert found["rounds_seen_after_kills"] > 0
    told = {key: found[key] for key in ("runs", "lost", "repeated", "fingerprints_differ", "records_differ")}
    assert told == {"runs": 6, "lost": 0, "repeated": 0, "fingerprints_differ": 0, "records_differ": 0}


@pytest.fixture(scope="module")
def swept(tmp_path_factory):
    """A sweep in which every second setting is refused, after its first call."""
    folder = tmp_path_factory.mktemp("swept")
    (folder / "mixed.toml").write_text(FILE.format(rounds=4, sizes=[2, 0]), encoding="utf-8")
    return folder


def test_failures_are_told_and_the_rest_is_done_once(swept, command):
    call = ("sweep", str(swept / "mixed.toml"), "--out", str(swept / "out"), "--workers", "1")
    code, out, _ = command(*call, "--json")
    found = json.loads(out)
    assert (code, found["runs"], found["done"], len(found["failed"])) == (1, 8, 4, 4)
    assert all("learner.batch_size: got 0" in reason for reason in found["failed"].values())
    before = {path: path.read_bytes() for path in (swept / "out" / "runs").glob("*/summary.json")}
    code, out, _ = command(*call)
    assert code == 1
    assert "4 of 8 runs done, 4 failed, 0 left" in out
    assert {path: path.read_bytes() for path in before} == before
    code, out, _ = command("sweep", str(swept / "mixed.toml"), "--out", str(swept / "out"), "--dry-run")
    assert (code, out.count("refused"), out.count("done")) == (0, 4, 4)

    rows = list(csv.DictReader((swept / "out" / "runs.csv").read_text(encoding="utf-8").splitlines()))
    assert [row["state"] for row in rows] == ["done" if row["learner.batch_size"] == "2" else "failed" for row in rows]
    table = pyarrow.parquet.read_table(swept / "out" / "rounds.parquet")
    assert table.num_rows == 4 * 4
    assert set(table["air.snr_db"].to_pylist()) == {0.0, 20.0}
    page = (swept / "out" / "report.html").read_text(encoding="utf-8")
    assert "4 of 8 runs failed and are in no mean" in page

    code, out, _err = command("compare", str(swept / "out"), "--json")
    compared = json.loads(out)
    assert (code, len(compared["settings"]), compared["differences"][0]["metric_final"]["num"]) == (0, 2, 2)
    code, _, _ = command("report", str(swept / "out"), "--out", str(swept / "page.html"))
    assert code == 0
    assert (swept / "page" / "learning-1.png").stat().st_size > 10_000


def test_ctrl_c_ends_workers_and_leaves_every_run_free(tmp_path, bench):
    (tmp_path / "long.toml").write_text(FILE.format(rounds=400, sizes=[2]), encoding="utf-8")
    sweep = SweepDirectory(tmp_path / "out")
    process = bench.start_fresh("sweep", str(tmp_path / "long.toml"), "--out", str(sweep.path), "--workers", "2")
    while not any(path.stat().st_size for path in sweep.runs.glob("*/rounds.jsonl")):
        assert process.poll() is None
        time.sleep(0.2)
    workers = psutil.Process(process.pid).children(recursive=True)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=300)
    assert process.returncode == 130, err
    assert "Traceback" not in err
    assert "goes on" in err
    _, alive = psutil.wait_procs(workers, timeout=30)
    assert not alive
    names = [run.name for run in sweep.read_plan().runs]
    assert sweep.held(names) == []
    assert any(sweep.seen(name).state == "cut off" for name in names)


def test_wrong_words_are_answered_in_one_line(tmp_path, command):
    (tmp_path / "right.toml").write_text(FILE.format(rounds=4, sizes=[2]), encoding="utf-8")
    (tmp_path / "empty").mkdir()
    cases = {
        ("sweep", str(tmp_path / "none.toml")): "cannot be read",
        ("sweep", str(tmp_path / "right.toml"), "--scheduler", "nonsense://x"): "--scheduler: got 'nonsense://x'",
        ("compare", str(tmp_path / "empty")): "no run directory, and none in it",
    }
    for call, words in cases.items():
        code, _, err = command(*call)
        assert (code, "Traceback" in err) == (1, False), err
        assert words in err.strip().splitlines()[-1]


def test_the_rounds_of_a_run_are_an_arrow_table_with_nulls_for_what_is_not_known(tmp_path):
    run = testbed.run(
        overrides={"rounds": {"num": 3, "eval_every": 2}, "task.num_test": 8, "num_devices": 2}, out=tmp_path / "run"
    )
    table = testbed.records(run)
    assert table.num_rows == 3
    assert table.equals(records(Path(tmp_path / "run")))
    assert table["metric"].to_pylist()[0] is None
    assert table["metric"].to_pylist()[1] == run.rounds[1].metric
    assert table["estimate_0"].to_pylist() == [record.estimate[0] for record in run.rounds]
    assert msgspec.json.encode(table.to_pylist()[0]["status"]) == b'"ok"'
