import math

import pytest

from testbed import api
from testbed.config.overrides import as_texts
from testbed.errors import ConfigError
from testbed.sweep.file import Range, read_sweep
from testbed.sweep.plan import draw, draws, planned, settings

REFUSED = {
    "[sweep]\nseed = 3": "sweep.seed: unknown key; allowed: name, experiment",
    "[sweep]\nseeds = []": "sweep.seeds: got []",
    "[sweep]\nseeds = [1, 1]": "some of them twice",
    "[sweep.grid]\nair.snr_db = 3": "air.snr_db: got 3; allowed: a list of values",
    "[sweep.grid]\nseed = [1, 2]": "list seeds in sweep.seeds",
    "[sweep.paired]\na.b = [1, 2]\nc.d = [1]": "lists of different lengths (a.b 2, c.d 1)",
    "[sweep.grid]\na.b = [1]\n[sweep.set]\na.b = 2": "sweep.grid: got a.b, which is in sweep.set too",
    "[sweep]\nnum_draws = 3": "without anything in sweep.random",
    "[sweep.random]\na.b = { low = 2, high = 1 }": "sweep.random.a.b: high: got 1; allowed: a finite number above low",
    "[sweep.random]\na.b = { low = 0, high = 1, log = true }": "allowed with log = true: a number > 0",
    "[sweep.random]\na.b = { low = 0, high = 1, lag = true }": "did you mean 'log'",
    "[sweep]\nseeds = 9999\n[sweep.grid]\na.b = [1, 2]": "got 19998 runs; allowed: up to 10000",
    "[other]": "other: unknown key",
}


def written(tmp_path, text):
    path = tmp_path / "some.toml"
    path.write_text(text, encoding="utf-8")
    return path


def plan_of(path):
    return planned(read_sweep(path), api.load, as_texts)


@pytest.mark.parametrize("text", REFUSED)
def test_what_a_sweep_may_not_say_is_refused_by_file_and_key(tmp_path, text):
    path = written(tmp_path, text)
    with pytest.raises(ConfigError) as err:
        read_sweep(path)
    assert str(err.value).startswith(f"{path}: ")
    assert REFUSED[text] in str(err.value)


def test_every_draw_meets_every_pair_every_point_and_every_seed(tmp_path):
    path = written(
        tmp_path,
        """
        [sweep]
        seeds = [3, 5]
        num_draws = 2
        [sweep.set]
        rounds.num = 7
        [sweep.grid]
        air.snr_db = [0.0, inf]
        "scheme.name" = ["coherent", "sign"]
        [sweep.paired]
        num_devices = [2, 4]
        learner.batch_size = [8, 4]
        [sweep.random]
        learner.learning_rate = { low = 1e-5, high = 1e-3, log = true }
        """,
    )
    runs = plan_of(path)
    assert len(runs) == 2 * 2 * 2 * 2 * 2
    assert len({run.name for run, _ in runs}) == len(runs)
    for run, config in runs:
        assert config.experiment.rounds.num == 7
        assert config.rig.num_devices * config.experiment.learner.batch_size == 16
        assert config.experiment.seed == run.seed
        assert config.experiment.learner.learning_rate == run.values["learner.learning_rate"]
        assert "/" not in run.name
        assert not run.name.startswith(".")


def test_more_draws_and_more_keys_leave_those_there_were_as_they_were():
    rate, size = Range(low=1e-5, high=1e-3, log=True), Range(low=1, high=64)
    few, many = draws({"rate": rate}, 3, 0), draws({"size": size, "rate": rate}, 9, 0)
    assert [each["rate"] for each in many[:3]] == [each["rate"] for each in few]
    assert draws({"rate": rate}, 3, 1) != few


def test_draws_cover_their_range_evenly_or_by_ratio_and_whole_ends_give_whole_numbers():
    shares = [number / 1000 for number in range(1000)]
    logarithmic = [draw(Range(low=1e-4, high=1.0, log=True), share) for share in shares]
    assert sum(value < 1e-2 for value in logarithmic) == pytest.approx(500, abs=2)
    whole = [draw(Range(low=1, high=4), share) for share in shares]
    assert {value: whole.count(value) for value in whole} == {1: 250, 2: 250, 3: 250, 4: 250}
    assert all(isinstance(value, int) for value in whole)
    assert draw(Range(low=0.0, high=1.0), math.nextafter(1, 0)) <= 1.0


def test_a_run_keeps_its_name_when_others_come_and_gets_another_one_with_anything_that_decides_it(tmp_path):
    few = plan_of(written(tmp_path, "[sweep]\nseeds = 1\n[sweep.grid]\nair.snr_db = [0.0]"))
    more = plan_of(written(tmp_path, "[sweep]\nseeds = 2\n[sweep.grid]\nair.snr_db = [0.0, 5.0]"))
    other = plan_of(written(tmp_path, "[sweep]\n[sweep.set]\nrounds.num = 3\n[sweep.grid]\nair.snr_db = [0.0]"))
    threads = plan_of(
        written(tmp_path, "[sweep]\n[sweep.set]\nlearner.num_threads = 2\n[sweep.grid]\nair.snr_db = [0.0]")
    )
    assert few[0][0].name in {run.name for run, _ in more}
    assert few[0][0].name != other[0][0].name
    assert few[0][0].name == threads[0][0].name


def test_a_bad_value_refuses_its_own_run_alone_and_a_bad_key_the_whole_file(tmp_path):
    runs = plan_of(written(tmp_path, "[sweep.grid]\nlearner.batch_size = [4, 0]\n[sweep]"))
    assert [config is None for _, config in runs] == [False, True]
    assert "learner.batch_size: got 0; allowed: a whole number >= 1" in runs[1][0].refusal
    with pytest.raises(ConfigError, match=r"none of 2 runs can be made: .*did you mean 'snr_db'"):
        plan_of(written(tmp_path, "[sweep.grid]\nair.snr_dp = [4, 0]"))


def test_a_sweep_without_a_name_is_called_after_its_file_and_finds_its_rig_beside_it(tmp_path):
    rig = "num_devices = 3\n[clock]\nshared_clock = true\ntrigger = true\n"
    (tmp_path / "mine.toml").write_text(rig, encoding="utf-8")
    path = written(tmp_path, '[sweep]\nrig = "mine.toml"')
    assert read_sweep(path).name == "some"
    assert plan_of(path)[0][1].rig.num_devices == 3
    assert list(settings(read_sweep(path))) == [{}]
