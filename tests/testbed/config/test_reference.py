"""The reference is read from the records, and docs/configuration.md is what it says."""

import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from testbed.config import reference
from testbed.config.files import load
from testbed.errors import ConfigError

ROOT = Path(__file__).parents[3]


def leaves(table, prefix=""):
    for name, value in table.items():
        yield from leaves(value, f"{prefix}{name}.") if isinstance(value, dict) else (f"{prefix}{name}",)


def test_docs_configuration_is_fresh():
    written = subprocess.run(
        [sys.executable, "-m", "testbed", "config", "--markdown"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    page = (ROOT / "docs" / "configuration.md").read_text(encoding="utf-8")
    assert page == written.stdout, "run: testbed config --markdown > docs/configuration.md"


def test_every_key_of_a_configuration_is_explained():
    keys = {key.key: key for section in reference.sections() for key in section.keys}
    config = load(None, None, [])
    present = {*leaves(msgspec.to_builtins(config.rig)), *leaves(msgspec.to_builtins(config.experiment))}
    sections_and_tables = {"model.lora", *(key for key in present if key.startswith("task.verbalizer."))}
    assert present - set(keys) == sections_and_tables
    assert {"model.lora.rank", "virtual.faults[].kind", "task.verbalizer"} <= set(keys)
    assert [key.key for key in keys.values() if not (key.meaning and key.allowed and key.type and key.default)] == []


@pytest.mark.parametrize(
    ("key", "expected"),
    [
        ("radio.tx_gain_db", ("number", "a number >= -89.75 and <= 0", "dB", "-30.0")),
        ("air.transmitter.ppm_max", ("number", "a number >= 0 and <= 200", "ppm", "0.0")),
        ("rounds.num", ("whole number", "a whole number >= 1", "", "1000")),
        ("privacy.batch_rate", ("number", "a number >= 1e-06 and <= 1, or absent", "", "absent")),
        ("schedule.name", ("name", "full, online, paper, reversed, solution, static, or a plug-in's", "", '"full"')),
        ("virtual.faults[].kind", ("choice", "busy, timeout, silence, drop, restart", "", "required")),
        ("air.receiver.noise_figure_db", ("number", "a number >= 0 and <= 60, or absent", "dB", "absent")),
        ("pluto.devices", ("list", "a list of texts", "", "[]")),
        ("ground_truth", ("true or false", "true or false", "", "false")),
    ],
)
def test_type_range_unit_and_default(key, expected):
    (section,) = reference.find(key)
    (found,) = section.keys
    assert (found.type, found.allowed, found.unit, found.default) == expected


def test_a_section_comes_with_those_below_it():
    assert [each.name for each in reference.find("air")] == ["air", "air.transmitter", "air.receiver"]
    shown = reference.text(reference.find("air.receiver"), width=60)
    assert "air.receiver.adc_bits\n    allowed: a whole number >= 0 and <= 24 (bits)\n    default: 0\n" in shown
    assert max(map(len, shown.splitlines())) <= 60


def test_an_unknown_section_is_told_the_nearest():
    with pytest.raises(ConfigError, match=r"got 'roundz'; allowed: one of rig, .*; did you mean 'rounds'"):
        reference.find("roundz")
    with pytest.raises(ConfigError, match=r"did you mean 'radio\.tx_gain_db'"):
        reference.find("radio.tx_gain")


def test_the_overview_has_every_section():
    shown = reference.overview()
    assert all(f"  {section.name} " in shown for section in reference.sections())
