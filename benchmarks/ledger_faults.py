"""Damage, crashes and double starts of a privacy ledger: does it ever count less than was acknowledged on disk?

`python -m benchmarks.ledger_faults [--quick]`; the last line is one JSON object. The journal and the ledger are the
real ones. Killed processes are ones that do nothing but charge, each charge said on a pipe once it is acknowledged.
"""

from __future__ import annotations

import json
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from testbed.bench.rig import resolve
from testbed.config.files import load
from testbed.errors import JournalError
from testbed.planning.ledger import Ledger
from testbed.planning.terms import terms_of
from testbed.results import files
from testbed.results import journal as j

_OPTIONS = ["num_devices=2", "rounds.num=5", "ground_truth=false", "schedule.name=static"]
_TERMS = terms_of(resolve(load(None, None, _OPTIONS)))
_RHO = 1e-6
_KINDS = ("flip", "cut", "zeros", "garbage", "removed", "duplicated", "swapped", "crash", "double start")


class _CrashError(BaseException):
    """The machine is gone: nothing may be tidied up."""


class _Dying(files.System):
    """A disk that dies at the n-th call, a write torn at a random byte; it forgets nothing it has taken."""

    def __init__(self, calls: int, rng: random.Random) -> None:
        self.calls, self.rng = calls, rng

    def _call(self) -> bool:
        self.calls -= 1
        return self.calls < 0

    def write(self, descriptor: int, data: bytes) -> int:
        if self._call():
            super().write(descriptor, data[: self.rng.randrange(len(data))])
            raise _CrashError
        return super().write(descriptor, data)

    def sync(self, descriptor: int) -> None:
        if self._call():
            raise _CrashError  # nothing here outlives its process: waiting for a real disk would only take time


@contextmanager
def _disk(system: files.System) -> Iterator[None]:
    before, files.system = files.system, system
    try:
        yield
    finally:
        files.system = before


def _charge(path: Path, num_charges: int, system: files.System) -> int:
    """Charge until done or dead; returns how many charges were acknowledged."""
    acknowledged = 0
    with _disk(system), j.Journal(path) as journal:
        ledger = Ledger(journal, _TERMS, past=journal.records)
        try:
            for number in range(num_charges):
                ledger.charge(len(journal.records), 1 + number, _RHO)
                acknowledged += 1
        except _CrashError:
            pass
    return acknowledged


def _begin(path: Path) -> None:
    promised = j.Promised(limit=_TERMS.accountant.limit, terms="faults")
    j.Journal.begun(path, j.Start(version=j.VERSION, run_id="r", initial_fingerprint="00"), promised).close()


def _spans(data: bytes) -> list[tuple[int, int]]:
    """Where the records of a sound journal lie."""
    spans, start = [], j.FIRST_BYTE
    while start < len(data):
        end = start + j.HEAD_BYTES + int.from_bytes(data[start : start + 4], "little")
        spans.append((start, end))
        start = end
    return spans


def _damaged(data: bytes, kind: str, rng: random.Random) -> bytes:
    spans = _spans(data)
    at = rng.randrange(len(data))
    length = rng.randrange(1, 65)
    first, second = sorted(rng.sample(range(len(spans)), 2))
    (a, b), (c, d) = spans[first], spans[second]
    if kind == "flip":
        return data[:at] + bytes([data[at] ^ 1 << rng.randrange(8)]) + data[at + 1 :]
    if kind == "cut":
        return data[:at]
    if kind == "zeros":
        return data[:at] + bytes(len(data[at : at + length])) + data[at + length :]
    if kind == "garbage":
        return data[:at] + rng.randbytes(len(data[at : at + length])) + data[at + length :]
    if kind == "removed":
        return data[:c] + data[d:]
    if kind == "duplicated":
        return data[:d] + data[c:d] + data[d:]
    return data[:a] + data[c:d] + data[b:c] + data[a:b] + data[d:]


def _counts_less(path: Path, acknowledged: int) -> bool | None:
    """Whether a reopened ledger has forgotten a charge; None where the journal is refused."""
    try:
        with _disk(_Dying(10**9, random.Random(0))), j.Journal(path) as journal:
            if path.stat().st_size and not journal.records:
                return True
            return Ledger(journal, _TERMS, past=journal.records).rho < _RHO * acknowledged * (1 - 1e-9)
    except JournalError:
        return None


def run(num_corruptions: int, num_kills: int, seed: int) -> dict[str, float]:
    """Corrupt, crash and start twice ``num_corruptions`` times, kill ``num_kills`` processes; what came of it."""
    rng, started = random.Random(seed), time.perf_counter()
    refunds = refused = 0
    with tempfile.TemporaryDirectory() as folder:
        sound = Path(folder) / "sound.bin"
        _begin(sound)
        empty = sound.read_bytes()
        _charge(sound, 8, _Dying(10**9, rng))
        whole = sound.read_bytes()
        path = Path(folder) / "journal.bin"
        for number in range(num_corruptions):
            kind, acknowledged = _KINDS[number % len(_KINDS)], 8
            if kind == "crash":
                path.write_bytes(empty)
                acknowledged = _charge(path, 8, _Dying(rng.randrange(34), rng))
                found = _counts_less(path, acknowledged)
                refunds += found is None  # a crash alone must never make a run unreadable
            elif kind == "double start":
                path.write_bytes(whole)
                with j.Journal(path):
                    found = None if _counts_less(path, acknowledged) is None else True
            else:
                path.write_bytes(_damaged(whole, kind, rng))
                emptied = path.stat().st_size == 0
                found = None if emptied else _counts_less(path, acknowledged)
            refunds, refused = refunds + (found is True), refused + (found is None)
            for copy in Path(folder).glob("journal.bin.*"):
                copy.unlink()
        for number in range(num_kills):
            refunds += _killed(Path(folder) / f"{number}.bin", rng)
    return {
        "ledger_refunds_in_corruptions": refunds,
        "num_corruptions": num_corruptions,
        "num_refused": refused,
        "num_kills": num_kills,
        "wall_s": time.perf_counter() - started,
    }


def _killed(path: Path, rng: random.Random) -> bool:
    """Whether charges of a process that was killed with -9 are forgotten."""
    _begin(path)
    command = [sys.executable, "-m", "benchmarks.ledger_faults", "--charge", str(path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        acknowledged = len(process.stdout.read(1))
        time.sleep(rng.random() * 0.02)
        process.kill()
        acknowledged += len(process.stdout.read())
    return _counts_less(path, acknowledged) is not False


def _charge_for_ever(path: Path) -> None:
    with j.Journal(path) as journal:
        ledger = Ledger(journal, _TERMS, past=journal.records)
        for number in range(10**4):
            ledger.charge(number, 1, _RHO)
            sys.stdout.buffer.write(b".")
            sys.stdout.buffer.flush()


if __name__ == "__main__":
    if "--charge" in sys.argv:
        _charge_for_ever(Path(sys.argv[-1]))
    else:
        quick = "--quick" in sys.argv
        print(json.dumps(run(1000 if quick else 10_800, 2 if quick else 40, seed=1)))
