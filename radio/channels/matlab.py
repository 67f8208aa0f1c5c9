"""Measured impulse responses between many nodes, as a MATLAB file holds them: a cell array of nodes by nodes.

Element {i, j} has the link from node i to node j, a row for each response, complex, at ``rate_hz`` samples per second;
nodes are counted from 1. So does the University of Utah's set of 44 nodes at 2.443 GHz, of which everybody gets
their own copy.
"""

from __future__ import annotations

import io
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np

from radio.channels.recorded import RecordedChannels, complete
from radio.channels.source import Source
from radio.errors import RadioConfigError

_UNPACK = "radio.channels.unpack_matlab"
_TIMEOUT_S = 300
_REMEDY = "name a .mat file as MATLAB saves it with -v7"


def load(source: Source) -> RecordedChannels:
    """The n-th responses of all links to node ``access_point`` are block n; by default all other nodes are devices.

    Blocks are as many as the link with the fewest responses has. Raises RadioConfigError.
    """
    rate_hz = source.number("rate_hz")
    if rate_hz is None:
        raise source.refused("does not say its sample rate", "with rate_hz", "add rate_hz=SAMPLES_PER_SECOND")
    arrays = arrays_of(source, Path(source.path).expanduser())
    name, num_nodes = _cells(source, arrays)
    station = source.whole("access_point")
    if station is None or not 1 <= station <= num_nodes:
        raise source.refused(f"access_point: got {station}", f"1 to {num_nodes}", "nodes are counted from 1")
    devices = source.devices or tuple(node for node in range(1, num_nodes + 1) if node != station)
    if not all(1 <= node <= num_nodes and node != station for node in devices):
        raise source.refused(
            f"devices: got {devices}", f"1 to {num_nodes}, and not the access point", "nodes are counted from 1"
        )
    links = [_responses(source, arrays.get(f"{name}/{node - 1}/{station - 1}"), node, station) for node in devices]
    num_blocks, num_samples = min(len(link) for link in links), max(link.shape[1] for link in links)
    gains = np.zeros((num_blocks, 1, len(links), num_samples), dtype=np.complex128)
    for k, link in enumerate(links):
        gains[:, 0, k, : link.shape[1]] = link[:num_blocks]
    delays_s = np.broadcast_to(np.arange(num_samples) / rate_hz, (num_blocks, len(links), num_samples))
    return complete(gains, delays_s, name=source.path)


def arrays_of(source: Source, path: Path) -> dict[str, np.ndarray[Any, Any]]:
    """The numbers of a MATLAB file, as `unpack_matlab` names them. Raises RadioConfigError."""
    command = [sys.executable, "-P", "-m", _UNPACK, os.fspath(path)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    try:
        done = subprocess.run(command, env=environment, capture_output=True, timeout=_TIMEOUT_S, check=False)
    except subprocess.TimeoutExpired as err:
        raise source.refused(f"{path.name} is still being read after {_TIMEOUT_S} s", "less", _REMEDY) from err
    if done.returncode:
        lines = done.stderr.decode("utf-8", "replace").strip().splitlines()
        said = lines[-1] if lines and done.returncode > 0 else "it is damaged, and ends its reader"
        raise RadioConfigError(f"air.channel: {str(path)!r}: cannot be read as a MATLAB file: {said}; {_REMEDY}")
    with np.load(io.BytesIO(done.stdout), allow_pickle=False) as archive:
        return {name: archive[name] for name in archive.files}


def _cells(source: Source, arrays: dict[str, np.ndarray[Any, Any]]) -> tuple[str, int]:
    """Name and number of nodes of the cell array of nodes by nodes."""
    shapes = {name.removesuffix("/shape"): value.tolist() for name, value in arrays.items() if name.endswith("/shape")}
    square = {name: rows for name, (rows, columns) in shapes.items() if rows == columns > 1}
    name = source.options.get("variable") or (next(iter(square)) if len(square) == 1 else "")
    if name not in square:
        raise source.refused(
            f"variable: got {name or 'no choice'}",
            ", ".join(square) or "a cell array of nodes by nodes, of which there is none",
            "add variable=NAME",
        )
    return name, square[name]


def _responses(source: Source, cell: np.ndarray[Any, Any] | None, node: int, station: int) -> np.ndarray[Any, Any]:
    if cell is None or cell.ndim != 2 or 0 in cell.shape:
        got = "no numbers" if cell is None else f"an element of shape {cell.shape}"
        raise source.refused(
            f"the link from {node} to {station} has {got}", "numbers [responses, samples]", "leave that node out"
        )
    return cell
