"""How often each run of a data-set budget has transmitted, counted beside the budget and outside the run's directory.

A run directory that is put back to an earlier state, or copied and continued twice, would transmit its rounds again
under the reservation that it holds. So each charged transmission adds one byte to ``PATH.runs/RUN_ID``, after the
journal, on disk before anybody is told to transmit: a journal that holds fewer charges than there are bytes is old.
"""

from __future__ import annotations

import fcntl
import os
from contextlib import suppress
from pathlib import Path

from testbed.errors import BudgetError
from testbed.results import files

_BYTE = b"."


def begin(budget: Path, run_id: str) -> None:
    """Start counting a run at none. Raises BudgetError."""
    path = _path(budget, run_id)
    try:
        files.system.make_folder(path.parent)
        files.system.sync_folder(path.parent.parent)
        os.close(files.system.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL))
        files.system.sync_folder(path.parent)
    except OSError as err:
        raise _refusal(path, files.reason(err)) from err


def count(budget: Path, run_id: str, num_charged: int, *, is_new: bool) -> None:
    """Put on disk that the run has charged ``num_charged`` transmissions, the last of them just now if ``is_new``.

    Raises BudgetError where more were counted before, or nothing can be; then nobody may transmit.
    """
    path = _path(budget, run_id)
    try:
        descriptor = files.system.open(path, os.O_WRONLY | os.O_APPEND)
    except OSError as err:
        raise _refusal(path, files.reason(err)) from err
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        counted, known = os.fstat(descriptor).st_size, num_charged - is_new
        if counted > known:
            raise BudgetError(
                f"{path}: run {run_id} has charged {counted} transmissions, and its journal holds {known}: its "
                "directory was put back or copied, and would send rounds again that were sent; allowed: to continue "
                "the newest state of the directory; restore that, or start a new run, which draws anew"
            )
        files.write_all(descriptor, _BYTE * (num_charged - counted))
        files.system.sync(descriptor)
    except OSError as err:
        raise _refusal(path, files.reason(err)) from err
    finally:
        with suppress(OSError):
            os.close(descriptor)


def _path(budget: Path, run_id: str) -> Path:
    if not run_id.isalnum():
        raise BudgetError(
            f"{budget}: got the run id {run_id!r}; allowed: letters and digits; restore the run's journal"
        )
    return budget.with_name(f"{budget.name}.runs") / run_id


def _refusal(path: Path, reason: str) -> BudgetError:
    return BudgetError(
        f"{path}: {reason}; it counts what the run has sent, and nothing more may be sent without it: restore the "
        "folder beside the budget file, or make it writable"
    )
