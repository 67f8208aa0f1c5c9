"""Names of schemes, schedules, backends, templates and files: known ones are listed, and the nearest is offered."""

import pytest

from radio.schemes import registry
from testbed.config.files import from_toml, load
from testbed.config.names import NAMES
from testbed.errors import ConfigError
from testbed.plugins import registered


@pytest.mark.parametrize(
    ("key", "typed", "meant"),
    [
        ("schedule.name", "onlin", "online"),
        ("scheme.name", "coherant", "coherent"),
        ("backend", "plutos", "pluto"),
        ("task.template", "gsm8", "gsm8k"),
        ("privacy.level", "exmple", "example"),
        ("privacy.accountant", "zcpd", "zcdp"),
        ("model.dtype", "float23", "float32"),
        ("air.fading", "ric", "rice"),
        ("scheme.alignment.name", "truncate", "truncated"),
    ],
)
def test_a_closed_list_says_what_is_allowed_and_what_is_near(key, typed, meant):
    with pytest.raises(ConfigError) as caught:
        load(None, None, [f"{key}={typed}"])
    message = str(caught.value)
    assert message.startswith(f"--set: {key}: got {typed!r}; allowed: ")
    assert message.endswith(f"; did you mean {meant!r}?")
    assert all(name in message for name in registered(NAMES[key])) if key in NAMES else meant in message


@pytest.mark.parametrize(("rig", "experiment"), [("loopbak", None), (None, "quickstrat")])
def test_a_file_name_with_a_typo_is_offered_the_nearest(rig, experiment):
    with pytest.raises(ConfigError, match=r"did you mean '(loopback|quickstart)'"):
        load(rig, experiment, [])


def test_a_very_long_name_is_no_file():
    with pytest.raises(ConfigError, match="--rig: no file"):
        load("x" * 5000, None, [])


def test_a_run_of_a_scheme_that_nobody_has_names_its_file(tmp_path):
    path = tmp_path / "config.toml"
    path.write_text('[rig]\n[experiment.scheme]\nname = "theirs"\n')
    with pytest.raises(ConfigError, match=r"config\.toml: scheme\.name: got 'theirs'; allowed: coherent, "):
        from_toml(path)


def test_every_name_that_is_offered_exists():
    for name in registered("scheme"):
        assert registry.scheme(name).name == name
