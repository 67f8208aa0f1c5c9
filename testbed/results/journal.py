"""The journal: what decided the weights, on disk before it is announced.

A file of records, each ``length (4 bytes, little-endian) · CRC-32 of the body (4 bytes) · body (msgpack)``, written
with one write and one fsync. A record that a crash cut short is at the end only; readers stop there and a resumed
run cuts it off. Damage before the end is refused: what follows it would be forgotten, leaks among it.
Initial weights + journal = final weights, bit for bit.
"""

from __future__ import annotations

import os
import struct
import zlib
from pathlib import Path
from typing import Literal, Self, TypeAlias

import msgspec

from testbed.errors import JournalError
from testbed.results import files

VERSION = 2
"""Of the records below; a journal says it in its Start."""

_HEAD = struct.Struct("<II")
_MAX_RECORD_BYTES = 16 * 2**20


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


class Spent(Record, frozen=True):
    """Privacy leak of one transmission, charged before the devices are told to transmit."""

    round: int
    attempt: int
    rho: float | None
    """zCDP leak; None where no claim could be made (no receiver noise, or no analog sum)."""


class Result(Record, frozen=True):
    """What one round came to, written before it is announced."""

    round: int
    attempt: int
    status: Status
    seed: int
    estimates: tuple[float, ...]
    coefficients: tuple[float, ...]
    """float32 values: what every host multiplies its directions with."""


AnyRecord: TypeAlias = Start | Promised | Spent | Result
_DECODER = msgspec.msgpack.Decoder(AnyRecord)


class _Begun(msgspec.Struct, frozen=True, tag="Start"):
    """A Start of any version, as far as every version can read it."""

    version: int


def _record_at(data: bytes, start: int) -> bytes | None:
    """The body of the whole record that begins at ``start``, or None."""
    if start + _HEAD.size > len(data):
        return None
    length, crc = _HEAD.unpack_from(data, start)
    if not 0 < length <= min(_MAX_RECORD_BYTES, len(data) - start - _HEAD.size):
        return None
    body = data[start + _HEAD.size : start + _HEAD.size + length]
    return body if zlib.crc32(body) == crc else None


def _parse(path: Path, data: bytes) -> tuple[list[AnyRecord], int]:
    """The whole records in ``data`` and where the last of them ends. Raises JournalError."""
    records: list[AnyRecord] = []
    end = 0
    try:
        while (body := _record_at(data, end)) is not None:
            if end == 0:
                _check_version(path, msgspec.msgpack.decode(body, type=_Begun).version)
            records.append(_DECODER.decode(body))
            end += _HEAD.size + len(body)
    except msgspec.DecodeError as err:
        raise JournalError(
            f"{path}: written by another version of the toolkit ({err}); install the one that run.json names"
        ) from err
    if any(_record_at(data, start) is not None for start in range(end + 1, len(data))):
        raise JournalError(
            f"{path}: damaged at byte {end}, with whole records behind it; restore the file from a copy: weights and "
            "privacy ledger follow from all of it"
        )
    return records, end


def _check_version(path: Path, version: int) -> None:
    if version > VERSION:
        raise JournalError(
            f"{path}: got a journal of version {version}; allowed: up to {VERSION}; install a newer airzero-testbed"
        )


def read(path: Path) -> list[AnyRecord]:
    """All whole records of a journal, oldest first. Raises JournalError if there is no journal in the file."""
    try:
        data = path.read_bytes()
    except OSError as err:
        raise JournalError(f"{path}: cannot be read: {files.reason(err)}; give a run directory") from err
    records, _ = _parse(path, data)
    if not records:
        raise JournalError(f"{path}: holds no journal; is this the journal.bin of a run directory?")
    return records


class Journal:
    """The journal of a live run, open for appending; ``records`` are all that are on disk, oldest first."""

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            self._fd = files.system.open(path, os.O_RDWR | os.O_CREAT)
        except OSError as err:
            raise JournalError(
                f"{path}: cannot be opened for writing: {files.reason(err)}; free some space or make the run "
                "directory writable, and run again"
            ) from err
        try:
            size_bytes = os.fstat(self._fd).st_size
            self.records, self._end = _parse(path, os.pread(self._fd, size_bytes, 0))
            if self._end < size_bytes:
                files.system.truncate(self._fd, self._end)
            os.lseek(self._fd, self._end, os.SEEK_SET)
        except OSError as err:
            self.close()
            raise JournalError(f"{path}: {files.reason(err)}; check the disk") from err
        except JournalError:
            self.close()
            raise

    @classmethod
    def begun(cls, path: Path, *records: AnyRecord) -> Self:
        """A new journal that begins with these records. Raises JournalError, with nothing left open."""
        journal = cls(path)
        try:
            for record in records:
                journal._put(record)
        except OSError as err:
            journal.close()
            raise JournalError(
                f"{path}: {files.reason(err)}; the run has not begun: free some space and run again"
            ) from err
        return journal

    def append(self, record: AnyRecord) -> None:
        """Write ``record`` and wait until it is on disk. Raises JournalError; what was cut short is no record."""
        try:
            self._put(record)
        except OSError as err:
            raise JournalError(
                f"{self._path}: {files.reason(err)}; the run stops here with all earlier rounds safe: "
                "free some space and continue with --resume"
            ) from err

    def _put(self, record: AnyRecord) -> None:
        body = msgspec.msgpack.encode(record)
        data = _HEAD.pack(len(body), zlib.crc32(body)) + body
        try:
            files.write_all(self._fd, data)
            files.system.sync(self._fd)
        except OSError:
            self._undo()
            raise
        self.records.append(record)
        self._end += len(data)

    def _undo(self) -> None:
        """Cut off what a failed append left; if even that fails, nothing more may be added behind it."""
        try:
            files.system.truncate(self._fd, self._end)
            os.lseek(self._fd, self._end, os.SEEK_SET)
        except OSError:
            self.close()

    def close(self) -> None:
        """Close the file; safe to call twice."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
