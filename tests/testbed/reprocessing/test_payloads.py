"""Recorded rounds estimated again: a run's own receiver comes to the very estimates, others to theirs."""

import json
import math
import shutil

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import testbed
from testbed.errors import ConfigError, RunDirectoryError
from testbed.reprocessing.payloads import reprocess_run
from testbed.reprocessing.records import PayloadsAgain
from testbed.reprocessing.reprocess import is_good, reprocess
from testbed.results.directory import RunDirectory
from tests.testbed.reprocessing.conftest import NUMBERS, TINY

PRIVATE = {
    "ground_truth": False,
    "schedule.name": "static",
    "privacy.dp_epsilon": 8,
    "privacy.receiver_noise": "trusted",
}
RUNS = {
    "coherent": {},
    "regularised": {"scheme.alignment.name": "regularised", "air.snr_db": 5},
    "symbol level": {"scheme.air_level": "symbol", "air.snr_db": 40},
    "reciprocity": {"scheme.name": "energy", "scheme.csi": "reciprocity"},
    "sign": {"scheme.name": "sign"},
    "ideal": {"scheme.name": "ideal"},
    "energy": {"scheme.name": "energy"},
    "fsk_vote": {"scheme.name": "fsk_vote"},
    "digital": {"scheme.name": "digital"},
    "counted starts": {"clock.trigger": False, "frame.start_uncertainty_samples": 400},
    "late slots": {
        "scheme.name": "digital",
        "clock.trigger": False,
        "clock.streaming": False,
        "frame.start_uncertainty_samples": 400,
        "air.start_jitter_samples": 300,
    },
}


@pytest.mark.parametrize("what", RUNS)
def test_a_run_s_own_receiver_comes_to_the_recorded_estimates(tmp_path, what):
    run = testbed.run(overrides=TINY | RUNS[what], out=tmp_path / "run")
    written, found = reprocess(run.path)
    own = run.config.experiment.scheme.name
    assert written == run.path / f"reprocessed-{own}.json"
    assert msgspec.json.decode(written.read_bytes(), type=PayloadsAgain) == found
    assert [each.round for each in found.rounds] == [0, 1, 2]
    for each, record in zip(found.rounds, run.rounds, strict=True):
        assert each.problem is None
        assert each.recorded == record.estimate
        assert each.estimate == record.estimate is not None
        assert each.truth == record.true_mean is not None
        assert each.error_std[0] == record.predicted_error_std
        assert each.nmse_db == each.recorded_nmse_db == record.nmse_db
    assert (found.num_same, found.num_same_sign, found.num_compared) == (3, 3, 3)
    assert found.nmse_db == found.recorded_nmse_db
    assert found.nmse_db == pytest.approx(run.summary.nmse_db_pooled, abs=1e-9)


def test_a_private_run_s_recordings_hold_what_its_promise_counts_and_lead_to_its_estimates(tmp_path):
    run = testbed.run(overrides=TINY | PRIVATE, out=tmp_path / "run")
    assert run.summary.epsilon_spent is not None
    _, found = reprocess(run.path)
    used = [each for each in found.rounds if each.recorded is not None]
    assert used
    assert found.num_same == found.num_compared == len(found.rounds)
    assert found.nmse_db is None
    assert found.remarks == ("the run has no ground truth (ground_truth = false): no NMSE is given",)
    said = {
        "air_level",
        "attempt",
        "channels",
        "num_samples",
        "plan",
        "round",
        "run_id",
        "scheme",
        "sounding_saturated",
    }
    for capture in run.captures:
        meta = json.loads(capture.path.with_suffix(".sigmf-meta").read_text())
        own = {key.partition(":")[2] for key in meta["global"] if key.startswith("airzero:")}
        assert own == said  # the plan and heard channels, which are public, and names
        assert {key for each in meta["captures"] for key in each if key.startswith("airzero:")} == {
            "airzero:noise_power",
            "airzero:value_power",
        }


def test_another_scheme_on_the_same_waveform_makes_an_estimate_of_its_own(coherent, energy):
    for path, own, other in ((coherent, "coherent", "sign"), (energy, "energy", "fsk_vote")):
        before = reprocess(path)[1]
        written, found = reprocess(path, other)
        assert written.name == f"reprocessed-{other}.json"
        assert (found.run_scheme, found.scheme) == (own, other)
        assert (found.num_same, found.num_compared) == (0, 3)
        assert found.nmse_db is None
        assert found.remarks[0].startswith(f"'{other}' estimates the majority of signs, '{own}' sent for the mean")
        for each, mean in zip(found.rounds, before.rounds, strict=True):
            assert each.estimate == tuple(math.copysign(1, value) for value in mean.estimate)
            assert each.truth is each.nmse_db is None
        assert found.num_same_sign == 3
    assert [each.estimate for each in reprocess(coherent, "ideal")[1].rounds] == [
        each.recorded for each in reprocess(coherent)[1].rounds
    ]


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        (
            "energy",
            "reads another waveform than the recorded payloads of 'coherent' have; allowed: coherent, ideal, sign",
        ),
        ("digital", "allowed: coherent, ideal, sign"),
        ("coherant", "--scheme: got 'coherant'; allowed: .*did you mean 'coherent'"),
    ],
)
def test_a_scheme_that_reads_something_else_is_refused(coherent, name, reason):
    with pytest.raises(ConfigError, match=reason):
        reprocess(coherent, name)


def test_one_recording_s_damage_is_said_and_the_others_go_on(coherent, copied):
    path = copied(coherent)
    data = path / "captures" / "round-000001.sigmf-data"
    data.write_bytes(data.read_bytes()[:-8])
    meta = path / "captures" / "round-000002.sigmf-meta"
    changed = json.loads(meta.read_text())
    changed["global"]["airzero:scheme"] = "sign"
    meta.write_text(json.dumps(changed))
    _, found = reprocess(path)
    first, second, third = found.rounds
    assert first.problem is None
    assert "size: got" in second.problem
    assert "airzero:scheme: got 'sign'; allowed: 'coherent', the run's" in third.problem
    assert (found.num_same, found.num_compared) == (1, 1)
    assert is_good(found)


def test_recordings_of_another_run_or_none_are_refused(coherent, energy, copied):
    path = copied(coherent)
    for each in (path / "captures").iterdir():
        each.unlink()
    with pytest.raises(RunDirectoryError, match=r"captures: got no \*\.sigmf-meta; allowed: at least one"):
        reprocess(path)
    for each in (energy / "captures").iterdir():
        shutil.copy(each, path / "captures")
    _, found = reprocess(path)
    assert all("airzero:scheme: got 'energy'" in each.problem for each in found.rounds)
    assert not is_good(found)


PLACES = st.sampled_from(
    [
        ("captures", 0, "airzero:noise_power"), ("captures", 0, "airzero:value_power"),
        ("captures", 0, "core:global_index"), ("captures", 0, "airzero:device"),
        ("global", "airzero:plan", "gain"), ("global", "airzero:plan", "active"), ("global", "airzero:plan", "clip"),
        ("global", "airzero:plan", "ridge"), ("global", "airzero:plan", "num_queries"),
        ("global", "airzero:plan", "artificial_noise_std"), ("global", "airzero:plan", "round_index"),
        ("global", "airzero:channels", 0, "gain"), ("global", "airzero:channels", 0, "sounding"),
        ("global", "airzero:channels", 0, "sounding", "gain"), ("global", "airzero:channels", 1, "device"),
        ("global", "airzero:channels", 0, "sounding", "gain_variance"),
        ("global", "airzero:channels", 0, "sounding", "cfo_variance_hz2"),
        ("global", "airzero:channels", 0, "sounding", "time_samples"),
        ("global", "airzero:channels", 0, "sounding", "sample_rate_hz"),
        ("global", "airzero:channels", 0, "sounding", "resource_powers"),
        ("global", "airzero:round"), ("global", "airzero:attempt"), ("global", "airzero:sounding_saturated"),
    ]
)  # fmt: skip


@pytest.mark.parametrize("kind", ["coherent", "energy"])
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow], max_examples=100)
@given(changes=st.lists(st.tuples(PLACES, NUMBERS | st.lists(NUMBERS, min_size=2, max_size=2)), min_size=1, max_size=3))
def test_no_number_in_a_recording_raises_anything(request, tmp_path_factory, kind, changes):
    """Whatever a payload's JSON says of plan and channels: an estimate, a rejection, or a problem in one line."""
    path = tmp_path_factory.getbasetemp() / f"mutated-{kind}"
    if not path.exists():
        shutil.copytree(request.getfixturevalue(kind), path)
        for each in (path / "captures").glob("round-00000[12].*"):
            each.unlink()
    original = request.getfixturevalue(kind) / "captures" / "round-000000.sigmf-meta"
    meta = json.loads(original.read_text())
    for place, new in changes:
        inner = meta
        for key in place[:-1]:
            inner = inner[key] if (isinstance(inner, dict) and key in inner) or isinstance(inner, list) else {}
        if isinstance(inner, dict):
            inner[place[-1]] = new
    (path / "captures" / original.name).write_text(json.dumps(meta))
    (only,) = reprocess_run(RunDirectory.open(path)).rounds
    assert (only.problem is None) == (only.round is not None)
    assert "\n" not in (only.problem or "")
