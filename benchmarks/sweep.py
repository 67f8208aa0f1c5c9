"""A sweep of many small runs whose workers, client and scheduler are killed again and again: what is lost?

python -m benchmarks.sweep [--runs 200] [--kill-every-s 20]

The sweep is run twice: undisturbed on a local cluster, and by real processes (`dask scheduler`, `dask worker`,
`testbed sweep --scheduler`) of which one is ended with SIGKILL every 20 s, in turn, so that each kind dies once a
minute, and started again. On a busy machine that is less often: a kill waits for a round since the last one, or nothing
would ever come to an end. After every kill all records are read. Then, of the disturbed sweep:

lost: runs that are not done at the end, and rounds or ended runs that were on the disk after a kill and are gone.
repeated: rounds whose line in rounds.jsonl, and ended runs whose summary.json, were on the disk after a kill and are
    other ones at the end. (They hold wall-clock times, so a second computation shows.) A round that a kill cut short
    had no line, and is played again.
fingerprints_differ: runs whose final weights are not, bit for bit, those of the undisturbed sweep.
records_differ: runs whose rounds (estimates, losses, metrics, NMSE) are not those of the undisturbed sweep.
"""

from __future__ import annotations

import argparse
import hashlib
import itertools
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
import psutil

from testbed.results.directory import RunDirectory
from testbed.sweep.directory import SweepDirectory

KINDS = ("worker", "client", "scheduler")
_SECONDS = ("learner_s", "radio_s", "control_s", "wall_s")
_FILE = """
[sweep]
name = "kills"
seeds = {num_seeds}

[sweep.set]
task.num_train = 400
task.num_test = 100
rounds.num = {num_rounds}
rounds.eval_every = 2

[sweep.grid]
air.snr_db = {snrs_db}
"""


@dataclass(slots=True)
class Bench:
    """The processes of a disturbed sweep, each started again when it has ended."""

    file: Path
    out: Path
    logs: Path
    num_workers: int = 2
    port: int = 0
    running: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)
    starts: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]

    @property
    def names(self) -> list[str]:
        """Of all processes."""
        return ["scheduler", *(f"worker-{number}" for number in range(self.num_workers)), "client"]

    def tend(self) -> int | None:
        """Start what is not running; returns the client's exit code once it has ended by itself."""
        for name in self.names:
            process = self.running.get(name)
            code = process.poll() if process is not None else -9
            if code is None:
                continue
            if name == "client" and code in (0, 1):
                return code
            self._start(name)
        return None

    def kill(self, kind: str, number: int) -> None:
        """SIGKILL for one process of a kind; of a worker in turn the process that computes and its nanny."""
        name = f"worker-{number % self.num_workers}" if kind == "worker" else kind
        process = psutil.Process(self.running[name].pid)
        children = process.children(recursive=True)
        computing = [child for child in children if "spawn_main" in " ".join(child.cmdline())]
        if kind == "worker" and computing and number % 2:
            computing[0].kill()
            return
        process.kill()
        self.running[name].wait()

    def close(self) -> None:
        """End all of them."""
        for process in self.running.values():
            if process.poll() is None:
                for each in [*psutil.Process(process.pid).children(recursive=True), process]:
                    each.kill()
                process.wait()

    def _start(self, name: str) -> None:
        address = f"tcp://127.0.0.1:{self.port}"
        dask = [sys.executable, "-m", "distributed.cli.dask_scheduler"]
        commands = {
            "scheduler": [*dask, "--host", "127.0.0.1", "--port", str(self.port), "--no-dashboard", "--no-show"],
            "client": [sys.executable, "-m", "testbed", "sweep", str(self.file), "--out", str(self.out),
                       "--scheduler", address, "--json"],
        }  # fmt: skip
        worker = [sys.executable, "-m", "distributed.cli.dask_worker", address, "--host", "127.0.0.1",
                  "--nthreads", "1", "--memory-limit", "0", "--no-dashboard", "--death-timeout", "60"]  # fmt: skip
        self.starts[name] += 1
        with (self.logs / f"{name}.log").open("ab") as log:
            self.running[name] = subprocess.Popen(commands.get(name, worker), stdout=log, stderr=log)


def _num_lines(sweep: SweepDirectory) -> int:
    """How many rounds are on the disk."""
    return sum(path.read_bytes().count(b"\n") for path in sweep.runs.glob("*/rounds.jsonl"))


def seen_rounds(sweep: SweepDirectory, names: Sequence[str]) -> dict[tuple[str, int], tuple[object, ...]]:
    """Every whole round on the disk, with what a second computation could not give again."""
    found: dict[tuple[str, int], tuple[object, ...]] = {}
    for name in names:
        for record in RunDirectory(sweep.run(name)).read_rounds():
            found[name, record.round] = (record.wall_s, record.learner_s, record.estimate)
    return found


def seen_ends(sweep: SweepDirectory, names: Sequence[str]) -> dict[str, bytes]:
    """The summaries of the runs that have ended."""
    return {
        name: RunDirectory(sweep.run(name)).summary.read_bytes() for name in names if sweep.seen(name).state == "done"
    }


def results_of(sweep: SweepDirectory, name: str) -> tuple[str, list[dict[str, object]]]:
    """A digest of a run's final weights, and its rounds without their seconds."""
    directory = RunDirectory(sweep.run(name))
    weights = (
        hashlib.sha256(directory.final_weights.read_bytes()).hexdigest() if directory.final_weights.exists() else ""
    )
    rounds = [msgspec.to_builtins(record) for record in directory.read_rounds()]
    return weights, [{key: value for key, value in each.items() if key not in _SECONDS} for each in rounds]


def disturbed(bench: Bench, *, kill_every_s: float, limit_s: float, max_kills: int) -> dict[str, object]:
    """Run the sweep while its processes are killed; returns what came of it."""
    sweep = SweepDirectory(bench.out)
    rounds: dict[tuple[str, int], tuple[object, ...]] = {}
    ends: dict[str, bytes] = {}
    kills: Counter[str] = Counter()
    kinds = itertools.cycle(KINDS)
    started = time.monotonic()
    next_kill = started
    code = None
    try:
        while code is None and time.monotonic() - started < limit_s:
            code = bench.tend()
            if kills.total() < max_kills and time.monotonic() >= next_kill and _num_lines(sweep) > len(rounds):
                kind = next(kinds)
                bench.kill(kind, kills[kind])
                kills[kind] += 1
                next_kill = time.monotonic() + kill_every_s
                names = [run.name for run in sweep.read_plan().runs]
                rounds |= {key: value for key, value in seen_rounds(sweep, names).items() if key not in rounds}
                ends |= {key: value for key, value in seen_ends(sweep, names).items() if key not in ends}
                print(f"{time.monotonic() - started:5.0f} s: killed a {kind}; {len(ends)} runs done", file=sys.stderr)
            time.sleep(0.1)
    finally:
        bench.close()
    names = [run.name for run in sweep.read_plan().runs]
    last_rounds, last_ends = seen_rounds(sweep, names), seen_ends(sweep, names)
    gone = [key for key in rounds if key not in last_rounds] + [key for key in ends if key not in last_ends]
    return {
        "names": names,
        "lost": len(names) - len(last_ends) + len(gone),
        "repeated": sum(last_rounds.get(key, value) != value for key, value in rounds.items())
        + sum(last_ends.get(key, value) != value for key, value in ends.items()),
        "kills": dict(kills),
        "starts": dict(bench.starts),
        "rounds_seen_after_kills": len(rounds),
        "client_exit_code": code,
        "disturbed_s": round(time.monotonic() - started, 1),
    }


def main(arguments: Sequence[str] | None = None) -> None:
    """Parse, run both sweeps, print one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=200, help="a multiple of --settings")
    parser.add_argument("--settings", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=4)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--kill-every-s", type=float, default=20.0, help="at least; a kill also waits for a new round")
    parser.add_argument("--max-kills", type=int, default=10_000)
    parser.add_argument("--limit-s", type=float, default=1800.0)
    parser.add_argument("--out", type=Path, help="keep everything here")
    asked = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as scratch:
        found = measure(asked.out or Path(scratch), asked)
    print(json.dumps(found))


def measure(folder: Path, asked: argparse.Namespace) -> dict[str, object]:
    """Both sweeps, compared."""
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "kills.toml"
    snrs_db = [float(5 * number) for number in range(asked.settings)]
    file.write_text(
        _FILE.format(num_seeds=asked.runs // asked.settings, num_rounds=asked.rounds, snrs_db=snrs_db), encoding="utf-8"
    )
    started = time.monotonic()
    undisturbed = SweepDirectory(folder / "undisturbed")
    command = [sys.executable, "-m", "testbed", "sweep", str(file), "--out", str(undisturbed.path), "--workers"]
    subprocess.run([*command, str(asked.workers)], check=True, stdout=sys.stderr)
    undisturbed_s = time.monotonic() - started
    bench = Bench(file, folder / "disturbed", folder, num_workers=asked.workers)
    found = disturbed(bench, kill_every_s=asked.kill_every_s, limit_s=asked.limit_s, max_kills=asked.max_kills)
    pairs = [
        (results_of(undisturbed, name), results_of(SweepDirectory(bench.out), name)) for name in found.pop("names", [])
    ]
    return {
        "runs": len(pairs),
        "lost": found.pop("lost"),
        "repeated": found.pop("repeated"),
        "fingerprints_differ": sum(a[0] != b[0] or not a[0] for a, b in pairs),
        "records_differ": sum(a[1] != b[1] for a, b in pairs),
        **found,
        "kill_every_s": asked.kill_every_s,
        "undisturbed_s": round(undisturbed_s, 1),
        "cores": os.cpu_count(),
    }


if __name__ == "__main__":
    main()
