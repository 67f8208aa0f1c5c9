"""`import testbed`: what a notebook or a script meets."""

import importlib.util
import subprocess
import sys
import threading
from pathlib import Path

import msgspec
import numpy as np
import pytest

import testbed
from testbed.errors import ConfigError, RunDirectoryError
from testbed.failures import EXPECTED
from testbed.results.records import RoundRecord
from testbed.results.run import columns_of

ROOT = Path(__file__).parents[2]
TINY = {"num_devices": 2, "rounds": {"num": 4, "eval_every": 2}, "task.num_test": 8, "learner.batch_size": 2}


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    return testbed.run("quickstart", rig="loopback", overrides=TINY, out=tmp_path_factory.mktemp("runs") / "finished")


def test_importing_the_package_imports_nothing_that_is_slow():
    code = (
        "import sys, testbed; slow = {'torch', 'numba', 'scipy', 'msgspec', 'typer'} & set(sys.modules); "
        "assert not slow, slow; assert set(testbed.__all__) <= set(dir(testbed)); testbed.Experiment; "
        "assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)


def test_every_public_name_is_there_and_an_unknown_one_says_which_are():
    for name in testbed.__all__:
        assert getattr(testbed, name).__doc__
    with pytest.raises(AttributeError, match="no attribute 'runn'; it has Experiment, "):
        _ = testbed.runn


def test_the_packages_say_that_they_are_typed():
    for package in ("testbed", "radio", "learner"):
        assert (Path(importlib.util.find_spec(package).origin).parent / "py.typed").is_file()


def test_names_paths_and_records_make_the_same_configuration(tmp_path):
    config = testbed.load("quickstart", "loopback", {"seed": 2, "rounds": {"num": 7}})
    assert (config.experiment.seed, config.experiment.rounds.num) == (2, 7)
    rig = testbed.load().rig
    path = ROOT / "testbed" / "experiments" / "quickstart.toml"
    if not path.exists():  # wherever the experiments live
        path = next((ROOT / "testbed").rglob("quickstart.toml"))
    assert testbed.load(path, rig, ["seed=2", "rounds.num=7"]) == config
    assert testbed.load(config.experiment, "loopback") == config
    assert testbed.load(config) == config
    changed = msgspec.structs.replace(config.experiment, seed=2**40)
    assert testbed.load(changed, rig, {"rounds.num": 9}).experiment.seed == 2**40
    assert testbed.load(changed, rig, {"rounds.num": 9}).experiment.rounds.num == 9


def test_overrides_take_what_python_has():
    overrides = {
        "name": 'a "b" [red]',
        "seed": np.int64(3),
        "air.snr_db": np.float32(1.5),
        "air.iq": None,
        "task.path": Path("embedded"),
        "pluto.devices": ("ip:a", "ip:b"),
        "ground_truth": False,
        "task": {"verbalizer": {"0": " bad", "1": " good"}},
    }
    with pytest.raises(ConfigError, match=r"overrides: air\.iq: got None; allowed: .* leave the key out"):
        testbed.load(overrides=overrides)
    del overrides["air.iq"]
    config = testbed.load(overrides=overrides)
    assert config.experiment.name == 'a "b" [red]'
    assert (config.experiment.seed, config.rig.air.snr_db, config.experiment.ground_truth) == (3, 1.5, False)
    assert config.rig.pluto.devices == ("ip:a", "ip:b")
    assert config.experiment.task.verbalizer == {"0": " bad", "1": " good"}


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: testbed.load(overrides="seed=2"), r'write \["seed=2"\]'),
        (lambda: testbed.load(overrides={"sed": 2}), "did you mean 'seed'"),
        (lambda: testbed.load("nothing"), "no file 'nothing'"),
        (lambda: testbed.load(testbed.load(), "loopback"), "beside a whole RunConfig"),
        (lambda: testbed.run("quickstart", resume="x"), "keeps its own; leave them out"),
        (lambda: testbed.run(resume="nowhere"), "nowhere: no run directory"),
        (lambda: testbed.Run.open("nowhere"), "nowhere: no run directory"),
        (lambda: testbed.replay("nowhere"), "nowhere: no run directory"),
    ],
)
def test_what_cannot_be_done_is_one_expected_line(call, words):
    with pytest.raises(EXPECTED, match=words) as refused:
        call()
    assert "\n" not in str(refused.value)


def test_a_run_in_a_thread_prints_nothing_and_leaves_the_signals_alone(tmp_path, capsys):
    records, results = [], []
    thread = threading.Thread(
        target=lambda: results.append(testbed.run(overrides=TINY, out=tmp_path / "run", progress=records.append))
    )
    thread.start()
    thread.join()
    assert [record.round for record in records] == [0, 1, 2, 3]
    assert tuple(records) == results[0].rounds
    assert capsys.readouterr() == ("", "")


def test_a_run_that_is_asked_to_stop_can_be_resumed(tmp_path):
    seen = []
    run = testbed.run(overrides=TINY, out=tmp_path / "run", progress=seen.append, should_stop=lambda: len(seen) >= 2)
    assert run.summary.stopped == "interrupted"
    assert len(run.rounds) == 2
    resumed = testbed.run(resume=run.path)
    assert len(resumed.rounds) == 4
    assert testbed.replay(resumed).compared


def test_a_run_shows_all_that_its_directory_holds(finished):
    run = testbed.Run.open(str(finished.path))
    assert repr(run) == repr(finished)
    assert repr(run).startswith(f"<Run '{run.path}': quickstart, coherent, seed 1, 4 of 4 rounds, accuracy ")
    assert run.config == testbed.load(overrides=TINY)
    assert run.rounds[3].estimate is not None
    assert [capture.round for capture in run.captures] == [0, 1, 3]
    assert run.captures[0].samples().dtype == np.complex64
    assert [type(record).__name__ for record in run.journal[:3]] == ["Start", "Promised", "Spent"]
    assert run.info.final_fingerprint == run.summary.final_fingerprint
    before, after = run.weights("initial"), run.weights()
    assert sum(tensor.numel() for tensor in after.values()) == run.info.num_parameters
    assert any(bool((after[name] != before[name]).any()) for name in after)


def test_columns_are_one_dimensional_and_equally_long(finished):
    columns = finished.columns()
    assert {len(column) for column in columns.values()} == {4}
    assert columns["round"].tolist() == [0, 1, 2, 3]
    assert columns["estimate_0"].tolist() == [record.estimate[0] for record in finished.rounds]
    assert columns["received_0_real"].dtype == columns["received_0_imag"].dtype == np.float64
    assert columns["status"] == ["ok"] * 4
    assert np.isnan(columns["metric"]).tolist() == [True, False, True, False]


def test_columns_keep_a_place_for_rounds_of_which_nothing_is_known():
    def record(round_index, **known):
        return RoundRecord(round=round_index, seed=2**62, scheme="coherent", status="ok", attempt=1, **known)

    columns = columns_of([record(0), record(1, estimate=(1.0, 2.0), received=((1.0, 2.0),) * 2, reason="x")])
    assert np.isnan(columns["estimate_1"]).tolist() == [True, False]
    assert columns["received_1_imag"][1] == 2.0
    assert columns["seed"].tolist() == [2**62] * 2
    assert columns["reason"] == [None, "x"]
    assert all(len(column) == 0 for column in columns_of([]).values())


def test_a_replay_says_what_it_compared(finished, tmp_path):
    whole = testbed.replay(finished)
    assert whole.compared
    assert whole.fingerprint == finished.info.final_fingerprint
    assert str(whole).startswith("bit-identical: 4 updates")
    part = testbed.replay(finished.path, num_rounds=2, save=tmp_path / "model")
    assert not part.compared
    assert part.num_updates == 2
    assert (tmp_path / "model" / "model.safetensors").is_file()
    for wrong in (-1, 5):
        with pytest.raises(EXPECTED, match="allowed 0 to 4"):
            testbed.replay(finished, num_rounds=wrong)


def test_weights_that_are_not_there_say_how_to_get_them(finished, tmp_path):
    run = testbed.run(overrides=TINY, out=tmp_path / "run", should_stop=lambda: True)
    run.directory.final_weights.unlink()
    with pytest.raises(RunDirectoryError, match="testbed replay"):
        run.weights()


def test_a_plan_compares_schedules_without_running(finished):
    planned = testbed.plan("quickstart", overrides={"schedule.name": "static", "rounds.num": 50})
    assert planned.preview("static").gap >= planned.preview("solution").gap
    assert testbed.plan(finished.config).preview("full").num_silent == 0


# ---- examples/


def example(name):
    specification = importlib.util.spec_from_file_location(name, ROOT / "examples" / f"{name}.py")
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


def test_the_sweep_runs_and_finds_that_a_better_channel_errs_less(tmp_path, capsys):
    example("sweep_snr").main(["--out", str(tmp_path), "--snrs-db", "0", "30", "--rounds", "3"])
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["SNR", "NMSE", "accuracy"]
    noisy, clear = (float(line.split()[2]) for line in lines[1:3])
    assert clear < noisy - 10
    assert (tmp_path / "sweep.png").stat().st_size > 1000


def test_a_run_is_analysed_and_replayed(finished, capsys):
    example("analyse_run").main([str(finished.path)])
    said = capsys.readouterr().out
    for part in ("<Run ", "4 of 4 rounds used", "3 captures; loudest", "tensors moved by", "bit-identical: 4 updates"):
        assert part in said
