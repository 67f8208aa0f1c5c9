"""`testbed air --rig`: a bench of virtual Plutos as a process of its own."""

from __future__ import annotations

import re
import shutil
import signal
import socket
import subprocess
from typing import Any

import pytest

from tests.system.conftest import GIVE_UP_S
from tests.system.nursery import Child

RIG = """
num_devices = 2
[air]
cfo_max_hz = 0.0
[virtual]
first_port = 0
"""


@pytest.fixture
def rig(bench: Any) -> str:
    path = bench.directory / "plutos.toml"
    path.write_text(RIG)
    return str(path)


def ready(process: Child) -> list[str]:
    """The lines up to the one that says so."""
    lines: list[str] = []
    while not lines or not lines[-1].startswith("ready"):
        line = process.stdout.readline()
        assert line, process.communicate()[1]
        lines.append(line.strip())
    return lines


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_bench_prints_one_uri_a_radio_and_ends_cleanly(bench: Any, rig: str, number: signal.Signals) -> None:
    process = bench.start("air", "--rig", rig)
    lines = ready(process)
    stations = [re.fullmatch(r"(ip:127\.0\.0\.1:\d+) (device \d|access point)", line) for line in lines[:-1]]
    assert [match and match[2] for match in stations] == ["device 0", "device 1", "access point"]
    assert lines[-1] == "ready: 3 virtual Plutos, as fast as possible"
    if shutil.which("iio_info"):
        for match in stations:
            assert match is not None
            listed = subprocess.run(["iio_info", "-u", match[1]], capture_output=True, text=True, timeout=GIVE_UP_S)
            assert "4 devices" in listed.stdout
    process.send_signal(number)
    _, errors = process.communicate(timeout=GIVE_UP_S)
    assert process.returncode == 0, errors
    assert "Traceback" not in errors


def test_overrides_reach_the_bench(bench: Any, rig: str) -> None:
    process = bench.start("air", "--rig", rig, "--set", "num_devices=1", "--set", "virtual.pacing=real_time")
    assert ready(process)[-1] == "ready: 2 virtual Plutos, real time"


def test_an_address_that_is_taken_is_one_line_and_exit_code_1(bench: Any, rig: str) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        done = bench.run("air", "--rig", rig, "--set", f"virtual.first_port={taken.getsockname()[1]}")
    assert done.returncode == 1
    assert re.fullmatch(r"error: virtual Pluto: cannot listen at .* set virtual\.first_port.*\n", done.stderr)


@pytest.mark.parametrize(("override", "words"), [
    ("virtual.host=0.0.0.0", "allow_remote"), ("virtual.ppm_max=-1", "virtual.ppm_max"),
    ("air.cfo_max_hz=20", "virtual.ppm_max"), ("virtual.pace=fast", "unknown key"),
])  # fmt: skip
def test_bad_benches_are_refused_in_one_line(bench: Any, rig: str, override: str, words: str) -> None:
    done = bench.run("air", "--rig", rig, "--set", override)
    assert done.returncode == 1
    assert words in done.stderr
    assert done.stderr.count("\n") == 1


def test_the_rig_that_comes_with_the_toolkit_serves_six_radios(bench: Any) -> None:
    process = bench.start("air", "--rig", "virtual_plutos", "--set", "virtual.first_port=0")
    assert len(ready(process)) == 7


def test_bind_and_rig_exclude_each_other(bench: Any, rig: str) -> None:
    assert bench.run("air", "--rig", rig, "--bind", "tcp://127.0.0.1:1").returncode == 2
    assert bench.run("air", "--set", "num_devices=3").returncode == 2
