"""A data set's privacy budget: one file that several runs draw their whole promises from, and that never refunds.

Each run is (ε_i, δ_i)-differentially private for one neighbour relation, and so all together are (Σε_i, Σδ_i): basic
composition. It holds for runs side by side, and for runs whose (ε_i, δ_i) were chosen after earlier results were seen
(arXiv 2309.05901). Sharper sums need more of each run than its promise. Sums over unlike neighbours mean nothing, so
level and adjacency, and at client level the division of the data among clients, must be the same for all runs.

The file holds JSON lines, ``{"record": …, "hash": …}``, each hash the SHA-256 over the hash before and the record.
Every byte is checked, and whatever is not as it was written is refused, a last line that a crash cut short too: its run
may have transmitted. Not seen: a copy of the file, and a file that was put back or cut behind an earlier record.
`testbed.planning.budget_marks` sees run directories that were put back.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Annotated, TypeAlias

import msgspec

from testbed.config.schema import Positive, PrivacyConfig
from testbed.config.words import Adjacency, Level
from testbed.errors import BudgetError
from testbed.results import files

Probability = Annotated[float, msgspec.Meta(gt=0, lt=1)]
VERSION = 1
_GENESIS = hashlib.sha256(b"airzero-testbed data-set budget").hexdigest()
_LOCK_TIMEOUT_S = 20.0
"""Others hold the lock for one read and one write."""


class _Record(msgspec.Struct, frozen=True, kw_only=True, tag=True, forbid_unknown_fields=True):
    """Base of the file's records."""


class Opened(_Record, frozen=True, kw_only=True):
    """What all runs may draw together; the first record."""

    version: Annotated[int, msgspec.Meta(ge=1, le=VERSION)] = VERSION
    epsilon: Positive
    delta: Probability
    level: Level = "client"
    adjacency: Adjacency = "replace"
    note: str = ""


class Reserved(_Record, frozen=True, kw_only=True):
    """The whole promise of one run, drawn before it transmits."""

    run_id: str
    run: str
    """the experiment's name"""
    epsilon: Positive
    delta: Probability
    level: Level
    adjacency: Adjacency
    clients: str | None
    """at client level: which data each client holds; runs that divide it otherwise have other neighbours"""
    utc: str


AnyRecord: TypeAlias = Opened | Reserved


class _Line(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    record: AnyRecord
    hash: str


@dataclass(frozen=True, slots=True)
class Budget:
    """What a budget file says."""

    path: Path
    opened: Opened
    reserved: tuple[Reserved, ...]
    last_hash: str

    @property
    def epsilon_left(self) -> float:
        """ε that no run has drawn."""
        return float(_exact(self.opened.epsilon) - sum(_exact(r.epsilon) for r in self.reserved))

    @property
    def delta_left(self) -> float:
        """δ that no run has drawn."""
        return float(_exact(self.opened.delta) - sum(_exact(r.delta) for r in self.reserved))

    def drawn_by(self, run_id: str) -> Reserved | None:
        """The reservation of a run."""
        return next((r for r in self.reserved if r.run_id == run_id), None)

    def check_room(self, asked: Reserved) -> None:
        """Raise BudgetError unless this promise may be drawn too."""
        if self.drawn_by(asked.run_id) is not None:
            raise BudgetError(
                f"{self.path}: run {asked.run_id} has drawn already; allowed: once a run; continue it with --resume"
            )
        opened = self.opened
        if (asked.level, asked.adjacency) != (opened.level, opened.adjacency):
            raise BudgetError(
                f"{self.path}: got a run at {asked.level} level with adjacency {asked.adjacency!r}; allowed: "
                f"{opened.level} level and {opened.adjacency!r}, which this budget counts; set privacy.level and "
                "privacy.adjacency so, or draw from a budget made for them"
            )
        if self.reserved and asked.clients != self.reserved[0].clients:
            raise BudgetError(
                f"{self.path}: got a run that divides the data among its clients otherwise than the first that drew "
                f"({self.reserved[0].run!r}), so that their promises protect unlike clients; allowed: the same "
                "num_devices, seed and [task]; keep these, or use a budget at example level"
            )
        together = [*self.reserved, asked]
        if sum(_exact(r.epsilon) for r in together) > _exact(opened.epsilon) or sum(
            _exact(r.delta) for r in together
        ) > _exact(opened.delta):
            raise BudgetError(
                f"{self.path}: got a promise of ({asked.epsilon:g}, {asked.delta:g}); allowed: up to "
                f"({self.epsilon_left:.6g}, {self.delta_left:.6g}), which {len(self.reserved)} runs have left of "
                f"({opened.epsilon:g}, {opened.delta:g}); promise less with privacy.dp_epsilon and privacy.dp_delta"
            )


def scope_words(privacy: PrivacyConfig) -> str:
    """What a run's (ε, δ) covers: itself, or its part of a data set's budget."""
    if privacy.budget is None:
        return "this run alone"
    return f"this run, its whole promise drawn from the data-set budget {privacy.budget}"


def create(path: Path, opened: Opened) -> Budget:
    """Make a budget file. Raises BudgetError if there is one, or anything else, of that name."""
    data, last_hash = _line(opened, _GENESIS)
    with _refused(path):
        descriptor = files.system.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL)
        try:
            files.write_all(descriptor, data)
            files.system.sync(descriptor)
            files.system.sync_folder(path.parent)
        except BaseException:
            with suppress(OSError):
                path.unlink()
            raise
        finally:
            os.close(descriptor)
    return Budget(path, opened, (), last_hash)


def read(path: Path) -> Budget:
    """What a budget file says now. Raises BudgetError, also for damage anywhere in it."""
    with _refused(path), _locked(path, os.O_RDONLY) as descriptor:
        return _parse(path, _content(descriptor))


def reserve(path: Path, asked: Reserved) -> Budget:
    """Draw a run's whole promise; returns when that is on disk. Raises BudgetError, and then nobody may transmit.

    One process at a time looks and draws. A failure may leave the reservation behind, which is then counted.
    """
    with _refused(path), _locked(path, os.O_RDWR) as descriptor:
        content = _content(descriptor)
        budget = _parse(path, content)
        budget.check_room(asked)
        data, last_hash = _line(asked, budget.last_hash)
        os.lseek(descriptor, len(content), os.SEEK_SET)
        try:
            files.write_all(descriptor, data)
        except OSError:
            files.system.truncate(descriptor, len(content))  # if that fails too, the next reader refuses the rest
            raise
        files.system.sync(descriptor)
        files.system.sync_folder(path.parent)
    return Budget(path, budget.opened, (*budget.reserved, asked), last_hash)


def now_utc() -> str:
    """The time that a reservation is marked with, for people."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())


def _exact(value: float) -> Fraction:
    """The decimal number that was written: ten times 0.1 is 1, and no rounding ever spends more than there is."""
    return Fraction(repr(value))


def _line(record: AnyRecord, previous: str) -> tuple[bytes, str]:
    """The line of a record, and its hash."""
    try:
        body = msgspec.json.encode(record)
    except UnicodeEncodeError as err:
        raise BudgetError(f"budget: got a text that is not Unicode ({err}); write it in other characters") from err
    link = hashlib.sha256(previous.encode() + body).hexdigest()
    return b'{"record":' + body + b',"hash":"' + link.encode() + b'"}\n', link


def _parse(path: Path, data: bytes) -> Budget:
    if not data:
        raise BudgetError(
            f"{path}: is empty, so that no budget was begun in it; remove it and use `testbed budget init {path}`"
        )
    *lines, rest = data.split(b"\n")
    if rest:
        raise BudgetError(
            f"{path}, line {len(lines) + 1}: is cut off or damaged, and its run may have transmitted; restore the "
            "newest whole copy of the file and subtract that run, or begin another budget with what is surely left"
        )
    records: list[AnyRecord] = []
    last_hash = _GENESIS
    for number, line in enumerate(lines, start=1):
        try:
            record = msgspec.json.decode(line, type=_Line).record
            written, last_hash = _line(record, last_hash)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as err:
            raise _damaged(path, number) from err
        if written != line + b"\n" or isinstance(record, Opened) != (number == 1):
            raise _damaged(path, number)
        records.append(record)
    opened, *reserved = records
    assert isinstance(opened, Opened)
    return Budget(path, opened, tuple(r for r in reserved if isinstance(r, Reserved)), last_hash)


def _damaged(path: Path, number: int) -> BudgetError:
    return BudgetError(
        f"{path}, line {number}: is not as it was written, or no line of a budget of version {VERSION}; allowed: an "
        "untouched file, as it decides what may still be spent; restore the newest whole copy"
    )


def _content(descriptor: int) -> bytes:
    """All bytes, from the start."""
    parts, at = [], 0
    while part := os.pread(descriptor, 2**20, at):
        parts.append(part)
        at += len(part)
    return b"".join(parts)


@contextmanager
def _locked(path: Path, flags: int) -> Iterator[int]:
    """The file, locked against other processes and threads; the kernel lets go when this process ends, however."""
    descriptor = files.system.open(path, flags | os.O_NONBLOCK)
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise BudgetError(
                f"{path}: got no plain file; allowed: one made by `testbed budget init`; correct the path"
            )
        kind = fcntl.LOCK_SH if flags == os.O_RDONLY else fcntl.LOCK_EX
        deadline = time.monotonic() + _LOCK_TIMEOUT_S
        while True:
            try:
                fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
                break
            except BlockingIOError as err:
                if time.monotonic() > deadline:
                    raise BudgetError(
                        f"{path}: another process has held it for {_LOCK_TIMEOUT_S:g} s; end that one and try again"
                    ) from err
                time.sleep(0.01)
        if not os.path.samestat(os.fstat(descriptor), path.stat()):
            raise BudgetError(f"{path}: was replaced while it was opened; see that nobody edits it, and try again")
        yield descriptor
    finally:
        os.close(descriptor)


@contextmanager
def _refused(path: Path) -> Iterator[None]:
    """Say in one line why the file cannot be used."""
    if "\0" in str(path):
        raise BudgetError(f"{str(path)!r}: got a name with a NUL; allowed: any other; choose another name")
    try:
        yield
    except FileNotFoundError as err:
        raise BudgetError(
            f"{path}: not found from {Path.cwd()}; correct privacy.budget, or make it with `testbed budget init {path}`"
        ) from err
    except FileExistsError as err:
        raise BudgetError(
            f"{path}: is there already, and a budget is never begun anew; see `testbed budget show {path}`, or choose "
            "another name"
        ) from err
    except OSError as err:
        raise BudgetError(
            f"{path}: {files.reason(err)}; nothing may be sent on this budget: make it writable, or check the disk"
        ) from err
