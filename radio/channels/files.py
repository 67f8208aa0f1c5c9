"""From the line of a rig to the channels that it names."""

from __future__ import annotations

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


@lru_cache(maxsize=2)
def _loaded(text: str, path: str, modified_ns: int, num_bytes: int) -> RecordedChannels:
    source = parse(text)
    return _READERS[source.format](source)
