"""Configuration: strict, and every mistake explained in one line that names file, key, value and what is allowed."""

import math

import pytest

from radio.air.config import AirConfig
from testbed.bench.rig import resolve
from testbed.config.files import load, override
from testbed.config.schema import RunConfig
from testbed.errors import ConfigError


def test_without_arguments_the_quickstart_on_the_loopback_rig():
    config = load(None, None, [])
    assert config.experiment.name == "quickstart"
    assert config.experiment.ground_truth
    assert config.rig.num_devices == 5
    assert config.experiment.scheme.name == "coherent"


def test_overrides_go_to_the_file_that_has_the_section():
    config = load(None, None, ["air.snr_db=inf", "rounds.num=7", "num_devices=3", "seed=9", "task.path=../some/where"])
    assert config.rig.air.snr_db == math.inf
    assert config.rig.num_devices == 3
    assert config.experiment.rounds.num == 7
    assert config.experiment.seed == 9
    assert config.experiment.task.path == "../some/where"


@pytest.mark.parametrize(
    ("rig", "preset"),
    [("ideal", AirConfig.perfect()), ("awgn", AirConfig.awgn()), ("pluto_indoor", AirConfig.pluto_indoor())],
)
def test_the_presets_of_the_air_come_as_rigs(rig, preset):
    assert load(rig, None, []).rig.air == preset


def test_coherent_phases_by_reciprocity_need_one_clock():
    reciprocal = ["scheme.csi=reciprocity"]
    with pytest.raises(ConfigError, match="one clock"):
        resolve(load(None, None, reciprocal))
    assert (
        resolve(load(None, None, [*reciprocal, "radio.residual_cfo_max_hz=0"])).experiment.scheme.csi == "reciprocity"
    )
    assert resolve(load("pluto_indoor", "quickstart_energy", reciprocal)).rig.air == AirConfig.pluto_indoor()


def test_a_small_learning_rate_is_a_number():
    assert load(None, None, ["learner.learning_rate=1e-7"]).experiment.learner.learning_rate == 1e-7


def test_a_host_can_override_what_is_its_own():
    config = override(load(None, None, []), ["model.device=cuda:1"])
    assert isinstance(config, RunConfig)
    assert config.experiment.model.device == "cuda:1"
    assert config.experiment.rounds == load(None, None, []).experiment.rounds


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("num_devices=0", ["--set", "num_devices", "got 0", ">= 1"]),
        ("rounds.num=0", ["--set", "rounds.num", "got 0", ">= 1"]),
        ("rounds.nmu=5", ["--set: rounds.nmu: unknown key", "did you mean 'num'"]),
        ("rouns.num=5", ["no section or key 'rouns'", "did you mean 'rounds'"]),
        ("learner.clip=-1", ["learner.clip", "got -1", ">= 1e-06"]),
        ("learner.learning_rate=fast", ["learner.learning_rate", "got 'fast'", "a number > 0"]),
        ("air.fading=fog", ["air.fading", "fog"]),
        ("air.csi=genie", ["csi", "genie", "symbol"]),
        ("schedule.name=best", ["schedule.name", "best"]),
        ("privacy.dp_delta=2", ["privacy.dp_delta", "got 2"]),
        ("task.prompt=nothing", ["task.prompt", "nothing"]),
        ("rounds", ["expected section.key=value"]),
        ("seed.more=3", ["'seed' is a value"]),
    ],
)
def test_a_bad_override_is_explained_in_one_line(text, expected):
    with pytest.raises(ConfigError) as caught:
        load(None, None, [text])
    message = str(caught.value)
    assert "\n" not in message
    for part in expected:
        assert part in message


def test_a_bad_file_is_named_with_the_key(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text('[rounds]\nnum = "many"\n')
    with pytest.raises(ConfigError, match=r"mine\.toml: rounds\.num: got 'many'"):
        load(None, str(path), [])
    path.write_text("[rounds\n")
    with pytest.raises(ConfigError, match=r"mine\.toml: not TOML"):
        load(None, str(path), [])
    path.write_text("[surprise]\nx = 1\n")
    with pytest.raises(ConfigError, match=r"mine\.toml: surprise: unknown key; allowed: .*rounds"):
        load(None, str(path), [])


def test_a_missing_file_lists_the_known_names():
    with pytest.raises(ConfigError, match=r"--experiment: no file 'nope'.*known: .*quickstart"):
        load(None, "nope", [])
    with pytest.raises(ConfigError, match=r"--rig: no file 'nope'.*known: .*loopback"):
        load("nope", None, [])
