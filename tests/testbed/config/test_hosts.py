"""A host may say where things are and what computes there, and nothing else."""

from pathlib import Path
from typing import Any

import msgspec
import pytest
import tomli_w

import testbed
from radio.backends.loopback import Loopback
from testbed.commands.cli import main
from testbed.config.files import load, override
from testbed.config.hosts import HOST_KEYS, check_host_overrides, host_keys, host_override, without_host_keys
from testbed.errors import ConfigError
from testbed.rounds.processes import serve_devices
from tests.parts import keep_parts

LOCAL = (
    "model.path=/models/a",
    "model.device=cuda:1",
    "task.path=/data/a",
    "learner.num_threads=4",
    'pluto.access_point="ip:10.0.0.1"',
    'pluto.devices=["ip:10.0.0.2"]',
    "virtual.host=127.0.0.9",
    "virtual.first_port=4000",
    "virtual.spread=hosts",
)


def test_each_allowed_key_is_taken_and_leaves_what_is_compared_as_it_is():
    config = load(None, None, [])
    assert {text.partition("=")[0] for text in LOCAL} == set(HOST_KEYS)
    assert host_override(config, []) is config
    for text in LOCAL:
        local = host_override(config, [text])
        assert local != config
        assert without_host_keys(local) == without_host_keys(config)
    assert host_override(config, LOCAL).experiment.model.device == "cuda:1"


def leaves(table: dict[str, Any], prefix: str = "") -> list[str]:
    """Dotted names of all keys."""
    found = []
    for key, value in table.items():
        found += leaves(value, f"{prefix}{key}.") if isinstance(value, dict) else [f"{prefix}{key}"]
    return found


def test_every_other_key_there_is_is_refused_by_name():
    plain = msgspec.to_builtins(load(None, None, []))
    others = {*leaves(plain["rig"]), *leaves(plain["experiment"])} - {*HOST_KEYS}
    assert len(others) > 100
    for key in sorted(others):
        with pytest.raises(ConfigError) as caught:
            host_override(load(None, None, []), [f"{key}=1"])
        told = str(caught.value)
        assert told.startswith(
            f"--set {key}=1: {key} is the same for all hosts of a run; allowed on a host: model.path"
        )
        assert told.endswith(f"set {key} at the access point")


@pytest.mark.parametrize(
    "text",
    [
        'model={path="a", dtype="bfloat16"}',
        "model=1",
        "pluto.devices.0=ip:1.2.3.4",
        "model.path.more=1",
        "nonsense.key=1",
        "settings=1",
        "Model.path=1",
    ],
)
def test_nothing_gets_past_the_list_in_another_form(text):
    with pytest.raises(ConfigError, match="is the same for all hosts of a run"):
        check_host_overrides([text])


def test_an_allowed_key_with_a_wrong_value_is_explained_as_ever():
    with pytest.raises(ConfigError, match=r"^--set: learner\.num_threads: got 0"):
        host_override(load(None, None, []), ["learner.num_threads=0"])
    with pytest.raises(ConfigError, match=r"expected section\.key=value"):
        check_host_overrides(["model.path"])


def test_a_backend_says_which_of_its_settings_are_local(monkeypatch):
    keep_parts(monkeypatch)

    class Settings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
        port: str = "a"
        gain_db: float = 0.0

    class Lab(Loopback):
        name = "lab"
        settings = Settings
        host_settings = ("port",)

    testbed.register(Lab)
    config = override(load(None, None, []), ["backend=lab", "settings.gain_db=1.0"])
    assert host_keys(config) == (*HOST_KEYS, "settings.port")
    check_host_overrides(["settings.port=b", "settings.gain_db=2"])  # nobody knows yet
    local = host_override(config, ["settings.port=b"])
    assert local.rig.settings == {"gain_db": 1.0, "port": "b"}
    assert without_host_keys(local) == without_host_keys(config)
    with pytest.raises(ConfigError, match=r"allowed on a host: .*settings\.port; set settings\.gain_db at the access"):
        host_override(config, ["settings.gain_db=2"])
    with pytest.raises(ConfigError, match=r"settings\.port is the same"):
        host_override(load(None, None, []), ["settings.port=b"])  # a loopback rig has none


def test_a_host_that_would_compute_another_run_is_refused_before_anything_is_reached(capsys, tmp_path: Path):
    with pytest.raises(SystemExit) as ended:
        main(["device", "--devices", "0", "--connect", f"ipc://{tmp_path}/nobody", "--set", "seed=5"])
    assert ended.value.code == 1
    assert "--set seed=5: seed is the same for all hosts of a run" in capsys.readouterr().err
    with pytest.raises(ConfigError, match="seed is the same"):
        serve_devices([0], connect="no address at all", overrides=["seed=5"])


def test_help_says_what_a_host_may_set(capsys):
    with pytest.raises(SystemExit):
        main(["device", "--help"])
    shown = capsys.readouterr().out
    for key in HOST_KEYS:
        assert key in shown


@pytest.mark.parametrize(
    ("host", "said"),
    [
        ({"key": "k" * 40, "devices": [0], "colour": 1}, "hosts.gpu1.colour: unknown key; allowed: key, devices"),
        ({"devices": [0]}, "hosts.gpu1.key: got nothing; allowed: the 40 characters"),
        ({"key": "k" * 40, "devices": ["all"]}, "hosts.gpu1.devices[0]: got 'all'; allowed: a whole number"),
    ],
)
def test_what_is_wrong_with_a_host_is_said_with_its_name(tmp_path, host, said):
    rig = tmp_path / "rig.toml"
    hosts = {"gpu0": {"key": "g" * 40, "devices": [1]}, "gpu1": host}
    rig.write_text(tomli_w.dumps({"num_devices": 2, "hosts": hosts}))
    with pytest.raises(ConfigError) as err:
        load(str(rig), None, [])
    assert said in str(err.value)


def test_a_host_s_name_that_is_none_is_said(tmp_path):
    rig = tmp_path / "rig.toml"
    rig.write_text(tomli_w.dumps({"hosts": {"gpu 1": {"key": "k" * 40, "devices": [0]}}}))
    with pytest.raises(ConfigError, match="hosts: got the key 'gpu 1'; allowed: 1 to 64 letters, digits, dashes"):
        load(str(rig), None, [])
