"""Journals of versions 1 and 2, to be read and no more: ``length · CRC-32 · body`` without chain or seal.

What a crash cut short is at the end only; readers stop there. Damage before the end is refused.
"""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import msgspec

from testbed.errors import JournalError

_HEAD = struct.Struct("<II")
_MAX_RECORD_BYTES = 16 * 2**20


class _Begun(msgspec.Struct, frozen=True, tag="Start"):
    """A Start of any version, as far as every version can read it."""

    version: int


def bodies(path: Path, data: bytes, *, newest_version: int) -> list[bytes]:
    """The bodies of all whole records. Raises JournalError."""
    found: list[bytes] = []
    end = 0
    while (body := _record_at(data, end)) is not None:
        found.append(body)
        end += _HEAD.size + len(body)
    if not found:
        raise JournalError(f"{path}: holds no journal; is this the journal.bin of a run directory?")
    try:
        version = msgspec.msgpack.decode(found[0], type=_Begun).version
    except msgspec.DecodeError as err:
        raise JournalError(f"{path}: begins with no Start ({err}); restore the file from a copy") from err
    if version > newest_version:
        raise JournalError(
            f"{path}: got a journal of version {version}; allowed: up to {newest_version}; install a newer "
            "airzero-testbed"
        )
    if any(_record_at(data, start) is not None for start in range(end + 1, len(data))):
        raise JournalError(
            f"{path}: damaged at byte {end}, with whole records behind it; restore the file from a copy: weights and "
            "privacy ledger follow from all of it"
        )
    return found


def _record_at(data: bytes, start: int) -> bytes | None:
    """The body of the whole record that begins at ``start``, or None."""
    if start + _HEAD.size > len(data):
        return None
    length, crc = _HEAD.unpack_from(data, start)
    if not 0 < length <= min(_MAX_RECORD_BYTES, len(data) - start - _HEAD.size):
        return None
    body = data[start + _HEAD.size : start + _HEAD.size + length]
    return body if zlib.crc32(body) == crc else None
