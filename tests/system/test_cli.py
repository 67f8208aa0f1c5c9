"""The command line as a user meets it: exit codes, one-line errors, nothing lost."""

import json
import re
import resource
import signal
import time

import pytest
import torch
from safetensors.torch import load_file

from tests.system.conftest import GIVE_UP_S

SHORT = ["--set", "rounds.num=12", "--set", "rounds.eval_every=6", "--set", "task.num_test=64"]
FILES = ["config.toml", "run.json", "rounds.jsonl", "journal.bin", "summary.json", "report.html"]


def the_one_line(stderr):
    assert "Traceback" not in stderr
    lines = stderr.strip().splitlines()
    assert len(lines) == 1, stderr
    assert lines[0].startswith("error: ")
    return lines[0]


def wait_for_rounds(process, run, num_rounds=1):
    while not ((run / "rounds.jsonl").exists() and (run / "rounds.jsonl").read_text().count("\n") >= num_rounds):
        assert process.poll() is None
        time.sleep(0.01)


def test_a_run_leaves_the_whole_run_directory(bench):
    done = bench.run_fresh("run", "--out", "run", *SHORT)
    assert done.returncode == 0, done.stderr
    run = bench.directory / "run"
    for name in FILES:
        assert (run / name).stat().st_size > 0
    pictures = ("capture", "errors", "estimates", "learning", "nmse", "time")
    assert {path.name for path in (run / "plots").iterdir()} == {
        f"{p}.{kind}" for p in pictures for kind in ("png", "svg")
    }
    assert list((run / "captures").glob("*.sigmf-meta"))
    report = (run / "report.html").read_text()
    assert "VOID: no privacy is claimed" in report
    assert "http" not in report.replace("http-equiv", "")
    records = [json.loads(line) for line in (run / "rounds.jsonl").read_text().splitlines()]
    assert [record["round"] for record in records] == list(range(12))
    wanted = (
        "seed scheme status estimate true_mean nmse_db symbol_snr_db gain artificial_noise_std rho_spent epsilon_spent "
        "loss metric airtime_s uplink_bits_per_device learner_s radio_s control_s wall_s"
    )
    assert set(wanted.split()) <= set(records[0])
    summary = json.loads((run / "summary.json").read_text())
    assert summary["rounds_ok"] == summary["rounds_total"] == 12
    assert summary["uplink_bits_per_device"] is None
    assert summary["payload_symbols_per_round"] == 1
    assert summary["num_devices"] == 5
    assert summary["nmse_db_median"] < -10
    assert "bit-identical: 12 updates" in bench.run("replay", "run").stdout


def test_the_model_after_any_round_can_be_saved_and_trained_on(command, tmp_path):
    assert command("run", "--out", "run", *SHORT)[0] == 0
    for rounds in ("0", "7", "12"):
        assert command("replay", "run", "--rounds", rounds, "--save", f"model-{rounds}")[0] == 0
    first, last = (load_file(tmp_path / f"model-{n}" / "model.safetensors") for n in ("0", "12"))
    final = load_file(tmp_path / "run" / "checkpoints" / "final.safetensors")
    assert all(torch.equal(last[name], final[name]) for name in last)
    assert any(not torch.equal(first[name], final[name]) for name in last)
    assert command("run", "--out", "on", *SHORT, "--set", "model.path=model-7")[0] == 0
    begun = load_file(tmp_path / "on" / "checkpoints" / "initial.safetensors")
    seventh = load_file(tmp_path / "model-7" / "model.safetensors")
    assert all(torch.equal(seventh[name], begun[name]) for name in seventh)
    assert "allowed 0 to 12" in the_one_line(command("replay", "run", "--rounds", "13")[2])
    assert "not an empty directory" in the_one_line(command("replay", "run", "--save", "model-7")[2])


def test_a_changed_weight_is_caught_by_replay(command, tmp_path):
    assert command("run", "--out", "run", *SHORT)[0] == 0
    path = tmp_path / "run" / "checkpoints" / "final.safetensors"
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    code, _, stderr = command("replay", "run")
    assert code == 1
    assert "final weights" in the_one_line(stderr)


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--set", "rounds.nmu=1"], ["rounds.nmu: unknown key", "did you mean 'num'"]),
        (["--set", "rounds.num=0"], ["rounds.num: got 0", ">= 1"]),
        (["--set", "num_devices=0"], ["num_devices: got 0", ">= 1"]),
        (["--experiment", "nothing.toml"], ["no file 'nothing.toml'", "known: "]),
        (["--set", "scheme.name=telepathy"], ["telepathy", "coherent, digital"]),
        (["--set", "model.path=empty"], ["empty"]),
        (["--set", "task.path=nowhere"], ["nowhere"]),
        (["--set", "task.path=one_class"], ["one_class", "label"]),
        (["--set", "task.path=no_rows"], ["no_rows"]),
        (["--set", "task.path=odd_label"], ["odd_label", "'7'"]),
        (["--set", "clock.shared_clock=false"], ["coherent", "shared_clock"]),
        (["--set", "scheme.name=ideal", "--set", "schedule.name=static"], ["schedule.name", "full"]),
        (["--out", "occupied"], ["occupied", "not empty", "--resume"]),
        (["--resume", "empty"], ["empty", "no run directory"]),
    ],
)
def test_bad_input_is_one_line_and_exit_code_1(command, tmp_path, arguments, expected):
    here = tmp_path
    for name in ("empty", "occupied", "one_class", "no_rows", "odd_label"):
        (here / name).mkdir()
    (here / "occupied" / "thesis.txt").write_text("precious")
    (here / "one_class" / "train.tsv").write_text("good\t1\nbetter\t1\n" * 50)
    (here / "one_class" / "test.tsv").write_text("good\t1\nbad\t0\n")
    (here / "no_rows" / "train.tsv").write_text("")
    (here / "no_rows" / "test.tsv").write_text("good\t1\nbad\t0\n")
    (here / "odd_label" / "train.tsv").write_text("good\t1\nbad\t0\nodd\t7\n" * 50)
    (here / "odd_label" / "test.tsv").write_text("good\t1\nbad\t0\n")
    code, _, stderr = command("run", *arguments)
    assert code == 1
    line = the_one_line(stderr)
    for part in expected:
        assert part in line
    assert (here / "occupied" / "thesis.txt").read_text() == "precious"
    assert not (here / "runs").exists()


@pytest.mark.parametrize(
    "arguments", [["--nonsense"], ["run", "--rigg", "x"], ["device"], ["device", "--devices", "x"]]
)
def test_wrong_usage_is_exit_code_2(command, arguments):
    code, _, stderr = command(*arguments)
    assert code == 2
    assert "Traceback" not in stderr


def test_ctrl_c_keeps_the_results_so_far_and_the_run_can_go_on(bench):
    process = bench.start("run", "--out", "run", *SHORT[2:], "--set", "rounds.num=80", "--set", "learner.batch_size=4")
    run = bench.directory / "run"
    wait_for_rounds(process, run)
    process.send_signal(signal.SIGINT)
    stdout, stderr = process.communicate(timeout=GIVE_UP_S)
    assert process.returncode == 130, stderr
    assert "Traceback" not in stderr
    assert "interrupted" in stdout
    before = json.loads((run / "summary.json").read_text())
    assert before["stopped"] == "interrupted"
    assert 0 < before["rounds_total"] < 80
    assert "bit-identical" in bench.run("replay", "run").stdout
    assert bench.run("run", "--resume", "run").returncode == 0
    after = json.loads((run / "summary.json").read_text())
    assert after["rounds_total"] == 80
    assert after["metric_initial"] == before["metric_initial"]
    assert "bit-identical" in bench.run("replay", "run").stdout


def test_a_disk_that_fills_up_ends_the_run_with_one_line_and_it_resumes(bench):
    """A limit on file size, lowered in mid-run, is the kernel's own refusal to write, as on a full disk."""
    process = bench.start("run", "--out", "run", *SHORT[2:], "--set", "rounds.num=80", "--set", "learner.batch_size=4")
    run = bench.directory / "run"
    wait_for_rounds(process, run, 4)  # until then kernels may be compiled, which are written to numba's cache
    size_bytes = (run / "journal.bin").stat().st_size
    resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (size_bytes, size_bytes))
    _, stderr = process.communicate(timeout=GIVE_UP_S)
    assert process.returncode == 1
    assert "Traceback" not in stderr
    last = stderr.splitlines()[-1]  # the journal's write is refused, or that of the round's line, whichever comes next
    assert re.search(r"(journal\.bin|rounds\.jsonl): File too large; .*earlier rounds (are )?safe", last), last
    done = bench.run("run", "--resume", "run")
    assert done.returncode == 0, done.stderr
    assert json.loads((run / "summary.json").read_text())["rounds_total"] == 80
    assert "bit-identical" in bench.run("replay", "run").stdout
