"""Values and files as people write them."""

from pathlib import Path

import pytest

from testbed.config.files import RIG_DIRECTORY, load
from testbed.errors import ConfigError


@pytest.mark.parametrize(
    ("override", "section", "key", "expected"),
    [
        ("rounds.num=1e3", "rounds", "num", 1000),
        ("rounds.num=2E+2", "rounds", "num", 200),
        ("learner.learning_rate=1e-4", "learner", "learning_rate", 1e-4),
        ("learner.learning_rate=1e0", "learner", "learning_rate", 1.0),
    ],
)
def test_numbers(override: str, section: str, key: str, expected: float) -> None:
    found = getattr(getattr(load(None, None, [override]).experiment, section), key)
    assert found == expected
    assert type(found) is type(expected)


def test_words() -> None:
    assert load(None, None, ["ground_truth=True"]).experiment.ground_truth is True
    assert load(None, None, ["ground_truth=FALSE"]).experiment.ground_truth is False
    assert load(None, None, ["air.snr_db=Inf"]).rig.air.snr_db == float("inf")
    with pytest.raises(ConfigError, match=r"rounds.num: got 1.5; allowed: a whole number"):
        load(None, None, ["rounds.num=1.5"])
    with pytest.raises(ConfigError, match="allowed: a number"):
        load(None, None, ["air.snr_db=NaN"])


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("radio.sample_rate_hz=1MHz", "; in Hz, as 1e+06"),
        ("radio.sample_rate_hz=2.5 kHz", "; in Hz, as 2500"),
        ("radio.max_power_dbfs=-6 dBFS", "; in dBFS, as -6"),
        ("radio.max_power_dbfs=-6dB", "; in dBFS, as a number alone"),
        ("control.radio_timeout_s=20ms", "; in s, as 0.02"),
        ("air.delay_spread_s=50ns", "; in s, as 5e-08"),
    ],
)
def test_a_unit_behind_a_number_is_told_where_it_is(override: str, said: str) -> None:
    with pytest.raises(ConfigError) as refused:
        load(None, None, [override])
    assert str(refused.value).endswith(said)


def test_a_shipped_file_is_found_with_its_ending(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert load("loopback.toml", "quickstart.toml", []) == load("loopback", "quickstart", [])
    (tmp_path / "loopback.toml").write_text("num_devices = 3")
    assert load("loopback.toml", None, []).rig.num_devices == 3


def test_a_byte_order_mark_is_no_part_of_a_file(tmp_path: Path) -> None:
    text = (RIG_DIRECTORY / "loopback.toml").read_text(encoding="utf-8")
    (tmp_path / "rig.toml").write_text(text, encoding="utf-8-sig")
    assert load(str(tmp_path / "rig.toml"), None, []) == load("loopback", None, [])


def test_a_run_s_configuration_is_a_rig_and_an_experiment(tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_text("[rig]\nnum_devices = 7\n[experiment]\nseed = 9\n")
    found = load(str(tmp_path / "config.toml"), str(tmp_path / "config.toml"), ["seed=10"])
    assert found.rig.num_devices == 7
    assert found.experiment.seed == 10
    (tmp_path / "rig.toml").write_text("[rig]\nnum_devices = 7\n")
    with pytest.raises(ConfigError, match="unknown key"):
        load(str(tmp_path / "rig.toml"), None, [])
