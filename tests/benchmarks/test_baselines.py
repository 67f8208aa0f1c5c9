"""All baselines: costs are counted as they are, errors over the air are those of samples, a run is made once."""

import json

import numpy as np
import pytest
from scipy import stats

import testbed
from benchmarks.baselines import settings
from benchmarks.baselines.__main__ import main
from benchmarks.baselines.analog_gradients import FRAME_VALUES, AnalogGradients, symbol_level_rig
from benchmarks.baselines.costs import counted_airtime_s, played_airtime_s, simulated_rig
from benchmarks.baselines.feedsign import FeedSign
from benchmarks.baselines.methods import METHODS, SEARCHED, method_of, schedule_methods
from benchmarks.baselines.playing import played
from benchmarks.baselines.records import Job, Outcome, Point
from benchmarks.baselines.scalars import _local_scalars
from benchmarks.baselines.table import markdown, paired, row
from radio.schemes import registry
from radio.schemes.base import Scheme
from testbed.errors import ConfigError
from testbed.hosts.local_work import load_model_and_task
from testbed.results.run import Run
from testbed.testing.schemes import SchemeContract

REGISTERED = registry._SCHEMES._registered
REGISTERED.pop(FeedSign.name, None)  # tests of other files are collected in this process, and count schemes


@pytest.fixture(autouse=True)
def own_scheme(monkeypatch):
    """Known only while a test of this file runs."""
    monkeypatch.setitem(REGISTERED, FeedSign.name, FeedSign)


def job(method, *, rate=None, num_rounds=6, seed=1):
    return Job(method=method, task="embedded", seed=seed, num_rounds=num_rounds, learning_rate=rate)


def configuration(method, tmp_path, **more):
    asked = method_of(method)
    return settings.configuration(job(method, **more), asked.group, asked.overrides, tmp_path)


class TestFeedSign(SchemeContract):
    @pytest.fixture
    def scheme(self) -> Scheme:
        return FeedSign()


# ---- gradients over the air


def relative_errors(rig, num_frames):
    rng, found = np.random.default_rng(5), []
    for frame in range(num_frames):
        values = np.clip(0.2 * rng.normal(size=(5, FRAME_VALUES)), -1, 1)
        played = rig.play(values, round_index=frame)
        assert played.reception.estimate.rejected is None
        error = played.reception.estimate.values - played.reference
        found.append(np.mean(error**2) / np.mean(played.reference**2))
    return 10 * np.log10(found)


def test_errors_on_the_symbol_level_air_are_those_of_the_sampled_air():
    """On the same fading blocks, frame by frame; so learning may use the one, at the airtime of the other."""
    config = testbed.load("quickstart", "loopback", ["seed=3"])
    samples_db = relative_errors(simulated_rig(config, "coherent"), 100)
    symbols_db = relative_errors(symbol_level_rig(config), 100)
    assert abs(np.median(samples_db) - np.median(symbols_db)) < 0.5
    assert abs(np.mean(samples_db - symbols_db)) < 0.5
    assert np.corrcoef(samples_db, symbols_db)[0, 1] > 0.9


def test_the_air_returns_the_mean_gradient_and_charges_every_frame():
    config = testbed.load("quickstart", "loopback", ["seed=3", "air.snr_db=70"])
    gradients = np.random.default_rng(1).normal(size=(5, 10_000))
    air = AnalogGradients(config, 10_000)
    mean = air.mean(gradients, 0)
    assert np.abs(mean - gradients.mean(axis=0)).max() < 0.05 * np.abs(gradients).max()
    assert (air.num_blocks, air.num_lost) == (3, 0)
    frames = 157 + 64 * air.num_retried
    assert air.airtime_s(1) == pytest.approx(frames * played_airtime_s(config, "coherent", FRAME_VALUES))


# ---- costs


def test_bytes_are_two_bits_a_symbol_with_their_checksum():
    rig = testbed.load().rig
    assert counted_airtime_s(rig, 16) == pytest.approx(12 * 288e-6)


def test_local_steps_leave_the_common_weights_as_they_were(tmp_path):
    config = configuration("decomfl", tmp_path, rate=1e-3)
    loaded = load_model_and_task(config)
    before = loaded.replica.fingerprint()
    scalars = _local_scalars(loaded, config, 0, 0, [11, 12])
    assert loaded.replica.fingerprint() == before
    assert np.all(np.abs(scalars) > 0)
    again = _local_scalars(loaded, config, 0, 0, [11, 13])
    assert again[0] == scalars[0]


def test_a_run_over_the_air_is_reported_as_its_own_summary_has_it(tmp_path):
    asked = job("sign", rate=1e-3)
    outcome = played(asked, tmp_path, tmp_path)
    summary = Run.open(tmp_path / asked.name).summary
    assert outcome.points[-1].metric == summary.metric_last
    assert outcome.airtime_up_s == summary.airtime_s
    assert (outcome.rounds, outcome.forwards, outcome.backwards) == (6, 2 * settings.BATCH_SIZE * 5 * 6, 0)
    assert (outcome.bytes_up, outcome.bytes_down, outcome.epsilon) == (1, 1, None)


def test_a_run_that_diverges_is_a_failure_that_is_shown(tmp_path):
    outcome = played(job("ideal", rate=1e6), tmp_path, tmp_path)
    assert "diverged" in outcome.failure
    shown = row("ideal", "embedded", {1: outcome}, "ideal", {1: outcome})
    assert (shown.metric, shown.difference, len(shown.failures)) == (None, None, 1)
    assert "| failed |" in markdown([shown], {"ideal": "–"})
    assert "1 of 1" in markdown([shown], {"ideal": "–"})


def test_what_was_made_with_other_settings_is_refused_and_not_reported(tmp_path, monkeypatch):
    asked = job("zero_shot", rate=1e-3)
    played(asked, tmp_path, tmp_path)
    monkeypatch.setattr(settings, "COMMON", (*settings.COMMON, "task.num_test=100"))
    with pytest.raises(ConfigError, match="made with other settings"):
        played(asked, tmp_path, tmp_path)


# ---- statistics


def outcome_of(metric, failure=None):
    return Outcome(learning_rate=1.0, points=(Point(round=1, loss=1.0, metric=metric),), failure=failure)


def test_differences_are_paired_by_seed_and_leave_failures_out():
    ours = {1: outcome_of(0.7), 2: outcome_of(0.8), 3: outcome_of(0.75), 4: outcome_of(0.1, "diverged")}
    theirs = {1: outcome_of(0.6), 2: outcome_of(0.75), 3: outcome_of(0.7), 4: outcome_of(0.9)}
    found = paired(ours, theirs, "metric")
    expected = stats.ttest_1samp([0.1, 0.05, 0.05], 0).confidence_interval(0.95)
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high))
    assert found.mean == pytest.approx(0.2 / 3)
    assert row("x", "embedded", ours, "y", theirs).failures == ("seed 4: diverged",)
    assert paired({1: outcome_of(0.5)}, theirs, "metric").low is None


# ---- the command


def test_the_command_prints_a_table_and_plays_no_run_twice(tmp_path, capsys):
    asked = ["--quick", "--tasks", "embedded", "--only", "fedsgd", "--jobs", "1", "--out", str(tmp_path)]
    assert main(asked) == 0
    first = capsys.readouterr().out.splitlines()
    written = {file: file.stat().st_mtime_ns for file in tmp_path.rglob("*.json")}
    rows = {each["method"]: each for each in json.loads(first[-1])["rows"]}
    assert set(rows) == {"analog", "fedsgd"}
    assert rows["analog"]["difference"] == {"mean": 0.0, "low": 0.0, "high": 0.0}
    assert rows["fedsgd"]["bytes_up"] == 3 * 4 * 440_592
    assert rows["fedsgd"]["backwards"] == rows["fedsgd"]["forwards"] == 3 * 5 * settings.BATCH_SIZE
    assert rows["fedsgd"]["peak_mib"] > 2 * rows["analog"]["peak_mib"] > 4
    assert sum(line.startswith("| ") for line in first) == 3
    assert main(asked) == 0
    assert capsys.readouterr().out.splitlines()[-1] == first[-1]
    assert {file: file.stat().st_mtime_ns for file in tmp_path.rglob("*.json")} == written


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (["--only", "adam"], "invalid choice"),
        (["--tasks", "sst2", "--sst2", "nowhere"], "is no directory"),
        (["--seeds", str(settings.SEARCH_SEED)], "by which settings were chosen"),
        (["--search", "--only", "energy"], "allowed: ideal"),
        (["--jobs", "0"], "allowed: 1 or more"),
    ],
)
def test_what_cannot_be_asked_is_refused_in_words(wrong, said, capsys):
    with pytest.raises(SystemExit) as stopped:
        main(wrong)
    assert stopped.value.code == 2
    assert said in capsys.readouterr().err


def test_learning_rates_were_chosen_among_their_candidates_for_all_groups_or_none():
    assert set(SEARCHED) == set(settings.CANDIDATES)
    assert set(settings.CHOSEN) == set(settings.TASKS)
    assert settings.CHOSEN["embedded"]
    for chosen in settings.CHOSEN.values():
        assert all(rate in settings.CANDIDATES[group] for group, rate in chosen.items())
        assert set(chosen) in ({*settings.CANDIDATES}, set())


def test_a_task_without_chosen_rates_is_refused_before_anything_runs(monkeypatch, tmp_path, capsys):
    monkeypatch.setitem(settings.CHOSEN, "embedded", {})
    with pytest.raises(SystemExit):
        main(["--tasks", "embedded", "--out", str(tmp_path)])
    assert "--search --tasks embedded" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.long
@pytest.mark.parametrize("method", [*METHODS, *schedule_methods()])
def test_every_method_is_played(method, tmp_path):
    outcome = played(job(method, num_rounds=12), tmp_path, tmp_path)
    assert outcome.failure is None
    assert 0 <= outcome.last("metric") <= 1
    assert outcome.epsilon is None or outcome.epsilon <= settings.PUBLISHED_EPSILON
