"""Follows a file of lines that somebody else writes: what is new since last time, and whether it is the same file."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

MAX_READ_BYTES = 1 << 22
"""At once; what is left comes with the next look."""
_MARK_BYTES = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class News:
    """What one look at the file found."""

    lines: bytes = b""
    """Whole lines, each with its end."""
    restarted: bool = False
    """Whether it is another file than before, or was written anew: all that was read before counts no more."""
    is_there: bool = True
    has_more: bool = False
    """Whether to look again at once."""


class Follower:
    """Reads only what was added. A last line that is not whole is left for later."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._identity: tuple[int, int] | None = None
        self._offset = 0
        self._mark = b""
        """The last bytes before `_offset`: a file that was written anew in place has others there."""
        self._seen: tuple[int, int] | None = None
        """Size and time of change when there was nothing more to read."""

    def look(self) -> News:
        """What was added since the last look; a file that is not there, or cannot be read, has no news."""
        try:
            descriptor = os.open(self._path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        except OSError:
            return News(is_there=False)
        try:
            return self._read(descriptor)
        except OSError:
            return News(is_there=False)
        finally:
            os.close(descriptor)

    def _read(self, descriptor: int) -> News:
        found = os.fstat(descriptor)
        stamp = (found.st_size, found.st_mtime_ns)
        identity = (found.st_dev, found.st_ino)
        if identity == self._identity and stamp == self._seen:
            return News()
        restarted = self._identity is not None and not self._goes_on(descriptor, identity, found.st_size)
        if restarted or self._identity is None:
            self._identity, self._offset, self._mark = identity, 0, b""
        data = os.pread(descriptor, min(MAX_READ_BYTES, found.st_size - self._offset), self._offset)
        whole = data.rfind(b"\n") + 1
        if not whole and len(data) == MAX_READ_BYTES:
            whole = len(data)  # no line is so long: what this is, its reader may say
        self._offset += whole
        self._mark = (self._mark + data[:whole])[-_MARK_BYTES:]
        has_more = bool(whole) and len(data) == MAX_READ_BYTES
        self._seen = None if has_more else stamp
        return News(lines=data[:whole], restarted=restarted, has_more=has_more)

    def _goes_on(self, descriptor: int, identity: tuple[int, int], size_bytes: int) -> bool:
        if identity != self._identity or size_bytes < self._offset:
            return False
        return os.pread(descriptor, len(self._mark), self._offset - len(self._mark)) == self._mark
