"""From the line of a rig to the channels that it names."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path

from radio.channels import deepmimo, matlab, sionna, table
from radio.channels.recorded import RecordedChannels
from radio.channels.source import Source, parse
from radio.errors import RadioConfigError

MAX_BYTES = 1 << 30
_READERS: dict[str, Callable[[Source], RecordedChannels]] = {
    "sionna": sionna.load,
    "deepmimo": deepmimo.load,
    "matlab": matlab.load,
    "csv": table.load,
}


def load_channels(text: str) -> RecordedChannels:
    """What ``air.channel`` names; read again only when the file has changed. Raises RadioConfigError."""
    source = parse(text)
    try:
        stamp = Path(source.path).expanduser().stat()
    except (OSError, ValueError) as err:
        reason = getattr(err, "strerror", None) or str(err)
        raise RadioConfigError(
            f"air.channel: cannot read {source.path!r}: {reason}; name a file of this machine, the air's"
        ) from err
    if stamp.st_size > MAX_BYTES:
        raise RadioConfigError(
            f"air.channel: {source.path!r} has {stamp.st_size} bytes; allowed: {MAX_BYTES}; record less"
        )
    return _loaded(text, os.fspath(source.path), stamp.st_mtime_ns, stamp.st_size)


def pinned(text: str) -> str:
    """The same line with the file's checksum, so that another file is refused from then on; as it is where there is
    one already, or no such file on this machine, or a folder."""
    source = parse(text)
    path = Path(source.path).expanduser()
    if "sha256" in source.options or not path.is_file():
        return text
    stamp = path.stat()
    found = _checksum(os.fspath(path), stamp.st_mtime_ns, stamp.st_size)
    return f"{text}{'&' if source.options else '?'}sha256={found}"


@lru_cache(maxsize=2)
def _loaded(text: str, path: str, modified_ns: int, num_bytes: int) -> RecordedChannels:
    source = parse(text)
    expected = source.options.get("sha256")
    if expected is not None:
        found = _checksum(os.fspath(Path(path).expanduser()), modified_ns, num_bytes)
        if found != expected:
            raise source.refused(
                f"has the checksum {found}", expected, "restore the file that it was, or start anew with this one"
            )
    return _READERS[source.format](source)


@lru_cache(maxsize=2)
def _checksum(path: str, modified_ns: int, num_bytes: int) -> str:
    """The first half of SHA-256, in hexadecimal. Raises RadioConfigError."""
    try:
        with open(path, "rb") as raw:
            return hashlib.file_digest(raw, "sha256").hexdigest()[:32]
    except OSError as err:
        raise RadioConfigError(f"air.channel: cannot read {path!r}: {err.strerror}; name a file") from err
