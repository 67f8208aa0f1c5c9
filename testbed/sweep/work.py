"""What a worker does with one run: take it, see from the disk what is left, do that, let it go.

Knows nothing of what brought the order or takes the answer, so that any scheduler will do.
"""

from __future__ import annotations

import logging
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import msgspec

from testbed.config.schema import RunConfig
from testbed.errors import CrashError, RunDirectoryError
from testbed.failures import EXPECTED, in_one_line, traceback_of
from testbed.results.directory import RunDirectory
from testbed.results.provenance import versions
from testbed.sweep.directory import MAX_FRUITLESS, BusyError, Seen, SweepDirectory
from testbed.sweep.plan import digest

log = logging.getLogger(__name__)
PATIENCE_S = 5.0
"""How long a worker waits for a run that another one has."""
_TOOLKIT = "airzero-testbed"


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """One run, to whoever has a worker."""

    sweep: str
    """The sweep's directory, as an absolute path."""
    token: str
    """What its plan says."""
    version: str
    """Of the toolkit."""
    name: str
    config: RunConfig


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """What became of an order; what became of the run is on the disk."""

    outcome: Literal["settled", "stopped", "busy", "unfit"]
    """``settled``: the run is done, or failed. ``stopped``: the worker had to go, or was asked to. ``busy``: another
    process has the run. ``unfit``: this worker cannot do any."""
    words: str = ""


def toolkit_version() -> str:
    """Of this process."""
    return versions()[_TOOLKIT]


def carry_out(order: Order, is_wanted: Callable[[], bool]) -> Answer:
    """Go on with a run until it is settled or nobody wants it any longer, which is asked before every round."""
    sweep = SweepDirectory(Path(order.sweep))
    unfit = _why_unfit(sweep, order)
    if unfit is not None:
        return Answer(outcome="unfit", words=f"worker on {socket.gethostname()}: {unfit}")
    try:
        with sweep.holding(order.name, patience_s=PATIENCE_S) as hold:
            before = sweep.seen(order.name)
            if before.state in ("done", "failed"):
                return Answer(outcome="settled")
            if hold.fruitless(before.num_rounds) >= MAX_FRUITLESS:
                sweep.write_failure(order.name, _fruitless(before))
                hold.note("left", before.num_rounds)
                return Answer(outcome="settled")
            hold.note("took", before.num_rounds)
            try:
                _go_on(sweep, order, is_wanted)
            except EXPECTED as err:
                if is_wanted():
                    sweep.write_failure(order.name, str(err))
            after = sweep.seen(order.name)
            hold.note("left", after.num_rounds)
            return Answer(outcome="settled" if after.state in ("done", "failed") else "stopped")
    except BusyError as err:
        return Answer(outcome="busy", words=str(err))


def _why_unfit(sweep: SweepDirectory, order: Order) -> str | None:
    """Why this worker can do no run of this sweep; None if it can."""
    if toolkit_version() != order.version:
        return f"has {_TOOLKIT} {toolkit_version()}; allowed: {order.version}, as the sweep has; install that"
    try:
        token = sweep.read_plan().token
    except RunDirectoryError as err:
        return f"does not see the sweep's directory ({err}); allowed: a file system that all workers share"
    if token != order.token:
        return f"sees another sweep in {sweep.path}; allowed: a file system that all workers share"
    return None


def _fruitless(before: Seen) -> str:
    return (
        f"{MAX_FRUITLESS} processes in a row died with it behind round {before.num_rounds} (out of memory, or ended by "
        "a limit?); allowed: fewer; give each run more memory or time, then --retry-failed"
    )


def _go_on(sweep: SweepDirectory, order: Order, is_wanted: Callable[[], bool]) -> None:
    """Begin a run, or go on with it behind its last whole round. Raises what is EXPECTED."""
    path = sweep.run(order.name)
    try:
        from testbed.rounds.processes import run_in_one_process
        from testbed.rounds.rewind import check_can_rewind, rewind

        begun = sweep.has_begun(order.name)
        if begun:
            _check_config(path, order.config)
            rewind(path)
        else:
            check_can_rewind(order.config)
            sweep.clear(order.name)
        run_in_one_process(
            order.config,
            out=None if begun else path,
            resume=path if begun else None,
            should_stop=lambda: not is_wanted(),
            reports=False,
        )
    except EXPECTED:
        raise
    except Exception as err:
        log.error("run %s: %s", order.name, traceback_of(err))
        raise CrashError(
            f"{in_one_line(err)}; this is a fault of the toolkit or of this machine; see the worker's log",
            trace=traceback_of(err),
        ) from err


def _check_config(path: Path, config: RunConfig) -> None:
    """What is resumed must be what the plan asks for."""
    if digest(RunDirectory.open(path).read_config()) != digest(config):
        raise RunDirectoryError(
            f"{path}: config.toml is not that of this run; allowed: as the sweep wrote it; restore it, or remove this "
            "run's directory"
        )
