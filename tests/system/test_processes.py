"""The same experiment as separate processes: same bits; and whatever dies is not missed for long."""

import json
import signal
import time
from pathlib import Path

import pytest
from safetensors.numpy import load_file

from testbed.results import journal as j
from tests.system.conftest import GIVE_UP_S, Bench, free_port
from tests.system.nursery import Child

SHORT = ["--set", "rounds.num=20", "--set", "rounds.eval_every=10", "--set", "task.num_test=64"]


def final_weights(run: Path) -> dict[str, bytes]:
    return {name: tensor.tobytes() for name, tensor in load_file(run / "checkpoints" / "final.safetensors").items()}


def summary(run: Path) -> dict[str, object]:
    return json.loads((run / "summary.json").read_text())


def results(run: Path) -> list[j.Result]:
    return [record for record in j.read(run / "journal.bin") if isinstance(record, j.Result)]


def wait_for_round(process: Child, run: Path, round_index: int) -> None:
    """Until a line of this round is in the results."""
    lines = run / "rounds.jsonl"
    while not (lines.exists() and lines.read_bytes().count(b"\n") > round_index):
        assert process.poll() is None, process.communicate()
        time.sleep(0.01)


class Lab:
    """An air, and whoever joins it."""

    def __init__(self, bench: Bench) -> None:
        self.bench = bench
        self.control = f"tcp://127.0.0.1:{free_port()}"
        self.air = f"tcp://127.0.0.1:{free_port()}"
        bench.start("air", "--bind", self.air)

    def access_point(self, *arguments: str, fresh: bool = False):
        start = self.bench.start_fresh if fresh else self.bench.start
        return start("access-point", "--bind", self.control, "--air", self.air, *arguments)

    def device(self, devices: str, *arguments: str, fresh: bool = False):
        start = self.bench.start_fresh if fresh else self.bench.start
        return start("device", "--devices", devices, "--connect", self.control, *arguments)


def finished(process) -> str:
    stdout, stderr = process.communicate(timeout=GIVE_UP_S)
    assert process.returncode == 0, stderr
    return stdout


@pytest.mark.parametrize(("scheme", "fresh"), [("coherent", True), ("digital", False), ("energy", False)])
def test_separate_processes_give_the_same_weights_bit_for_bit(bench, scheme, fresh):
    options = [*SHORT, "--set", f"scheme.name={scheme}"]
    lab = Lab(bench)
    hosts = [lab.device("0-1", "--save", "host.safetensors", fresh=fresh), lab.device("2,3,4")]
    access_point = lab.access_point("--out", "many", *options, fresh=fresh)
    alone = bench.run("run", "--out", "one", *options)
    assert alone.returncode == 0, alone.stderr
    finished(access_point)
    for host in hosts:
        finished(host)
    one, many = bench.directory / "one", bench.directory / "many"
    assert final_weights(one) == final_weights(many)
    live = {k: v.tobytes() for k, v in load_file(bench.directory / "host.safetensors").items()}
    assert live == final_weights(many)
    assert [r.estimates for r in results(one)] == [r.estimates for r in results(many)]
    assert "bit-identical" in bench.run("replay", "many").stdout


def test_a_killed_access_point_resumes_where_its_journal_ends(bench):
    lab = Lab(bench)
    options = ["--set", "rounds.num=40", "--set", "rounds.eval_every=20", "--set", "task.num_test=64"]
    host = lab.device("0-4")
    first = lab.access_point("--out", "run", *options)
    run = bench.directory / "run"
    wait_for_round(first, run, 5)
    first.send_signal(signal.SIGKILL)
    first.communicate(timeout=GIVE_UP_S)
    finished(lab.access_point("--resume", "run"))
    finished(host)
    assert [result.round for result in results(run)] == list(range(40))
    assert len((run / "rounds.jsonl").read_text().splitlines()) == 40
    assert summary(run)["rounds_total"] == 40
    charged = {r.round for r in j.read(run / "journal.bin") if isinstance(r, j.Spent)}
    assert charged == set(range(40))
    assert "bit-identical" in bench.run("replay", "run").stdout


def test_a_killed_host_comes_back_and_catches_up(bench):
    lab = Lab(bench)
    options = ["--set", "rounds.num=60", "--set", "rounds.eval_every=30", "--set", "task.num_test=64"]
    slow = ["--set", f"control.rejoin_timeout_s={GIVE_UP_S}", "--set", "rounds.max_attempts=5"]
    stays = lab.device("0-2")
    dies = lab.device("3,4")
    access_point = lab.access_point("--out", "run", *options, *slow)
    run = bench.directory / "run"
    wait_for_round(access_point, run, 5)
    dies.send_signal(signal.SIGKILL)
    returns = lab.device("3,4", "--save", "returned.safetensors")
    finished(access_point)
    finished(stays)
    finished(returns)
    assert [result.round for result in results(run)] == list(range(60))
    live = {k: v.tobytes() for k, v in load_file(bench.directory / "returned.safetensors").items()}
    assert live == final_weights(run)
    assert summary(run)["rounds_ok"] >= 59


def test_a_device_that_the_rig_does_not_have_is_refused(bench):
    lab = Lab(bench)
    lab.access_point("--out", "run", *SHORT)
    stranger = lab.device("7")
    _, stderr = stranger.communicate(timeout=GIVE_UP_S)
    assert stranger.returncode == 1
    assert "allowed 0 to 4" in stderr
    assert "Traceback" not in stderr


def test_devices_that_never_come_are_named(bench):
    lab = Lab(bench)
    lab.device("0-2")
    for join_timeout_s in (3, 100):
        lonely = lab.access_point("--out", "run", *SHORT, "--set", f"control.join_timeout_s={join_timeout_s}")
        _, stderr = lonely.communicate(timeout=GIVE_UP_S)
        if "devices 0-4" not in stderr:  # else the machine is too busy for a host to come in so short a time
            break
    assert lonely.returncode == 1
    assert f"devices 3, 4: not joined in {join_timeout_s} s" in stderr
    assert "Traceback" not in stderr


def test_a_host_without_an_access_point_gives_up_in_time(bench):
    done = bench.run("device", "--devices", "0", "--connect", f"tcp://127.0.0.1:{free_port()}", "--timeout-s", "2")
    assert done.returncode == 1
    assert "nothing heard for 2 s" in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
