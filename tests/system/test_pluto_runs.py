"""Experiments on virtual PlutoSDRs, through libiio and the real command line; and what doctor says of them."""

import json
import os
import socket
import statistics
import subprocess
from contextlib import ExitStack
from pathlib import Path

import pytest

from testbed.results import journal as j
from tests.libiio import require_libiio
from tests.radio.backends.pluto.test_pluto_radio import tx_gain_db
from tests.system.conftest import GIVE_UP_S, Bench, free_port

SHORT = ["--set", "rounds.num=12", "--set", "rounds.eval_every=12", "--set", "task.num_test=64"]
ENERGY = "virtual_plutos"
COHERENT = "virtual_plutos_shared_clock"


@pytest.fixture(autouse=True)
def _libiio() -> None:
    require_libiio()


def six_free_ports(lowest: int = 20_000, num_ports: int = 12_000) -> int:
    """The first of six in a row, below those that the system hands out by itself; far from those of other workers,
    whose process numbers are near."""
    for number in range(num_ports // 6):
        first = lowest + (os.getpid() * 97 + number) * 6 % num_ports
        with ExitStack() as stack:
            try:
                for port in range(first, first + 6):
                    stack.enter_context(socket.socket()).bind(("127.0.0.1", port))
            except OSError:
                continue
            return first
    raise AssertionError("no six free ports in a row")


class Lab:
    """Six virtual Plutos at ports of their own."""

    def __init__(self, bench: Bench, rig: str, *options: str) -> None:
        self.bench = bench
        self.first_port = six_free_ports()
        self.rig = ["--rig", rig, "--set", f"virtual.first_port={self.first_port}", *options]
        air = bench.start("air", *self.rig)
        lines = [air.stdout.readline() for _ in range(7)]
        assert lines[-1].startswith("ready"), lines

    def uri(self, station: int) -> str:
        return f"ip:127.0.0.1:{self.first_port + station}"

    def run(self, *options: str) -> subprocess.CompletedProcess[str]:
        return self.bench.run("run", *self.rig, "--out", "run", *options)


def rounds_of(run: Path) -> list[dict]:
    return [json.loads(line) for line in (run / "rounds.jsonl").read_text().splitlines()]


def median_nmse_db(run: Path) -> float:
    return statistics.median(record["nmse_db"] for record in rounds_of(run) if record["nmse_db"] is not None)


@pytest.mark.parametrize(
    ("rig", "experiment", "limit_db"), [(ENERGY, "quickstart_energy", -18), (COHERENT, "quickstart", -20)]
)
def test_the_experiment_runs_unchanged_on_plutos(bench, rig, experiment, limit_db):
    lab = Lab(bench, rig)
    done = lab.run("--experiment", experiment, *SHORT)
    assert done.returncode == 0, done.stderr
    run = bench.directory / "run"
    assert median_nmse_db(run) <= limit_db
    assert sum(record["status"] in ("ok", "retried") for record in rounds_of(run)) >= 11
    assert [tx_gain_db(lab.uri(station)) for station in range(6)] == [-89.75] * 6


@pytest.mark.parametrize("scheme", ["digital", pytest.param("fsk_vote", marks=pytest.mark.long)])
def test_other_schemes_of_free_running_radios_run_too(bench, scheme):
    lab = Lab(bench, ENERGY)
    options = [*SHORT, "--set", "rounds.num=3", "--set", f"scheme.name={scheme}"]
    done = lab.run("--experiment", "quickstart_energy", *options)
    assert done.returncode == 0, done.stderr
    assert [record["status"] for record in rounds_of(bench.directory / "run")] == ["ok"] * 3


@pytest.mark.parametrize(
    ("rig", "experiment"),
    [pytest.param(ENERGY, "quickstart_energy", marks=pytest.mark.long), (COHERENT, "quickstart")],
)
def test_hosts_open_only_their_own_radios(bench, rig, experiment):
    lab = Lab(bench, rig)
    control = f"tcp://127.0.0.1:{free_port()}"
    hosts = [bench.start("device", "--devices", which, "--connect", control) for which in ("0-1", "2,3,4")]
    access_point = bench.start(
        "access-point", *lab.rig, "--experiment", experiment, "--bind", control, "--out", "run", *SHORT
    )
    _, stderr = access_point.communicate(timeout=GIVE_UP_S)
    assert access_point.returncode == 0, stderr
    for host in hosts:
        host.communicate(timeout=GIVE_UP_S)
        assert host.returncode == 0
    records = [record for record in j.read(bench.directory / "run" / "journal.bin") if isinstance(record, j.Result)]
    assert sum(bool(record.coefficients) for record in records) >= 11
    assert median_nmse_db(bench.directory / "run") <= -18


def test_without_radios_the_error_says_what_to_start(bench):
    nowhere = ["--rig", ENERGY, "--set", f"virtual.first_port={free_port()}", "--experiment", "quickstart_energy"]
    done = bench.run("run", *nowhere, "--out", "run", *SHORT)
    assert done.returncode == 1
    assert "testbed air --rig" in done.stderr.strip().splitlines()[-1]
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(("rig", "coherent"), [(ENERGY, False), (COHERENT, True)])
def test_doctor_says_which_schemes_a_rig_supports(bench, rig, coherent):
    lab = Lab(bench, rig)
    done = bench.run("doctor", *lab.rig, "--json")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert [radio["loopback_errors"] for radio in found["radios"]] == [0] * 6
    assert len({radio["serial"] for radio in found["radios"]}) == 6
    assert all(30 < radio["chip_temperature_c"] < 50 for radio in found["radios"])
    assert all(1.7 < radio["supplies_v"]["vccaux"] < 1.9 for radio in found["radios"])
    assert all(link["starts_heard"] == 8 for link in found["links"])
    assert all(0.001 <= link["start_earliest_s"] <= link["start_latest_s"] <= 0.011 for link in found["links"])
    offsets = [abs(link["cfo_hz"]) for link in found["links"]]
    assert (max(offsets) < 5) == coherent
    assert all(abs(link["corrected_cfo_hz"]) < 20 for link in found["links"])
    supported = {scheme["scheme"]: scheme["supported"] for scheme in found["schemes"]}
    assert supported == {"coherent": coherent, "sign": coherent, "energy": True, "fsk_vote": True, "digital": True}
    assert [tx_gain_db(lab.uri(station)) for station in range(6)] == [-89.75] * 6


@pytest.mark.parametrize("left_on", [False, True])
def test_the_backend_switches_quadrature_tracking_off_and_left_on_it_costs_coherent(bench, left_on):
    """Steps of 10°: E(1 − cos ε)² is between −34 dB, the common rotation turned back, and −26 dB, none of it."""
    tracking = ["--set", "air.receiver.quadrature_tracking_deg=10", "--set", "air.receiver.quadrature_tracking_ms=20"]
    keep = ["--set", f"pluto.quadrature_tracking={str(left_on).lower()}", "--set", "air.fading=none"]
    lab = Lab(bench, COHERENT, *tracking, *keep)
    done = lab.run("--experiment", "quickstart", *SHORT, "--set", "rounds.num=16", "--set", "rounds.eval_every=16")
    assert done.returncode == 0, done.stderr
    run = bench.directory / "run"
    if left_on:
        assert -45 < median_nmse_db(run) < -22
    else:
        assert median_nmse_db(run) < -50
        assert [record["status"] for record in rounds_of(run)] == ["ok"] * 16


def test_doctor_saves_what_it_found(bench):
    lab = Lab(bench, ENERGY, "--set", "num_devices=5")
    done = bench.run("doctor", *lab.rig, "--out", "report")
    assert done.returncode == 0, done.stderr
    found = json.loads((bench.directory / "report" / "doctor.json").read_text())
    assert found["problems"] == []
    assert len(found["spectrum"]["frequencies_hz"]) == 1024
    assert (bench.directory / "report" / "doctor.png").stat().st_size > 10_000


def test_doctor_without_radios_fails_and_names_each(bench):
    done = bench.run("doctor", "--rig", ENERGY, "--set", f"virtual.first_port={free_port()}")
    assert done.returncode == 1
    assert done.stdout.count("no radio answers") == 6


FAULTS = """[
    {kind = "drop", command = "WRITEBUF", every = EVERY, skip = 40, times = 0},
    {kind = "restart", command = "READBUF", every = 1501, skip = 150, times = 0, duration_s = 0.1},
    {kind = "timeout", command = "READBUF", every = 973, skip = 90, times = 0},
    {kind = "busy", command = "OPEN", every = 67, skip = 30, times = 0},
]"""


@pytest.mark.parametrize(
    ("rig", "experiment", "every"),
    [(ENERGY, "quickstart_energy", 61), pytest.param(COHERENT, "quickstart", 6001, marks=pytest.mark.long)],
)
def test_a_run_survives_lost_links_and_restarts(bench, rig, experiment, every):
    faults = FAULTS.replace("EVERY", str(every)).replace("\n", " ")
    lab = Lab(bench, rig, "--set", f"virtual.faults={faults}")
    done = lab.run("--experiment", experiment, *SHORT, "--set", "rounds.num=20", "--set", "rounds.max_attempts=4")
    assert done.returncode == 0, done.stderr
    statuses = [record["status"] for record in rounds_of(bench.directory / "run")]
    assert statuses.count("retried") >= 1, "the faults must have struck"
    assert statuses.count("ok") + statuses.count("retried") >= 18
    assert "bit-identical" in bench.run("replay", "run").stdout


@pytest.mark.long
@pytest.mark.parametrize(
    ("rig", "experiment", "changes"),
    [
        (ENERGY, "quickstart_energy", ("frame.start_uncertainty_samples=60000", "frame.control_latency_samples=50000")),
        (COHERENT, "quickstart", ("frame.start_uncertainty_samples=200000", "pluto.stream_block_samples=16384")),
    ],
)
def test_real_time_is_enough_time(bench, rig, experiment, changes):
    """Not every round on a busy machine: but those that are used are right."""
    options = [word for change in ("virtual.pacing=real_time", *changes) for word in ("--set", change)]
    lab = Lab(bench, rig, *options)
    done = lab.run("--experiment", experiment, *SHORT, "--set", "rounds.max_attempts=5")
    assert done.returncode == 0, done.stderr
    used = [record for record in rounds_of(bench.directory / "run") if record["status"] in ("ok", "retried")]
    assert len(used) >= 6
    assert median_nmse_db(bench.directory / "run") <= -18


@pytest.mark.long
@pytest.mark.parametrize(("rig", "experiment"), [(ENERGY, "quickstart_energy"), (COHERENT, "quickstart")])
def test_learning_on_plutos_ends_where_learning_on_loopback_ends(bench, rig, experiment):
    lab = Lab(bench, rig)
    metric = {}
    for name, chosen in (("plutos", lab.rig), ("loopback", ["--rig", "pluto_indoor" if rig == ENERGY else "loopback"])):
        process = bench.start("run", *chosen, "--experiment", experiment, "--out", name)
        _, stderr = process.communicate(timeout=3 * GIVE_UP_S)
        assert process.returncode == 0, stderr
        metric[name] = json.loads((bench.directory / name / "summary.json").read_text())["metric_final"]
    assert abs(metric["plutos"] - metric["loopback"]) <= 0.03
    assert median_nmse_db(bench.directory / "plutos") <= -20
