"""What the live page costs, and whether it stays on this machine.

python -m benchmarks.dashboard [--pairs 5] [--rounds 600] [--opens 5]

Opening a run of 100,000 rounds in a headless Chromium, from the request until the loss is drawn, by a server that has
not read the run before; CPU time of the server while 20 rounds and 4 captures a second are written and one page is
open; requests of that page to other hosts; and CPU time of a run's own process with `--dashboard` and a reader of its
events over that without, in turn (median of pairs). Needs Chromium (`scripts/install-chromium`). Some eight minutes;
the last line is JSON.
"""

import argparse
import itertools
import json
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import msgspec
import numpy as np
import tomli_w

from benchmarks.chromium import Chromium
from testbed.config.files import load
from testbed.config.schema import to_plain
from testbed.results.live.capture import NAME
from testbed.results.records import RoundRecord

NUM_ROUNDS = 100_000
UPDATES_PER_S, CAPTURES_PER_S = 20, 4
WATCHED_S = 20.0
DRAWN = "document.querySelector('#panel-loss .plot')?.dataset.points > 100"
_RUN = """
import resource, sys
from testbed.commands.cli import main
try:
    main(sys.argv[1:])
except SystemExit as ended:
    used = resource.getrusage(resource.RUSAGE_SELF)
    print(f"CPU {used.ru_utime + used.ru_stime}", flush=True)
    raise
"""


def record_of(index: int, values: np.ndarray, *, eval_every: int) -> RoundRecord:
    """A round as the quickstart writes it; `values` are four normal ones."""
    noise, snr, scalar, imag = values.tolist()
    evaluated = (index + 1) % eval_every == 0
    return RoundRecord(
        round=index,
        seed=index,
        scheme="coherent",
        status="ok",
        attempt=1,
        estimate=(scalar,),
        received=((0.01 * scalar, 0.001 * imag),),
        true_mean=(scalar + 0.01 * noise,),
        nmse_db=-38 + 8 * noise,
        predicted_error_std=0.02,
        symbol_snr_db=46 + 2 * snr,
        gain=0.003,
        rho_spent=1e3,
        loss=0.7 / (1 + index / 500) + 0.02 * noise,
        eval_loss=0.7 / (1 + index / 500) if evaluated else None,
        metric=min(0.98, 0.5 + index / 2000) if evaluated else None,
        airtime_s=0.0103,
        learner_s=0.012,
        radio_s=0.006,
        control_s=0.004,
        wall_s=0.022,
    )


def run_of(directory: Path, num_rounds: int) -> Path:
    """A run directory with so many rounds."""
    directory.mkdir()
    config = load("loopback", "quickstart", [f"rounds.num={NUM_ROUNDS}", "rounds.eval_every=500"])
    (directory / "config.toml").write_text(tomli_w.dumps(_without_none(to_plain(config))))
    values = np.random.default_rng(1).normal(size=(num_rounds, 4))
    lines = (msgspec.json.encode(record_of(i, values[i], eval_every=500)) + b"\n" for i in range(num_rounds))
    (directory / "rounds.jsonl").write_bytes(b"".join(lines))
    return directory


def _without_none(value: object) -> object:
    if isinstance(value, dict):
        return {key: _without_none(item) for key, item in value.items() if item is not None}
    return value


@contextmanager
def served(*directories: Path) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """A page in a process of its own, and its address."""
    command = [sys.executable, "-m", "testbed", "dashboard", "--port", "0", *map(str, directories)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    try:
        assert process.stdout is not None
        yield process.stdout.readline().split()[-1], process
    finally:
        process.terminate()
        process.wait()


def cpu_s(pid: int) -> float:
    """CPU time of a process so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def family_cpu_s(pid: int) -> float:
    """That of a process and all below it."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return cpu_s(pid) + sum(family_cpu_s(int(child)) for child in children)


def opening(directory: Path, num_opens: int) -> tuple[list[float], list[str]]:
    """Seconds from the request to the drawn loss, each time of a new server, and what the page asked for."""
    found, requests = [], []
    for _ in range(num_opens):
        with served(directory) as (url, _), Chromium() as browser:
            began = time.perf_counter()
            browser.open(url)
            browser.wait_for(DRAWN)
            found.append(time.perf_counter() - began)
            requests += [asked for asked in browser.requests if urlsplit(asked).netloc != urlsplit(url).netloc]
            print(f"opened {NUM_ROUNDS:,} rounds in {found[-1]:.2f} s", flush=True)
    return found, [asked for asked in requests if asked != "about:blank"]


def watching(directory: Path, capture: bytes) -> tuple[float, float, float, list[str]]:
    """Shares of a core of server and browser, updates a second, and requests elsewhere, while rounds are written."""
    with served(directory) as (url, process), Chromium() as browser:
        browser.open(url)
        browser.wait_for(DRAWN)
        time.sleep(8)  # the plan of the run, which a process of its own computes, has come
        ending = threading.Event()
        writer = threading.Thread(target=_write_on, args=(directory, capture, ending))
        writer.start()
        time.sleep(1)
        before = cpu_s(process.pid), family_cpu_s(browser.process.pid), _updates(browser), time.perf_counter()
        time.sleep(WATCHED_S)
        after = cpu_s(process.pid), family_cpu_s(browser.process.pid), _updates(browser), time.perf_counter()
        ending.set()
        writer.join()
        server, page, updates, wall_s = (b - a for a, b in zip(before, after, strict=True))
        elsewhere = [asked for asked in browser.requests if not asked.startswith((url, "about:blank"))]
    return server / wall_s, page / wall_s, updates / wall_s, elsewhere


def _updates(browser: Chromium) -> float:
    return float(browser.evaluate("document.body.dataset.updates"))


def _write_on(directory: Path, capture: bytes, ending: threading.Event) -> None:
    values = np.random.default_rng(2).normal(size=(10_000, 4))
    began = time.perf_counter()
    with (directory / "rounds.jsonl").open("ab", buffering=0) as file:
        for step in itertools.count():
            file.write(msgspec.json.encode(record_of(NUM_ROUNDS + step, values[step], eval_every=500)) + b"\n")
            if step % (UPDATES_PER_S // CAPTURES_PER_S) == 0:
                (directory / "part").write_bytes(capture)
                (directory / "part").replace(directory / NAME)
            if ending.wait(max(0.0, began + (step + 1) / UPDATES_PER_S - time.perf_counter())):
                return


def cpu_of_run(out: Path, num_rounds: int, *, with_page: bool) -> float:
    """CPU seconds of the process that runs the quickstart, without those of the page's."""
    options = ["run", "--out", str(out), "--set", f"rounds.num={num_rounds}", *(["--dashboard"] if with_page else [])]
    process = subprocess.Popen(
        [sys.executable, "-c", _RUN, *options], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stderr is not None
    assert process.stdout is not None
    reader = threading.Thread(target=_read_along, args=(process.stderr,))
    reader.start()
    printed = process.stdout.read()
    process.wait()
    reader.join()
    return float(printed.rpartition("CPU ")[2])


def _read_along(stderr: Iterator[str]) -> None:
    """Watch as a browser would, without drawing anything."""
    for line in stderr:
        if line.startswith("dashboard at "):
            address = urlsplit(line.split()[-1])
            threading.Thread(target=_read_events, args=(address.hostname, address.port), daemon=True).start()


def _read_events(host: str, port: int) -> None:
    with socket.create_connection((host, port)) as stream:
        stream.sendall(f"GET /events HTTP/1.1\r\nHost: {host}:{port}\r\n\r\n".encode())
        while stream.recv(1 << 16):
            pass


def main() -> None:
    """Measure, and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=5, help="runs with and without")
    parser.add_argument("--rounds", type=int, default=600, help="rounds of those")
    parser.add_argument("--opens", type=int, default=5)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        ratios = []
        for pair in range(asked.pairs):
            order = (False, True) if pair % 2 == 0 else (True, False)
            used = {page: cpu_of_run(folder / f"{pair}-{page}", asked.rounds, with_page=page) for page in order}
            ratios.append(used[True] / used[False])
            print(f"CPU of a run: {used[False]:.2f} s without, {used[True]:.2f} s with the page", flush=True)
        capture = (folder / "0-True" / NAME).read_bytes()
        large = run_of(folder / "large", NUM_ROUNDS)
        opened, elsewhere = opening(large, asked.opens)
        share, browser_share, updates, more = watching(large, capture)
        print(f"{updates:.1f} updates/s: server {100 * share:.1f} %, browser {100 * browser_share:.1f} % of a core")
    result = {
        "open_s_100k_rounds": round(statistics.median(opened), 3),
        "core_share_at_20_updates": round(share, 4),
        "external_requests": len(elsewhere) + len(more),
        "run_slowdown": round(statistics.median(ratios), 4),
        "updates_per_s": round(updates, 1),
        "browser_core_share": round(browser_share, 3),
        "open_s_worst": round(max(opened), 3),
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
