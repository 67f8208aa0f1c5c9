"""The sweep's directory: what is planned, what has become of each run, and who is at it, all decided from the disk.

plan.json · runs/NAME/ (run directories) · holders/NAME.jsonl (who took a run, and its lock) · failures/NAME.json ·
runs.csv, runs.parquet, rounds.csv, rounds.parquet · report.html · plots/
"""

from __future__ import annotations

import fcntl
import os
import shutil
import socket
import time
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Literal, TypeAlias

import msgspec

from testbed.errors import RunDirectoryError, SweepError
from testbed.results import files
from testbed.results.directory import RunDirectory
from testbed.results.records import Summary
from testbed.results.words import INTERRUPTED
from testbed.sweep.plan import PlannedRun

State: TypeAlias = Literal["missing", "cut off", "done", "failed"]
MAX_FRUITLESS = 5
"""So many holders of a run in a row that died without one more round make it a failed one."""
_POLL_S = 0.05
_LOCK = "lock"


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """plan.json."""

    format: int = 1
    name: str
    token: str
    """Drawn when the directory was made: who reads the same has the same directory before it."""
    runs: tuple[PlannedRun, ...]


class Failure(msgspec.Struct, frozen=True, kw_only=True):
    """failures/NAME.json: why a run came to nothing."""

    reason: str
    utc: str
    host: str
    num_rounds: int
    """Whole rounds that it has behind it."""


class Held(msgspec.Struct, frozen=True, kw_only=True):
    """One line of holders/NAME.jsonl: somebody took the run, or let it go."""

    utc: str
    host: str
    pid: int
    event: Literal["took", "left"]
    num_rounds: int


class Seen(msgspec.Struct, frozen=True, kw_only=True):
    """What the disk says of a run."""

    state: State
    num_rounds: int = 0
    reason: str | None = None
    """Why it failed, or was given up."""
    fingerprint: str | None = None
    """Of its final weights."""


class BusyError(Exception):
    """Another process is at this run."""


class SweepDirectory:
    """Paths, states and locks of one sweep."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.plan = path / "plan.json"
        self.runs = path / "runs"
        self.holders = path / "holders"
        self.failures = path / "failures"
        self.plots = path / "plots"
        self.report = path / "report.html"

    def run(self, name: str) -> Path:
        """The run directory of that name."""
        return self.runs / name

    # ---- the plan

    def is_sweep(self) -> bool:
        """Whether there is a plan."""
        return self.plan.is_file()

    def write_plan(self, plan: Plan) -> None:
        """Make the directory that of this plan. Raises RunDirectoryError."""
        for folder in (self.runs, self.holders, self.failures):
            files.make_folder(folder, remedy="choose another place with --out")
        files.write(self.plan, msgspec.json.format(msgspec.json.encode(plan), indent=1))

    def read_plan(self) -> Plan:
        """The plan. Raises RunDirectoryError."""
        data = files.read(self.plan, remedy="give a sweep's directory")
        try:
            return msgspec.json.decode(data, type=Plan)
        except (msgspec.DecodeError, UnicodeDecodeError) as err:
            raise RunDirectoryError(f"{self.plan}: not a sweep's plan ({err}); restore it, or sweep again") from err

    # ---- what has become of a run

    def seen(self, name: str) -> Seen:
        """What the disk says of a run now; what cannot be read is a failure, and never taken for done."""
        run = RunDirectory(self.run(name))
        try:
            ended = run.read_summary()
            info = run.read_info() if ended is not None else None
            num_rounds = _num_lines(run.rounds)
        except RunDirectoryError as err:
            return Seen(state="failed", reason=str(err))
        if ended is not None and info is not None and has_ended(ended) and info.ended_with == ended.rebuilt_fingerprint:
            useless = None
            if ended.rounds_ok == 0:
                why = "; ".join(ended.warnings) or ended.stopped
                useless = f"none of its {ended.rounds_total} rounds was used; {why}"
            return Seen(
                state="failed" if useless is not None else "done",
                num_rounds=num_rounds,
                reason=useless,
                fingerprint=ended.rebuilt_fingerprint,
            )
        failure = self.read_failure(name)
        if failure is not None:
            return Seen(state="failed", num_rounds=num_rounds, reason=failure.reason)
        return Seen(state="cut off" if self.has_begun(name) else "missing", num_rounds=num_rounds)

    def has_begun(self, name: str) -> bool:
        """Whether a run has a journal, which is the first that must not be lost."""
        with suppress(OSError):
            return RunDirectory(self.run(name)).journal.stat().st_size > 0
        return False

    def clear(self, name: str) -> None:
        """Remove what a run left that was cut off before it had a journal."""
        assert not self.has_begun(name), "a run with a journal is resumed"
        shutil.rmtree(self.run(name), ignore_errors=True)

    def read_failure(self, name: str) -> Failure | None:
        """Why a run failed; None if it has not."""
        path = self.failures / f"{name}.json"
        if not path.exists():
            return None
        try:
            return msgspec.json.decode(files.read(path), type=Failure)
        except (msgspec.DecodeError, UnicodeDecodeError) as err:
            raise RunDirectoryError(f"{path}: not a file of this toolkit ({err}); remove it") from err

    def write_failure(self, name: str, reason: str) -> None:
        """Put on disk why a run came to nothing."""
        num_rounds = _num_lines(RunDirectory(self.run(name)).rounds)
        failure = Failure(reason=reason, utc=now_utc(), host=socket.gethostname(), num_rounds=num_rounds)
        files.write(self.failures / f"{name}.json", msgspec.json.format(msgspec.json.encode(failure), indent=1))

    def forget_failure(self, name: str) -> None:
        """Let a failed run be tried again."""
        with suppress(FileNotFoundError):
            (self.failures / f"{name}.json").unlink()

    # ---- who is at it

    @contextmanager
    def conducting(self) -> Iterator[None]:
        """Make the directory, and hand out runs as the only process that does.

        Raises SweepError while another one does, RunDirectoryError for a place that holds something else.
        """
        there = [path.name for path in self.path.iterdir()] if self.path.is_dir() else []
        if not self.is_sweep() and (set(there) - {_LOCK} or (self.path.exists() and not self.path.is_dir())):
            raise RunDirectoryError(
                f"--out {self.path}: exists, is not empty and is no sweep's directory; choose another or remove it"
            )
        files.make_folder(self.path, remedy="choose another place with --out")
        with _locked(self.path / _LOCK) as descriptor:
            if descriptor is None:
                raise SweepError(
                    f"{self.path}: another process conducts this sweep; allowed: one at a time; wait, or stop it"
                )
            yield

    @contextmanager
    def holding(self, name: str, *, patience_s: float) -> Iterator[Hold]:
        """Take a run: until this ends, or this process does, nobody else has it. Raises BusyError after ``patience_s``.

        The kernel frees it with the process that held it, however that ended.
        """
        deadline = time.monotonic() + patience_s
        path = self.holders / f"{name}.jsonl"
        while True:
            with _locked(path) as descriptor:
                if descriptor is not None:
                    yield Hold(descriptor, path)
                    return
            if time.monotonic() >= deadline:
                raise BusyError(_holder(path))
            time.sleep(_POLL_S)

    def held(self, names: list[str]) -> list[str]:
        """Those of these runs that somebody has now."""
        found = []
        for name in names:
            path = self.holders / f"{name}.jsonl"
            if path.exists():
                with _locked(path) as descriptor:
                    if descriptor is None:
                        found.append(name)
        return found


class Hold:
    """A run that this process has taken; its file is the lock and says who had it before."""

    def __init__(self, descriptor: int, path: Path) -> None:
        self._descriptor = descriptor
        self._path = path

    def fruitless(self, num_rounds: int) -> int:
        """How many holders in a row have died since a whole round was added to ``num_rounds``."""
        count = 0
        for held in reversed(_history(self._path)):
            if held.event == "left" or held.num_rounds != num_rounds:
                break
            count += 1
        return count

    def note(self, event: Literal["took", "left"], num_rounds: int) -> None:
        """Add a line, in one piece."""
        line = Held(utc=now_utc(), host=socket.gethostname(), pid=os.getpid(), event=event, num_rounds=num_rounds)
        os.write(self._descriptor, msgspec.json.encode(line) + b"\n")


def has_ended(summary: Summary) -> bool:
    """Whether a run has played all that it will; an interrupted one has not."""
    return summary.stopped != INTERRUPTED and summary.rebuilt_fingerprint is not None


def now_utc() -> str:
    """The time, to the second."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())


@contextmanager
def _locked(path: Path) -> Iterator[int | None]:
    """A descriptor of the file, locked and open for additions; None while another process, or thread, has it."""
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o666)
    except OSError as err:
        raise RunDirectoryError(f"{path}: cannot be opened: {files.reason(err)}; {files.REMEDY}") from err
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield None
        except OSError as err:
            raise SweepError(
                f"{path}: cannot be locked: {files.reason(err)}; allowed: a file system with flock (local, NFS 4, "
                "Lustre mounted with -o flock); choose another place with --out"
            ) from err
        else:
            yield descriptor
    finally:
        os.close(descriptor)


def _history(path: Path) -> list[Held]:
    """The lines that are whole."""
    found = []
    with suppress(OSError):
        for line in path.read_bytes().splitlines():
            with suppress(msgspec.DecodeError):
                found.append(msgspec.json.decode(line, type=Held))
    return found


def _holder(path: Path) -> str:
    history = _history(path)
    return f"process {history[-1].pid} on {history[-1].host}" if history else "another process"


def _num_lines(path: Path) -> int:
    try:
        return path.read_bytes().count(b"\n")
    except FileNotFoundError:
        return 0
    except OSError as err:
        raise RunDirectoryError(f"{path}: cannot be read: {files.reason(err)}; make it readable") from err


def begin(sweep: SweepDirectory, name: str, runs: Sequence[PlannedRun]) -> Plan:
    """Put the plan on disk, with the token of the directory that is there already; refused runs have failed.

    Runs of an earlier plan that are in this one are what they were. Raises RunDirectoryError.
    """
    token = sweep.read_plan().token if sweep.is_sweep() else uuid.uuid4().hex
    plan = Plan(name=name, token=token, runs=tuple(runs))
    sweep.write_plan(plan)
    for run in runs:
        if run.refusal is not None:
            sweep.write_failure(run.name, run.refusal)
    return plan
