"""Where a worker keeps compiled kernels: in a folder of its own, as numba's cache may have one writer at a time.

Two processes that save two signatures of one kernel at the same moment would leave either under the other's name.
"""

from __future__ import annotations

import fcntl
import os
import sys
from itertools import count
from pathlib import Path

_VARIABLE = "NUMBA_CACHE_DIR"
_held: list[int] = []
"""The lock of this process's folder, kept until it ends."""


def use_own_cache() -> None:
    """Give this process the first folder of kernels that no other process has; for whom has chosen one, nothing.

    Must be called before any kernel is imported: later calls, and later imports, change nothing.
    """
    if _held or os.environ.get(_VARIABLE) or "numba" in sys.modules:
        return
    base = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser().absolute() / "airzero" / "kernels"
    base.mkdir(parents=True, exist_ok=True)
    for number in count():
        descriptor = os.open(base / f"worker-{number}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            continue
        _held.append(descriptor)
        os.environ[_VARIABLE] = str(base / f"worker-{number}")
        return
