"""The journal: what decided the weights, on disk before it is announced.

``magic · two seals · records``. A record is ``length (4 bytes, little-endian) · chain (16 bytes) · body (msgpack)``;
its chain is the start of SHA-256 over the chain before it and the body: nothing is altered, removed or moved unseen.
A seal says how far the file is acknowledged; it is written, alternating between the two places, after the record is
on disk and before anything is announced. So what a crash cut short lies behind the last seal, was never acted on, and
may go (after a backup); whatever is wrong before the seal is refused. A whole file put back to an earlier state has
nothing wrong in it: rounds.jsonl and summary.json show that, and if they too are put back, nothing in here can.
Initial weights + journal = final weights, bit for bit.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import struct
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Self, TypeAlias

import msgspec

from radio.link.memory import ReceiverMemory
from testbed.errors import JournalError
from testbed.results import files, old_journal
from testbed.results.updates import HasUpdates, Update
from testbed.schedule.base import Told

VERSION = 5
"""Of the records below; a journal says it in its Start."""
SEALED_SINCE, REMEMBERS_SINCE = 3, 4
"""The versions from which on a journal shows that nothing is missing, and holds what decides later rounds."""

_MAGIC = b"AZJOURN3"  # the layout, which is that of version 3
_SEAL = struct.Struct("<QQ16s16s")
"""number of records, end of the last one in bytes, its chain, check over these three"""
_HEAD = struct.Struct("<I16s")
HEAD_BYTES = _HEAD.size
FIRST_BYTE = len(_MAGIC) + 2 * _SEAL.size
_NO_CHAIN = bytes(16)
_MAX_RECORD_BYTES = 16 * 2**20
_RESTORE = "restore the whole run directory from a copy, or start a new run; weights and ledger need all records"

Status = Literal["ok", "retried", "skipped", "rejected", "silent"]
"""``ok`` and ``retried`` were used; ``skipped``: nobody or not everybody transmitted; ``rejected``: received, but not
to be trusted; ``silent``: the plan was that nobody transmits."""


class Record(msgspec.Struct, frozen=True, kw_only=True, tag=True, forbid_unknown_fields=True):
    """Base of the journal's records."""


class Start(Record, frozen=True):
    """The run, and the weights that it started from."""

    version: int
    run_id: str
    initial_fingerprint: str


class Promised(Record, frozen=True):
    """What the run has promised; a resumed run must promise the same, or its ledger would mean something else."""

    limit: float | None
    """of the accountant's currency; None where no budget is enforced"""
    terms: str
    fingerprint: str = ""
    """of everything else in the configuration that the claim depends on"""


class Spent(Record, frozen=True):
    """Privacy leak of one transmission, charged before the devices are told to transmit."""

    round: int
    attempt: int
    rho: float | None
    """zCDP leak; None where no claim could be made (no receiver noise, or no analog sum)."""
    void: str | None = None
    """why this transmission leaves no claim, whatever the configuration says later"""


class Result(Record, HasUpdates, frozen=True, omit_defaults=True):
    """What one round came to, written before it is announced, and all that it means for later rounds: a run that goes
    on from here is the run that was never cut off, bit for bit on a simulated rig."""

    round: int
    attempt: int
    status: Status
    seed: int
    estimates: tuple[float, ...]
    coefficients: tuple[float, ...]
    """float32 values: what every host multiplies its directions with."""
    earlier: tuple[Update, ...] = ()
    """Of rounds before, applied after its own; since version 5"""
    error_std: float | None = None
    """Of the first estimate, as the optimiser was told; None where there is none, or in versions before 4"""
    told: tuple[Told, ...] = ()
    """What the schedule was told of each transmission that it planned."""
    memory: ReceiverMemory | None = None
    """Of the access point's receiver behind this round; None in versions before 4, and of a round that was cut off,
    which leaves no trace in it."""


AnyRecord: TypeAlias = Start | Promised | Spent | Result
_DECODER = msgspec.msgpack.Decoder(AnyRecord)


def _digest(*parts: bytes) -> bytes:
    return hashlib.sha256(b"".join(parts)).digest()[:16]


def _sealed(num_records: int, end: int, chain: bytes) -> bytes:
    check = _digest(struct.pack("<QQ", num_records, end), chain)
    return _SEAL.pack(num_records, end, chain, check)


def _seals(data: bytes) -> list[tuple[int, int, bytes]]:
    """The seals that hold, newest last; one is torn while it is written, never both."""
    found = []
    for place in (0, 1):
        raw = data[len(_MAGIC) + place * _SEAL.size :][: _SEAL.size]
        if len(raw) == _SEAL.size:
            num_records, end, chain, _ = _SEAL.unpack(raw)
            if raw == _sealed(num_records, end, chain):
                found.append((num_records, end, chain))
    return sorted(found)


def _encoded(chain: bytes, record: AnyRecord) -> tuple[bytes, bytes]:
    """A record as it stands in the file, and its chain."""
    body = msgspec.msgpack.encode(record)
    chain = _digest(chain, body)
    return _HEAD.pack(len(body), chain) + body, chain


def _next_in(data: bytes, start: int, chain: bytes) -> tuple[bytes, bytes] | None:
    """Body and chain of the whole record that begins at ``start`` and follows on ``chain``, or None."""
    if start + HEAD_BYTES > len(data):
        return None
    length, written = _HEAD.unpack_from(data, start)
    if not 0 < length <= min(_MAX_RECORD_BYTES, len(data) - start - HEAD_BYTES):
        return None
    body = data[start + HEAD_BYTES : start + HEAD_BYTES + length]
    return (body, written) if _digest(chain, body) == written else None


def _decoded(path: Path, body: bytes) -> AnyRecord:
    try:
        record: AnyRecord = _DECODER.decode(body)
    except msgspec.DecodeError as err:
        raise JournalError(
            f"{path}: written by another version of the toolkit ({err}); install the one that run.json names"
        ) from err
    return record


@dataclass(frozen=True, slots=True)
class _Parsed:
    """A journal as it was found."""

    records: list[AnyRecord]
    end: int
    chain: bytes
    num_sealed: int
    """how many records the newest seal acknowledges"""


def _parse(path: Path, data: bytes) -> _Parsed:
    """The whole records in ``data``. Raises JournalError where any that was acknowledged is not there as it was."""
    seals = _seals(data)
    if not seals:
        raise JournalError(f"{path}: neither of its two seals holds; {_RESTORE}")
    records: list[AnyRecord] = []
    ends = [(FIRST_BYTE, _NO_CHAIN)]
    while (found := _next_in(data, *ends[-1])) is not None:
        body, chain = found
        ends.append((ends[-1][0] + HEAD_BYTES + len(body), chain))
        records.append(_decoded(path, body))
    num_sealed, end, _ = seals[-1]
    for number, sealed_end, sealed_chain in seals:
        if number >= len(ends) or ends[number] != (sealed_end, sealed_chain):
            raise JournalError(
                f"{path}: damaged at byte {ends[-1][0]}: {len(records)} whole records, {num_sealed} acknowledged up to "
                f"byte {end}; {_RESTORE}"
            )
    if len(seals) == 1 and len(records) <= num_sealed:  # a seal is torn only while it acknowledges a whole record
        raise JournalError(
            f"{path}: one of its two seals does not hold, and no crash explains it ({len(records)} records, "
            f"{num_sealed} acknowledged by the other); {_RESTORE}"
        )
    if records and isinstance(records[0], Start) and records[0].version > VERSION:
        raise JournalError(
            f"{path}: got a journal of version {records[0].version}; allowed: up to {VERSION}; install the version of "
            "the toolkit that run.json names"
        )
    return _Parsed(records, *ends[-1], num_sealed)


def is_old(path: Path) -> bool:
    """Whether a file has the layout of journal versions 1 and 2, or none that is known."""
    return _bytes_of(path)[: len(_MAGIC)] != _MAGIC


def _bytes_of(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as err:
        raise JournalError(f"{path}: cannot be read: {files.reason(err)}; give a run directory") from err


def read(path: Path) -> list[AnyRecord]:
    """All whole records of a journal, oldest first; writes nothing. Raises JournalError if there is no journal."""
    data = _bytes_of(path)
    if data[: len(_MAGIC)] == _MAGIC:
        return _parse(path, data).records
    return [_decoded(path, body) for body in old_journal.bodies(path, data, newest_version=VERSION)]


def renew(path: Path, records: Iterable[AnyRecord] | None = None) -> None:
    """Give a journal this version's layout, and only these ``records``, if any; the old file is kept as a backup."""
    whole, _ = _whole(read(path) if records is None else records)
    files.keep_copy(path, _bytes_of(path))
    files.write(path, whole)


def _whole(records: Iterable[AnyRecord]) -> tuple[bytes, bytes]:
    """A journal of these records, acknowledged in both places, and its last chain."""
    records, data, chain = tuple(records), b"", _NO_CHAIN
    for record in records:
        raw, chain = _encoded(chain, record)
        data += raw
    return _MAGIC + 2 * _sealed(len(records), FIRST_BYTE + len(data), chain) + data, chain


class Journal:
    """The journal of a live run, open and locked; ``records``, and of them ``results``, are on disk, oldest first."""

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            self._fd = files.system.open(path, os.O_RDWR | os.O_CREAT)
        except OSError as err:
            raise JournalError(
                f"{path}: cannot be opened for writing: {files.reason(err)}; free some space or make the run "
                "directory writable, and run again"
            ) from err
        self.records: list[AnyRecord] = []
        self.results: list[Result] = []
        self._end, self._chain = 0, _NO_CHAIN
        try:
            self._lock()
            self._open()
        except OSError as err:
            self.close()
            raise JournalError(f"{path}: {files.reason(err)}; check the disk") from err
        except BaseException:
            self.close()
            raise

    def _lock(self) -> None:
        """For this open file alone, until it is closed or the process is gone."""
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as err:
            raise JournalError(
                f"{self._path}: another process is writing this run; allowed: one at a time; wait until it ends, or "
                "stop it, and resume again"
            ) from err

    def _open(self) -> None:
        size_bytes = os.fstat(self._fd).st_size
        if size_bytes == 0:
            return
        data = os.pread(self._fd, size_bytes, 0)
        if data[: len(_MAGIC)] != _MAGIC:
            read(self._path)
            raise JournalError(f"{self._path}: of an older layout, which is only read; resume the run directory")
        parsed = _parse(self._path, data)
        self._end, self._chain = parsed.end, parsed.chain
        self._hold(parsed.records)
        if self._end < size_bytes:
            files.keep_copy(self._path, data)
            files.system.truncate(self._fd, self._end)
        os.lseek(self._fd, self._end, os.SEEK_SET)
        if parsed.num_sealed < len(self.records) or len(_seals(data)) == 1:
            self._seal()

    @classmethod
    def begun(cls, path: Path, *records: AnyRecord) -> Self:
        """A new journal that begins with these records, all of them or none. Raises JournalError."""
        journal = cls(path)
        try:
            journal._begin(records)
        except OSError as err:
            journal.close()
            raise JournalError(
                f"{path}: {files.reason(err)}; the run has not begun: free some space and run again"
            ) from err
        return journal

    def append(self, record: AnyRecord) -> None:
        """Write ``record`` and wait until it is on disk and acknowledged. Raises JournalError.

        What was cut short is no record; what is whole and not acknowledged counts, and nothing more is added to it.
        """
        try:
            if self._end:
                self._put(record)
            else:
                self._begin((record,))
        except OSError as err:
            raise JournalError(
                f"{self._path}: {files.reason(err)}; the run stops here with all earlier rounds safe: "
                "free some space and continue with --resume"
            ) from err

    def _begin(self, records: tuple[AnyRecord, ...]) -> None:
        if self._end:
            raise JournalError(f"{self._path}: holds a run already; give a new directory")
        data, chain = _whole(records)
        self._write(data)
        self._chain = chain
        self._hold(records)

    def _hold(self, records: Iterable[AnyRecord]) -> None:
        for record in records:
            self.records.append(record)
            if isinstance(record, Result):
                self.results.append(record)

    def _put(self, record: AnyRecord) -> None:
        data, chain = _encoded(self._chain, record)
        self.check_place()
        self._write(data)
        self._hold((record,))
        self._chain = chain
        try:
            self._seal()
        except OSError:
            self.close()  # the record is there and counts, but nobody may act on it
            raise
        self.check_place()  # again, for who opens the file by its name must find what is acted on

    def check_place(self) -> None:
        """Refuse to go on where another file has taken this one's place: what is written here, nobody would find.

        Raises JournalError.
        """
        here = os.fstat(self._fd)
        there: os.stat_result | None
        try:
            there = self._path.stat()
        except (FileNotFoundError, NotADirectoryError):
            there = None
        if there is None or (there.st_dev, there.st_ino) != (here.st_dev, here.st_ino):
            self.close()
            raise JournalError(
                f"{self._path}: was replaced or removed while this run was writing it; end what does that, restore "
                "the whole run directory, and resume"
            )

    def _write(self, data: bytes) -> None:
        try:
            files.write_all(self._fd, data)
            files.system.sync(self._fd)
        except OSError:
            self._undo()
            raise
        self._end += len(data)

    def _seal(self) -> None:
        """Acknowledge every record so far, in the place of the older seal."""
        number = len(self.records)
        os.lseek(self._fd, len(_MAGIC) + number % 2 * _SEAL.size, os.SEEK_SET)
        files.write_all(self._fd, _sealed(number, self._end, self._chain))
        files.system.sync(self._fd)
        os.lseek(self._fd, self._end, os.SEEK_SET)

    def _undo(self) -> None:
        """Cut off what a failed append left; if even that fails, nothing more may be added behind it."""
        try:
            files.system.truncate(self._fd, self._end)
            os.lseek(self._fd, self._end, os.SEEK_SET)
        except OSError:
            self.close()

    def close(self) -> None:
        """Close the file, and free it for others; safe to call twice."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
