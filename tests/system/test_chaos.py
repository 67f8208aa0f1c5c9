"""Real processes that are killed, and connections that are cut and stalled, at random; what is left is right."""

from __future__ import annotations

import random
import selectors
import signal
import socket
import threading
import time
from pathlib import Path

import pytest
from safetensors.numpy import load_file

from testbed.results import journal as j
from testbed.results.directory import RunDirectory
from testbed.rounds.replay import replay_run
from tests.system.conftest import GIVE_UP_S, Bench, free_port
from tests.system.nursery import Child

NUM, NUM_LONG, NUM_IN_A_ROW = 1, 200, 10
NUM_ROUNDS = 12
SETTINGS = [
    *("--set", f"rounds.num={NUM_ROUNDS}", "--set", "rounds.eval_every=6", "--set", "task.num_test=16"),
    *("--set", "scheme.air_level=symbol", "--set", "rounds.max_skipped_in_a_row=50", "--set", "rounds.max_attempts=5"),
    *("--set", f"control.rejoin_timeout_s={GIVE_UP_S}", "--set", f"control.join_timeout_s={GIVE_UP_S}"),
]
SHARES = ("0-1", "2", "3,4")


class Proxy:
    """Forwards TCP to a port; cuts every connection, or holds everything back for a while, when it is told to."""

    def __init__(self, target: int) -> None:
        self._target = target
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self._pairs: dict[socket.socket, socket.socket] = {}
        self._lock = threading.Lock()
        self._stalled_until = 0.0
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def cut(self) -> None:
        """End every connection."""
        with self._lock:
            for end in list(self._pairs):
                end.shutdown(socket.SHUT_RDWR)

    def stall(self, seconds: float) -> None:
        """Forward nothing for so long."""
        self._stalled_until = time.monotonic() + seconds

    def close(self) -> None:
        """Forward nothing any more."""
        self._ended.set()
        self._thread.join()
        for end in (self._listener, *self._pairs):
            end.close()

    def _serve(self) -> None:
        with selectors.DefaultSelector() as ready:
            ready.register(self._listener, selectors.EVENT_READ)
            while not self._ended.is_set():
                if time.monotonic() < self._stalled_until:
                    time.sleep(0.02)
                    continue
                for key, _ in ready.select(0.05):
                    end = key.fileobj
                    assert isinstance(end, socket.socket)
                    if end is self._listener:
                        self._connect(ready)
                    elif end in self._pairs:
                        self._forward(ready, end)

    def _connect(self, ready: selectors.BaseSelector) -> None:
        here, _ = self._listener.accept()
        try:
            there = socket.create_connection(("127.0.0.1", self._target), timeout=5.0)
        except OSError:
            here.close()
            return
        with self._lock:
            self._pairs |= {here: there, there: here}
        for end in (here, there):
            ready.register(end, selectors.EVENT_READ)

    def _forward(self, ready: selectors.BaseSelector, end: socket.socket) -> None:
        other = self._pairs[end]
        try:
            data = end.recv(1 << 16)
            if data:
                other.sendall(data)
                return
        except OSError:
            pass
        with self._lock:
            for each in (end, other):
                ready.unregister(each)
                del self._pairs[each]
                each.close()


class Chaos:
    """One run whose parties die and come back; a seed says when."""

    def __init__(self, bench: Bench, seed: int) -> None:
        self._bench, self._draw, self._seed = bench, random.Random(seed), seed
        self._control, self._air_port = free_port(), free_port()
        self._proxy = Proxy(self._control)
        self.run = bench.directory / f"run-{seed}"
        self.air = self._start_air()
        self.hosts = {share: self._start_host(share) for share in SHARES}
        self.access_point = self._start_access_point("--out", self.run.name, *SETTINGS)
        self.said: list[str] = []
        self.is_late = False
        """Whether anything happened behind the last round but a few: then not everybody hears the end."""

    def _start_air(self) -> Child:
        return self._bench.start("air", "--bind", f"tcp://127.0.0.1:{self._air_port}")

    def _start_host(self, share: str) -> Child:
        connect = f"tcp://127.0.0.1:{self._proxy.port}"
        saved = self.saved(share).name
        return self._bench.start(
            "device", "--devices", share, "--connect", connect, "--save", saved, "--timeout-s", str(GIVE_UP_S)
        )

    def _start_access_point(self, *arguments: str) -> Child:
        addresses = ("--bind", f"tcp://127.0.0.1:{self._control}", "--air", f"tcp://127.0.0.1:{self._air_port}")
        return self._bench.start("access-point", *addresses, *arguments)

    def saved(self, share: str) -> Path:
        """Where a host leaves its live weights."""
        return self._bench.directory / f"host-{self._seed}-{share.replace(',', '-')}.safetensors"

    def play(self) -> None:
        """Wait for rounds, and let things happen in between; then for the end."""
        for _ in range(self._draw.randint(1, 3)):
            self._wait_for_rounds(self._draw.randrange(NUM_ROUNDS + 1))
            time.sleep(self._draw.random() * 0.3)
            happens = self._draw.choice(
                (self._kill_access_point, self._kill_host, self._kill_air, self._cut, self._stall)
            )
            self.said.append(happens.__name__)
            self.is_late = self.is_late or self._num_rounds() >= NUM_ROUNDS - 4
            happens()
            self.is_late = self.is_late or self._num_rounds() >= NUM_ROUNDS - 4

    def _num_rounds(self) -> int:
        lines = self.run / "rounds.jsonl"
        return lines.read_bytes().count(b"\n") if lines.exists() else 0

    def _wait_for_rounds(self, num: int) -> None:
        deadline = time.monotonic() + GIVE_UP_S
        while self._num_rounds() < num and time.monotonic() < deadline:
            if self.access_point.poll() is not None:
                return
            time.sleep(0.01)

    def _kill_access_point(self) -> None:
        if self.access_point.poll() is None and (self.run / "journal.bin").exists():
            self.access_point.send_signal(signal.SIGKILL)
            self.access_point.wait()
            self.access_point = self._start_access_point("--resume", self.run.name)

    def _kill_host(self) -> None:
        share = self._draw.choice(SHARES)
        if self.hosts[share].poll() is None:
            self.hosts[share].send_signal(signal.SIGKILL)
            self.hosts[share].wait()
            if self.access_point.poll() is None:
                self.hosts[share] = self._start_host(share)

    def _kill_air(self) -> None:
        self.air.send_signal(signal.SIGKILL)
        self.air.wait()
        self.air = self._start_air()

    def _cut(self) -> None:
        self._proxy.cut()

    def _stall(self) -> None:
        self._proxy.stall(self._draw.uniform(0.1, 3.0))

    def close(self) -> None:
        """The proxy; processes end with their bench."""
        self._proxy.close()


def results(run: Path) -> list[j.Result]:
    return [record for record in j.read(run / "journal.bin") if isinstance(record, j.Result)]


def told(result: j.Result) -> tuple[object, ...]:
    """What a disturbance changes: attempts, or how much air time the round took."""
    return result.status, result.attempt, result.memory.clock_samples if result.memory is not None else None


def weights(path: Path) -> dict[str, bytes]:
    return {name: tensor.tobytes() for name, tensor in load_file(path).items()}


def endure(bench: Bench, seed: int, plain: list[j.Result]) -> None:
    """One seed: the run ends, and is what it would have been up to the first round that something disturbed."""
    chaos = Chaos(bench, seed)
    try:
        chaos.play()
        _, stderr = chaos.access_point.communicate(timeout=5 * GIVE_UP_S)
        said = f"seed {seed}: {chaos.said}: {stderr}"
        assert chaos.access_point.returncode == 0, said
        played = results(chaos.run)
        assert [result.round for result in played] == list(range(NUM_ROUNDS)), said
        for mine, undisturbed in zip(played, plain, strict=True):
            if told(mine) != told(undisturbed):
                break
            assert (mine.estimates, mine.coefficients) == (undisturbed.estimates, undisturbed.coefficients), said
        final = weights(chaos.run / "checkpoints" / "final.safetensors")
        assert replay_run(chaos.run).compared, said
        ended = [share for share, host in chaos.hosts.items() if host.wait(5 * GIVE_UP_S) == 0]
        for share in ended:
            assert weights(chaos.saved(share)) == final, said
        seen = RunDirectory.open(chaos.run).read_info().verified_devices
        assert seen is not None, said
        assert len(ended) == len(SHARES) or chaos.is_late, said  # else everybody came back, and heard the end
        assert len(seen) == 5 or chaos.is_late, said
        charged = {record.round for record in j.read(chaos.run / "journal.bin") if isinstance(record, j.Spent)}
        assert {result.round for result in played if result.coefficients} <= charged, said
    finally:
        chaos.close()
        for child in (chaos.access_point, chaos.air, *chaos.hosts.values()):
            child.kill()


@pytest.fixture
def plain(bench: Bench) -> list[j.Result]:
    done = bench.run("run", "--out", "plain", *SETTINGS)
    assert done.returncode == 0, done.stderr
    return results(bench.directory / "plain")


def test_a_run_endures_what_happens_to_it(bench, plain):
    for seed in range(NUM):
        endure(bench, seed, plain)


@pytest.mark.long
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("first", range(0, NUM_LONG, NUM_IN_A_ROW))
def test_two_hundred_runs_endure_what_happens_to_them(bench, plain, first):
    for seed in range(first, first + NUM_IN_A_ROW):
        endure(bench, seed, plain)
