"""`testbed run --experiment jcpba` as a user meets it: a comparison, its picture, cut off and continued, refused."""

import json
import signal
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from matplotlib.image import imread
from transformers import AutoTokenizer, OPTConfig, OPTForCausalLM

from learner.models.load import EMBEDDED_DIR
from testbed.api import run as run_from_python
from testbed.errors import ConfigError
from testbed.jcpba.directory import read_comparison

GSM8K = Path(__file__).parents[2].parent / "shared" / "data" / "gsm8k"
SHORT = [
    *("--set", "jcpba.num_rounds=3"), *("--set", "jcpba.eval_every=2"), *("--set", "jcpba.local_steps=1"),
    *("--set", "rounds.num=6"), *("--set", "rounds.eval_every=3"), *("--set", "task.num_test=64"),
    *("--set", "learner.batch_size=4"),
]  # fmt: skip
METHODS = ["joint", "bcd", "bandwidth", "pruning", "uniform", "equal"]


def lines(directory, method):
    return [json.loads(line) for line in (directory / "methods" / f"{method}.jsonl").read_text().splitlines()]


def test_every_method_and_pairzero_are_trained_on_the_same_links_and_drawn(bench):
    done = bench.run("run", "--rig", "cell_of_ten", "--experiment", "jcpba", "--out", "c", *SHORT)
    assert done.returncode == 0, done.stderr
    assert "JCPBA, joint solver" in done.stdout
    assert "pAirZero, scalars over the air" in done.stdout
    directory = bench.directory / "c"
    found = read_comparison(directory)
    assert [method.name for method in found.methods] == [*METHODS, "pairzero"]
    assert found.stopped == "completed"
    by_name = {method.name: method for method in found.methods}
    for name in METHODS:
        rounds = lines(directory, name)
        assert [each["round"] for each in rounds] == [0, 1, 2]
        assert [each["eval_loss"] is not None for each in rounds] == [False, True, True]
        for each in rounds:
            assert sum(each["shares"]) <= 1
            assert sum(rate**2 for rate in each["pruning"]) <= 10 * 0.3**2
        assert by_name[name].wall_clock_s == pytest.approx(sum(each["deadline_s"] for each in rounds))
        assert by_name["joint"].wall_clock_s <= 1.02 * by_name[name].wall_clock_s  # masks round to whole rows
    assert set(lines(directory, "equal")[0]["weights_sent"]) == {55_296}
    assert max(lines(directory, "joint")[0]["weights_sent"]) < 55_296
    assert len({method.curve[0].loss for method in found.methods}) == 1
    picture = imread(directory / "loss_by_time.png")  # [height, width, channels]
    assert picture.shape[1] > 600
    assert len(np.unique(picture[..., :3].reshape(-1, 3), axis=0)) > 20
    again = bench.run("replay", "c/pairzero")
    assert again.returncode == 0, again.stderr
    refused = bench.run("run", "--rig", "cell_of_ten", "--experiment", "jcpba", "--out", "c", *SHORT)
    assert refused.returncode == 1
    assert "exists and is not empty" in refused.stderr


ONE = ["--set", 'jcpba.methods=["joint"]', "--set", "jcpba.num_rounds=8"]


def test_a_comparison_that_was_killed_goes_on_to_the_same_bits(bench):
    arguments = ["run", "--experiment", "jcpba", *SHORT, *ONE]
    whole = bench.run(*arguments, "--out", "whole")
    assert whole.returncode == 0, whole.stderr
    process = bench.start(*arguments, "--out", "cut")
    cut = bench.directory / "cut"
    while not (cut / "checkpoints" / "joint.safetensors").exists():
        assert process.poll() is None
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    process.wait(60)
    assert not (cut / "results.json").exists()
    with (cut / "methods" / "joint.jsonl").open("ab") as file:
        file.write(b'{"round": 7')  # as a crash cuts a line short
    done = bench.run("run", "--resume", "cut")
    assert done.returncode == 0, done.stderr
    assert lines(cut, "joint") == lines(bench.directory / "whole", "joint")
    for name in ("checkpoints/joint.safetensors", "pairzero/checkpoints/final.safetensors"):
        assert (cut / name).read_bytes() == (bench.directory / "whole" / name).read_bytes()


def test_ctrl_c_keeps_what_was_done_and_says_how_to_go_on(bench):
    process = bench.start("run", "--experiment", "jcpba", *SHORT, "--set", "jcpba.num_rounds=500", "--out", "c")
    rounds = bench.directory / "c" / "methods" / "joint.jsonl"
    while not (rounds.exists() and rounds.read_text().count("\n") >= 3):
        assert process.poll() is None
        time.sleep(0.005)
    process.send_signal(signal.SIGINT)
    stdout, stderr = process.communicate(60)
    assert process.returncode == 130, stderr
    assert "--resume c goes on" in stdout
    assert read_comparison(bench.directory / "c").stopped == "interrupted"
    assert len(lines(bench.directory / "c", "joint")) >= 3


def test_damaged_files_are_refused_in_one_line(bench):
    done = bench.run("run", "--experiment", "jcpba", *SHORT, *ONE, "--out", "c", "--set", "jcpba.pairzero=false")
    assert done.returncode == 0, done.stderr
    rounds = bench.directory / "c" / "methods" / "joint.jsonl"
    rounds.write_bytes(rounds.read_bytes().split(b"\n", 1)[1])
    damaged = bench.run("run", "--resume", "c")
    assert damaged.returncode == 1
    assert "7 rounds where 8 are needed; remove it and" in damaged.stderr
    (bench.directory / "c" / "checkpoints" / "joint.safetensors").write_bytes(b"no weights")
    damaged = bench.run("run", "--resume", "c")
    assert "cannot be read as weights of this model" in damaged.stderr
    assert "Traceback" not in damaged.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["run", "--set", "air.snr_db=inf"], "air.snr_db: got inf with method 'jcpba'"),
        (["run", "--set", "air.doppler_hz=5"], "air.doppler_hz: got 5 with method 'jcpba'"),
        (["run", "--set", "model.dtype=bfloat16"], "model.dtype: got 16 bits with method 'jcpba'"),
        (["run", "--set", "jcpba.max_pruning=1"], "max_pruning: got 1"),
        (["run", "--set", 'jcpba.methods=["joynt"]'], "did you mean 'joint'"),
        (["run", "--rig", "virtual_plutos_shared_clock"], "whose channels nobody knows beforehand"),
        (["access-point"], "method: got 'jcpba', which only `testbed run` plays"),
        (["plan"], "method: got 'jcpba', which only `testbed run` plays"),
    ],
)
def test_what_cannot_be_compared_is_refused(command, arguments, message):
    code, stdout, stderr = command(*arguments, "--experiment", "jcpba")
    assert code == 1
    assert message in stderr, stderr
    assert "Traceback" not in stderr
    assert stdout == ""


def test_python_is_told_where_comparisons_are_made(tmp_path):
    with pytest.raises(ConfigError, match=r"from Python testbed\.jcpba\.comparison\.run_comparison"):
        run_from_python("jcpba", out=tmp_path / "c")


def test_rows_in_the_format_of_yahoo_answers_are_learnt_with_adapters(bench):
    for split, count in (("train", 40), ("test", 20)):
        rows = [{"question_title": f"why is the film so {n % 7} ?", "topic": n % 10} for n in range(count)]
        (bench.directory / f"{split}.jsonl").write_text("\n".join(map(json.dumps, rows)) + "\n")
    done = bench.run(
        *("run", "--experiment", "jcpba", "--out", "c", "--set", "task.path=.", "--set", "task.template=yahoo_answers"),
        *(*SHORT[:-4], "--set", "task.num_test=20", "--set", "learner.batch_size=4", "--set", "model.lora.rank=2"),
        *("--set", 'jcpba.methods=["joint", "equal"]', "--set", "jcpba.pairzero=false"),
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    joint, equal = read_comparison(bench.directory / "c").methods
    assert joint.wall_clock_s < equal.wall_clock_s
    assert joint.uplink_bits_per_device < equal.uplink_bits_per_device


@pytest.mark.skipif(not GSM8K.is_dir(), reason=f"no GSM8K in {GSM8K}")
def test_sums_of_gsm8k_are_learnt_as_completions_with_magnitude_masks(bench):
    torch.manual_seed(0)
    OPTForCausalLM(OPTConfig.from_pretrained(EMBEDDED_DIR, max_position_embeddings=700)).save_pretrained(
        bench.directory
    )
    AutoTokenizer.from_pretrained(EMBEDDED_DIR).save_pretrained(bench.directory)
    done = bench.run(
        *("run", "--experiment", "jcpba", "--out", "c", "--set", f"task.path={GSM8K}", "--set", "task.template=gsm8k"),
        *("--set", "model.path=.", "--set", "task.max_tokens=700", "--set", "task.max_new_tokens=4"),
        *("--set", "task.num_train=60", "--set", "task.num_test=4"),
        *("--set", "jcpba.num_rounds=2", "--set", "jcpba.eval_every=2", "--set", "jcpba.local_steps=1"),
        *("--set", "learner.batch_size=4", "--set", "jcpba.mask=magnitude", "--set", 'jcpba.methods=["joint"]'),
        *("--set", "rounds.num=2", "--set", "rounds.eval_every=2"),
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    joint, pairzero = read_comparison(bench.directory / "c").methods
    assert joint.loss < joint.curve[0].loss
    assert pairzero.num_rounds == 2
