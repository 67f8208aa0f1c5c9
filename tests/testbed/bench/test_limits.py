"""Real radios send within limits that their rig states, and only once somebody has agreed."""

import contextlib
import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest

import testbed
from radio.air.config import AirConfig
from testbed.bench.limits import check_limits, preview, radiates
from testbed.bench.rig import resolve
from testbed.commands.cli import main
from testbed.config.files import load
from testbed.config.schema import Rig
from testbed.errors import ConfigError
from tests.libiio import require_libiio, virtual_plutos

NOWHERE = '"ip:127.0.0.1:1"'
"""No radio answers there; for all that anybody knows, a tunnel to a real one might."""
UNSTATED = f"""
backend = "pluto"
num_devices = 1
[pluto]
devices = [{NOWHERE}]
access_point = "ip:127.0.0.1:2"
timeout_s = 0.2
[radio]
center_freq_hz = 915e6
sample_rate_hz = 2e6
tx_gain_db = -30.0
[frame]
start_uncertainty_samples = 60000
control_latency_samples = 50000
"""
STATED = (
    UNSTATED
    + """
[limits]
min_freq_hz = 914e6
max_freq_hz = 916e6
max_tx_gain_db = -30.0
reason = "a cable"
"""
)


def rig_of(text: str, tmp_path: Path, *changes: str) -> Rig:
    path = tmp_path / "rig.toml"
    path.write_text(text)
    return load(str(path), None, list(changes)).rig


def test_a_rig_within_its_limits_is_shown_as_it_is(tmp_path: Path) -> None:
    rig = rig_of(STATED, tmp_path)
    check_limits(rig)
    shown = "\n".join(preview(rig))
    assert "914 to 916 MHz, limits 914 to 916 MHz" in shown
    assert "-30 dB of gain (limit -30)" in shown
    assert "a cable" in shown
    assert "ip:127.0.0.1:1, ip:127.0.0.1:2" in shown
    odd = preview(rig_of(STATED, tmp_path, "limits.reason=a\x1b[2Jb"))
    assert "\x1b" not in "".join(odd)


@pytest.mark.parametrize("key", ["min_freq_hz", "max_freq_hz", "max_tx_gain_db"])
def test_a_real_rig_must_state_each_limit(key: str, tmp_path: Path) -> None:
    lines = [line for line in STATED.splitlines() if not line.startswith(key)]
    with pytest.raises(ConfigError, match=f"got no {key} on a rig whose radios are real"):
        check_limits(rig_of("\n".join(lines), tmp_path))
    with pytest.raises(ConfigError, match="got no min_freq_hz, max_freq_hz, max_tx_gain_db"):
        check_limits(rig_of(UNSTATED, tmp_path))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("limits.min_freq_hz=914.000001e6", "a band from 914000000 Hz on; allowed: limits.min_freq_hz = 914000001"),
        ("limits.max_freq_hz=915.9e6", "a band up to 916000000 Hz; allowed: limits.max_freq_hz"),
        ("radio.sample_rate_hz=2.1e6", "a band from 913950000 Hz on"),
        ("radio.tx_gain_db=-29.75", "radio.tx_gain_db: got -29.75; allowed: limits.max_tx_gain_db = -30"),
        ("limits.max_power_dbfs=-7", "radio.max_power_dbfs: got -6; allowed: limits.max_power_dbfs = -7"),
    ],
)
def test_all_that_is_occupied_lies_within(change: str, said: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as refused:
        check_limits(rig_of(STATED, tmp_path, change))
    assert said in str(refused.value)


def test_simulated_and_virtual_rigs_need_none_but_keep_those_they_state() -> None:
    for name in ("loopback", "pluto_indoor", "virtual_plutos"):
        rig = load(name, None, []).rig
        assert not radiates(rig)
        check_limits(rig)
        with pytest.raises(ConfigError, match=r"limits\.max_tx_gain_db"):
            check_limits(load(name, None, ["limits.max_tx_gain_db=-80"]).rig)


def test_what_is_not_known_to_be_simulated_radiates() -> None:
    """An address on this machine may be a tunnel's."""
    rig = load("virtual_plutos", None, ["num_devices=1", 'pluto.devices=["ip:127.0.0.1"]', "pluto.access_point=usb:1"])
    assert radiates(rig.rig)
    assert radiates(load("pluto_bench_5", None, []).rig)
    resolve(load("pluto_bench_5", "quickstart_energy", []))


COMMANDS = (
    ["run", "--experiment", "quickstart_energy"],
    ["access-point", "--experiment", "quickstart_energy", "--bind", "tcp://127.0.0.1:0"],
    ["measure"],
    ["doctor"],
)


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command[0])
def test_commands_show_what_they_would_radiate_and_refuse_where_nobody_can_be_asked(
    command: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "stdin", Path(os.devnull).open())  # noqa: SIM115
    for text, said in ((STATED, "nobody can be asked"), (UNSTATED, "got no min_freq_hz")):
        Path("rig.toml").write_text(text)
        with pytest.raises(SystemExit) as ended:
            main([*command, "--rig", "rig.toml"])
        assert ended.value.code == 1
        shown = capsys.readouterr().err
        assert said in shown.replace("\n", " ")
        assert ("about to radiate" in shown) == (text is STATED)
    sys.stdin.close()
    assert [path.name for path in Path().iterdir()] == ["rig.toml"]


def test_with_yes_it_goes_on_to_the_radios(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("rig.toml").write_text(STATED)
    with pytest.raises(SystemExit) as ended:
        main(["measure", "--rig", "rig.toml", "--yes"])
    assert ended.value.code == 1
    shown = capsys.readouterr().err.replace("\n", " ")
    assert "about to radiate" in shown
    assert "nobody can be asked" not in shown
    assert "127.0.0.1:" in shown.partition("error: ")[2] or "pylibiio" in shown


@pytest.mark.parametrize("answer", [b"n\n", b"\n", b"y\n"])
def test_a_terminal_is_asked(answer: bytes, tmp_path: Path) -> None:
    """A yes goes on, and fails at the radio that is not there; all else is a no."""
    (tmp_path / "rig.toml").write_text(STATED)
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "testbed", "measure", "--rig", "rig.toml"]
    with subprocess.Popen(command, cwd=tmp_path, stdin=theirs, stdout=theirs, stderr=theirs) as asked:
        os.close(theirs)
        shown = b""
        while b"radiate? [y/N]" not in shown:
            shown += os.read(ours, 4096)
        os.write(ours, answer)
        with contextlib.suppress(OSError):  # once the other end is gone
            while piece := os.read(ours, 4096):
                shown += piece
    os.close(ours)
    assert asked.returncode == 1
    assert (b"Aborted" in shown) == (answer != b"y\n")


def test_python_says_so_too(tmp_path: Path) -> None:
    rig_of(STATED, tmp_path)
    with pytest.raises(ConfigError, match="radiate: got false on a rig whose radios are real"):
        testbed.run("quickstart_energy", tmp_path / "rig.toml", out=tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_learner_host_asks_for_itself(tmp_path: Path) -> None:
    """The rig comes from the access point; what is radiated here somebody here agrees to."""
    require_libiio()
    air = AirConfig(cfo_max_hz=0.0)
    with virtual_plutos(num_devices=1, air=air, shared_clock=False) as plutos:
        text = STATED.replace(NOWHERE, f'"{plutos.device_uris[0]}"')
        text = text.replace('"ip:127.0.0.1:2"', f'"{plutos.access_point_uri}"')
        (tmp_path / "rig.toml").write_text(text.replace("timeout_s = 0.2", "timeout_s = 5"))
        command = [sys.executable, "-m", "testbed", "access-point", "--rig", "rig.toml", "--experiment"]
        command += ["quickstart_energy", "--bind", "tcp://127.0.0.1:*", "--yes", "--out", "run"]
        pipe = subprocess.PIPE
        with subprocess.Popen(command, cwd=tmp_path, stdin=subprocess.DEVNULL, stderr=pipe, text=True) as served:
            try:
                assert served.stderr is not None
                address = next(line.split()[-1] for line in served.stderr if line.startswith("access point at"))
                host = [sys.executable, "-m", "testbed", "device", "--devices", "0", "--connect", address]
                found = subprocess.run(
                    host,
                    cwd=tmp_path,
                    stdin=subprocess.DEVNULL,
                    capture_output=True,
                    text=True,
                    timeout=120,
                    check=False,
                )
            finally:
                served.kill()
    assert found.returncode == 1
    assert "about to radiate: 1 devices" in found.stderr
    assert "nobody can be asked" in found.stderr.replace("\n", " ")
