"""Unpacks a MATLAB file in a process of its own: SciPy's reader ends its process on some damaged files.

    python -m radio.channels.unpack_matlab FILE > ARRAYS.npz

Each array of numbers is under its name, each element of a cell array of two axes under NAME/ROW/COLUMN, and the cell
array's shape under NAME/shape. Of what cannot be read the last line on stderr says why.
"""

from __future__ import annotations

import io
import resource
import sys
from typing import Any

import numpy as np
import scipy.io

MAX_BYTES = 6 << 30
"""Of this process, as a small file may hold much that is packed."""


def unpacked(path: str) -> dict[str, np.ndarray[Any, Any]]:
    """What the file has of numbers. Raises whatever SciPy's reader does."""
    found: dict[str, np.ndarray[Any, Any]] = {}
    for name, value in scipy.io.loadmat(path).items():
        if name.startswith("__") or not isinstance(value, np.ndarray):
            continue
        if value.dtype.kind in "fiuc":
            found[name] = value
        elif value.dtype == object and value.ndim == 2:
            found[f"{name}/shape"] = np.array(value.shape)
            for (row, column), cell in np.ndenumerate(value):
                if isinstance(cell, np.ndarray) and cell.dtype.kind in "fiuc":
                    found[f"{name}/{row}/{column}"] = cell
    return found


def main() -> None:
    """Of the file that the command line names."""
    resource.setrlimit(resource.RLIMIT_AS, (MAX_BYTES, MAX_BYTES))
    packed = io.BytesIO()
    np.savez(packed, allow_pickle=False, **unpacked(sys.argv[1]))
    sys.stdout.buffer.write(packed.getvalue())


if __name__ == "__main__":
    main()
