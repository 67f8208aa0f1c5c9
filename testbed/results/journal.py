"""The journal: what decided the weights, on disk before it is announced.

A file of records, each ``length (4 bytes, little-endian) · CRC-32 of the body (4 bytes) · body (msgpack)``, written
with one write and one fsync. A record that a crash cut short is at the end only; readers stop there and a resumed
run cuts it off. Initial weights + journal = final weights, bit for bit.
"""

from __future__ import annotations

import os
import struct
import zlib
from pathlib import Path
from typing import Literal, Self, TypeAlias

import msgspec

from testbed.errors import JournalError

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


def _parse(data: bytes) -> tuple[list[AnyRecord], int]:
    """The whole records in ``data`` and where the last of them ends."""
    records: list[AnyRecord] = []
    end = 0
    while end + _HEAD.size <= len(data):
        length, crc = _HEAD.unpack_from(data, end)
        body = data[end + _HEAD.size : end + _HEAD.size + length]
        if length > _MAX_RECORD_BYTES or len(body) < length or zlib.crc32(body) != crc:
            break
        records.append(_DECODER.decode(body))
        end += _HEAD.size + length
    return records, end


def read(path: Path) -> list[AnyRecord]:
    """All whole records of a journal, oldest first. Raises JournalError if there is no journal in the file."""
    try:
        data = path.read_bytes()
    except OSError as err:
        raise JournalError(f"{path}: cannot be read: {err.strerror}; give a run directory") from err
    try:
        records, _ = _parse(data)
    except msgspec.DecodeError as err:
        raise JournalError(f"{path}: written by another version of the toolkit ({err})") from err
    if not records or not isinstance(records[0], Start):
        raise JournalError(f"{path}: holds no journal; is this the journal.bin of a run directory?")
    return records


class Journal:
    """The journal of a live run, open for appending; ``records`` are all that are on disk, oldest first."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            size_bytes = os.fstat(self._fd).st_size
            records, end = _parse(os.pread(self._fd, size_bytes, 0))
            self.records = records
            if end < size_bytes:
                os.ftruncate(self._fd, end)
            os.lseek(self._fd, end, os.SEEK_SET)
        except OSError as err:
            self.close()
            raise JournalError(f"{path}: {err.strerror}; check the disk") from err

    def append(self, record: AnyRecord) -> None:
        """Write ``record`` and wait until it is on disk. Raises JournalError; what was cut short is no record."""
        body = msgspec.msgpack.encode(record)
        data = _HEAD.pack(len(body), zlib.crc32(body)) + body
        try:
            written = os.write(self._fd, data)
            if written < len(data):
                os.write(self._fd, data[written:])
            os.fsync(self._fd)
        except OSError as err:
            raise JournalError(
                f"{self._path}: {err.strerror}; the run stops here with all earlier rounds safe: "
                "free some space and continue with --resume"
            ) from err
        self.records.append(record)

    def close(self) -> None:
        """Close the file; safe to call twice."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
