"""Channels as a table: CSV with the columns block, device, delay_s, real, imag, a row for each path.

Blocks and devices are counted from 0; other columns are left alone.
"""

from __future__ import annotations

import csv
import math
from collections import defaultdict
from pathlib import Path

import numpy as np

from radio.channels.recorded import MAX_NUMBERS, RecordedChannels, complete
from radio.channels.source import MAX_DEVICES, Source
from radio.errors import RadioConfigError

COLUMNS = ("block", "device", "delay_s", "real", "imag")
MAX_BLOCKS = 1_000_000
_Path = tuple[float, complex]


def load(source: Source) -> RecordedChannels:
    """Blocks without a path of every device count as gaps. Raises RadioConfigError."""
    links: dict[tuple[int, int], list[_Path]] = defaultdict(list)
    try:
        with Path(source.path).expanduser().open(encoding="utf-8-sig", newline="") as text:
            rows = csv.DictReader(text)
            if missing := [name for name in COLUMNS if name not in (rows.fieldnames or ())]:
                raise source.refused(f"has no column {', '.join(missing)}", ", ".join(COLUMNS), "name the columns")
            for row in rows:
                block, device, path = _row(source, row, rows.line_num)
                links[block, device].append(path)
    except (OSError, UnicodeDecodeError, csv.Error) as err:
        raise RadioConfigError(f"air.channel: {source.path!r}: cannot be read ({err}); name a CSV file") from err
    devices = source.devices or tuple(range(1 + max((device for _, device in links), default=0)))
    num_blocks = 1 + max((block for block, _ in links), default=0)
    most = max((len(paths) for (_, device), paths in links.items() if device in devices), default=1)
    if num_blocks * len(devices) * most > MAX_NUMBERS:
        raise source.refused(
            f"has {num_blocks} blocks, {len(devices)} devices and up to {most} paths",
            f"{MAX_NUMBERS} in all",
            "record less",
        )
    gains = np.zeros((num_blocks, 1, len(devices), most), dtype=np.complex128)
    delays = np.zeros((num_blocks, len(devices), most))
    column = {device: k for k, device in enumerate(devices)}
    for (block, device), paths in links.items():
        if (k := column.get(device)) is not None:
            delays[block, k, : len(paths)] = [delay for delay, _ in paths]
            gains[block, 0, k, : len(paths)] = [gain for _, gain in paths]
    return complete(gains, delays, name=source.path)


def _row(source: Source, row: dict[str, str | None], line: int) -> tuple[int, int, _Path]:
    try:
        block, device = int(row["block"] or ""), int(row["device"] or "")
        delay, real, imag = (float(row[name] or "") for name in COLUMNS[2:])
    except ValueError as err:
        raise source.refused(f"line {line}: {err}", "a number in each of the five columns", "mend that line") from err
    if not (0 <= block < MAX_BLOCKS and 0 <= device < MAX_DEVICES and delay >= 0 and math.isfinite(delay)):
        raise source.refused(
            f"line {line}: block {block}, device {device}, delay {delay:g} s",
            f"block below {MAX_BLOCKS}, device below {MAX_DEVICES}, delay from 0 on",
            "mend that line",
        )
    return block, device, (delay, complex(real, imag))
