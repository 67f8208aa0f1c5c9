"""Measured impulse responses between many nodes, as a MATLAB file holds them: a cell array of nodes by nodes.

Element {i, j} has the link from node i to node j, a row for each response, complex, at ``rate_hz`` samples per second;
nodes are counted from 1. So does the University of Utah's set of 44 nodes at 2.443 GHz, of which everybody gets
their own copy.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import scipy.io

from radio.channels.recorded import RecordedChannels, complete
from radio.channels.source import Source
from radio.errors import RadioConfigError


def load(source: Source) -> RecordedChannels:
    """The n-th responses of all links to node ``access_point`` are block n; by default all other nodes are devices.

    Blocks are as many as the link with the fewest responses has. Raises RadioConfigError.
    """
    rate_hz = source.number("rate_hz")
    if rate_hz is None:
        raise source.refused("does not say its sample rate", "with rate_hz", "add rate_hz=SAMPLES_PER_SECOND")
    cells = _cells(source, arrays_of(source, Path(source.path).expanduser()))
    num_nodes = len(cells)
    station = source.whole("access_point")
    if station is None or not 1 <= station <= num_nodes:
        raise source.refused(f"access_point: got {station}", f"1 to {num_nodes}", "nodes are counted from 1")
    devices = source.devices or tuple(node for node in range(1, num_nodes + 1) if node != station)
    if not all(1 <= node <= num_nodes and node != station for node in devices):
        raise source.refused(
            f"devices: got {devices}", f"1 to {num_nodes}, and not the access point", "nodes are counted from 1"
        )
    links = [_responses(source, cells[node - 1, station - 1], node, station) for node in devices]
    num_blocks, num_samples = min(len(link) for link in links), max(link.shape[1] for link in links)
    gains = np.zeros((num_blocks, 1, len(links), num_samples), dtype=np.complex128)
    for k, link in enumerate(links):
        gains[:, 0, k, : link.shape[1]] = link[:num_blocks]
    delays_s = np.broadcast_to(np.arange(num_samples) / rate_hz, (num_blocks, len(links), num_samples))
    return complete(gains, delays_s, name=source.path)


def arrays_of(source: Source, path: Path) -> dict[str, np.ndarray[Any, Any]]:
    """The variables of a MATLAB file. Raises RadioConfigError."""
    try:
        found = scipy.io.loadmat(path)
    except NotImplementedError as err:
        raise source.refused(f"{path.name} is a file of version 7.3", "version 7", "save it with -v7") from err
    except Exception as err:  # SciPy's reader raises whatever a damaged file leads it to
        raise RadioConfigError(
            f"air.channel: {str(path)!r}: cannot be read as a MATLAB file ({type(err).__name__}: {err}); name a .mat "
            "file"
        ) from err
    return {name: value for name, value in found.items() if not name.startswith("__") and isinstance(value, np.ndarray)}


def _cells(source: Source, arrays: dict[str, np.ndarray[Any, Any]]) -> np.ndarray[Any, Any]:
    square = {
        name: value
        for name, value in arrays.items()
        if value.dtype == object and value.ndim == 2 and value.shape[0] == value.shape[1] > 1
    }
    name = source.options.get("variable") or (next(iter(square)) if len(square) == 1 else "")
    if name not in square:
        raise source.refused(
            f"variable: got {name or 'no choice'}",
            ", ".join(square) or "a cell array of nodes by nodes, of which there is none",
            "add variable=NAME",
        )
    return square[name]


def _responses(source: Source, cell: object, node: int, station: int) -> np.ndarray[Any, Any]:
    found = np.asarray(cell)
    if found.ndim != 2 or 0 in found.shape or found.dtype.kind not in "fiuc":
        raise source.refused(
            f"the link from {node} to {station} has an element of shape {found.shape}, {found.dtype}",
            "numbers [responses, samples]",
            "leave that node out",
        )
    return found
