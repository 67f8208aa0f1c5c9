"""Two machines, as docs/machines.md puts them together: two network namespaces with a cable in between."""

import os
import re
import secrets
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.system.conftest import GIVE_UP_S
from tests.system.nursery import ROOT
from tests.system.test_processes import SHORT, final_weights

ACCESS_POINT, HOST = "10.77.0.1", "10.77.0.2"


class Machine:
    """A network namespace, and its user's keys and files."""

    def __init__(self, namespace: str, directory: Path) -> None:
        self.namespace = namespace
        self.directory = directory
        directory.mkdir()
        self.num_commands = 0

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        self.num_commands += 1
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "AIRZERO_KEYS": str(self.directory / "keys")}
        return subprocess.Popen(
            ["ip", "netns", "exec", self.namespace, sys.executable, "-m", "testbed", "-v", *arguments],
            cwd=self.directory, env=environment, text=True,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip

    def run(self, *arguments: str) -> str:
        process = self.start(*arguments)
        stdout, stderr = process.communicate(timeout=GIVE_UP_S)
        assert process.returncode == 0, stderr
        return stdout


def ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True, capture_output=True, text=True)


@pytest.fixture
def machines(tmp_path: Path) -> Iterator[tuple[Machine, Machine]]:
    if shutil.which("ip") is None:
        pytest.skip("network namespaces: `ip` is not here; as root: apt-get install -y iproute2")
    name = f"az{secrets.token_hex(3)}"
    with ExitStack() as stack:
        try:
            for side in ("a", "b"):
                ip("netns", "add", f"{name}{side}")
                stack.callback(ip, "netns", "del", f"{name}{side}")
            ip("link", "add", f"{name}a", "netns", f"{name}a", "type", "veth", "peer", f"{name}b", "netns", f"{name}b")
            for side, address in (("a", ACCESS_POINT), ("b", HOST)):
                inside = ("-n", f"{name}{side}")
                ip(*inside, "address", "add", f"{address}/24", "dev", f"{name}{side}")
                ip(*inside, "link", "set", f"{name}{side}", "up")
                ip(*inside, "link", "set", "lo", "up")
        except subprocess.CalledProcessError as err:
            pytest.skip(f"network namespaces: not permitted here: {err.stderr.strip()}")
        yield Machine(f"{name}a", tmp_path / "access-point"), Machine(f"{name}b", tmp_path / "host")


def test_two_machines_with_keys_give_the_weights_of_one_process(machines, bench):
    lab, host = machines
    control, air_address = f"tcp://{ACCESS_POINT}:5555", f"tcp://{ACCESS_POINT}:5556"
    public = re.search(r"of this access point: (\S{40})", lab.run("keys", "init"))[1]
    printed = host.run("keys", "device", "gpu1", "--access-point", public)
    section = re.search(r'\[hosts\.gpu1\]\nkey = "\S{40}"\ndevices = ', printed)[0]
    rig = (ROOT / "hardware_configs" / "loopback.toml").read_text()
    (lab.directory / "lab.toml").write_text(f"{rig}\n{section}[0, 1, 2, 3, 4]\n")
    assert bench.run("run", "--out", "one", *SHORT).returncode == 0
    with ExitStack() as stack:

        def start(machine: Machine, *arguments: str) -> subprocess.Popen[str]:
            process = machine.start(*arguments)
            stack.callback(process.communicate)
            stack.callback(process.kill)
            return process

        start(lab, "air", "--bind", air_address)
        access_point = start(
            lab, "access-point", "--rig", "lab.toml", "--bind", control, "--air", air_address, "--out", "many", *SHORT
        )
        device = start(host, "device", "--devices", "0-4", "--connect", control, "--save", "host.safetensors")
        for process in (access_point, device):
            _, stderr = process.communicate(timeout=GIVE_UP_S)
            assert process.returncode == 0, stderr
    assert final_weights(lab.directory / "many") == final_weights(bench.directory / "one")
    assert lab.num_commands + host.num_commands <= 10
    secret_of = {path: re.search(r'"secret":"(.{40})"', path.read_text())[1] for path in lab.directory.glob("keys/*")}
    assert len(secret_of) == 2
    for path in (lab.directory / "many").rglob("*"):
        assert not path.is_file() or not any(secret.encode() in path.read_bytes() for secret in secret_of.values())


def test_a_machine_without_a_known_key_gets_nothing(machines):
    lab, host = machines
    control, air_address = f"tcp://{ACCESS_POINT}:5555", f"tcp://{ACCESS_POINT}:5556"
    public = re.search(r"of this access point: (\S{40})", lab.run("keys", "init"))[1]
    stranger = host.start("device", "--devices", "0", "--connect", control)
    _, stderr = stranger.communicate(timeout=GIVE_UP_S)
    assert stranger.returncode == 1
    assert "testbed keys device" in stderr
    air = lab.start("air", "--bind", air_address)
    access_point = lab.start("access-point", "--bind", control, "--air", air_address, "--out", "run", *SHORT)
    try:
        host.run("keys", "device", "gpu1", "--access-point", public)
        stranger = host.start("device", "--devices", "0", "--connect", control, "--timeout-s", "5")
        _, stderr = stranger.communicate(timeout=GIVE_UP_S)
        assert stranger.returncode == 1
        assert "nothing heard for 5 s" in stderr
        access_point.send_signal(signal.SIGINT)
        _, stderr = access_point.communicate(timeout=GIVE_UP_S)
        assert access_point.returncode == 130
        assert f"refused a connection from {HOST}: unknown key" in stderr
    finally:
        for process in (access_point, air):
            process.kill()
            process.communicate()
