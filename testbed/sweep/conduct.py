"""A sweep from its first order to its last answer. Nothing is decided from memory: what is left is what the disk says.

Whoever hands out runs may die, and so may the scheduler and any worker: whoever comes next reads the same disk.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from typing import Protocol

from testbed.config.schema import RunConfig
from testbed.errors import SweepError
from testbed.sweep.cluster import Cluster, LostError
from testbed.sweep.directory import Seen, State, SweepDirectory
from testbed.sweep.work import Answer, Order, toolkit_version

Connect = Callable[[], AbstractContextManager[Cluster]]
_UNSETTLED = ("missing", "cut off")
_LOOK_S = 0.3
_BUSY_S = 2.0
_RETRY_S = 1.0
_LEAVE_S = 30.0
"""How long workers that were asked to stop are waited for; a round may take so long."""


class Watcher(Protocol):
    """Whoever watches a sweep."""

    def counted(self, states: Mapping[State, int], num_workers: int) -> None:
        """So many runs are in each state, and so many workers are there."""

    def settled(self, name: str, seen: Seen) -> None:
        """A run is done, or has failed."""

    def told(self, words: str) -> None:
        """Something that a user wants to know."""


def conduct(
    sweep: SweepDirectory,
    runs: Mapping[str, RunConfig],
    connect: Connect,
    *,
    watcher: Watcher,
    should_stop: Callable[[], bool] = lambda: False,
    retry_failed: bool = False,
    patience_s: float = 60.0,
) -> bool:
    """Have every run of ``runs`` carried out that is not done yet; returns whether nothing is left.

    ``retry_failed``: also those that failed before, but for runs that were played to their end. ``patience_s``: how
    long a scheduler may be away. Ends early where ``should_stop`` says so. Raises SweepError where no scheduler
    answers, or no worker can do what is asked, with all that is done safe on the disk.
    """
    token = sweep.read_plan().token
    orders = {
        name: Order(sweep=str(sweep.path.resolve()), token=token, version=toolkit_version(), name=name, config=config)
        for name, config in runs.items()
    }
    if retry_failed:
        for name in orders:
            seen = sweep.seen(name)
            if seen.state == "failed" and seen.fingerprint is None:
                sweep.forget_failure(name)
    lost_since: float | None = None
    while any(sweep.seen(name).state in _UNSETTLED for name in orders):
        if should_stop():
            return False
        try:
            with connect() as cluster:
                lost_since = None
                if not _hand_out(cluster, sweep, orders, watcher, should_stop):
                    return False
        except LostError as err:
            now = time.monotonic()
            lost_since = lost_since if lost_since is not None else now
            if now - lost_since > patience_s:
                raise SweepError(
                    f"--scheduler: no scheduler answers ({err}) for {patience_s:g} s; allowed: shorter absences; start "
                    "it again, then the same command: what is done is on the disk"
                ) from err
            watcher.told(f"waiting for the scheduler ({err})")
            time.sleep(_RETRY_S)
    return True


def _hand_out(
    cluster: Cluster,
    sweep: SweepDirectory,
    orders: Mapping[str, Order],
    watcher: Watcher,
    should_stop: Callable[[], bool],
) -> bool:
    """Submit what is left, and again what comes back unsettled; returns whether nothing is left.

    Raises LostError with the scheduler, SweepError for workers that cannot do any run.
    """
    states = {name: sweep.seen(name).state for name in orders}
    left = {name: order for name, order in orders.items() if states[name] in _UNSETTLED}
    later: dict[str, float] = {}
    for order in left.values():
        cluster.submit(order)
    while left:
        if should_stop():
            cluster.withdraw()
            _wait_until_free(sweep, list(left))
            return False
        watcher.counted(Counter(states.values()), cluster.num_workers())
        for name, answer in cluster.answers(_LOOK_S):
            if answer is not None and answer.outcome == "unfit":
                cluster.withdraw()
                raise SweepError(f"{answer.words}; what is done is on the disk, the same command goes on")
            seen = sweep.seen(name)
            states[name] = seen.state
            if seen.state not in _UNSETTLED:
                del left[name]
                watcher.settled(name, seen)
                continue
            later[name] = time.monotonic() + (_BUSY_S if _is_busy(answer) else 0.0)
            watcher.told(f"{name}: {_why_again(answer)}")
        for name in [name for name, due in later.items() if due <= time.monotonic()]:
            del later[name]
            cluster.submit(left[name])
    watcher.counted(Counter(states.values()), cluster.num_workers())
    return True


def _is_busy(answer: Answer | None) -> bool:
    return answer is not None and answer.outcome == "busy"


def _why_again(answer: Answer | None) -> str:
    if answer is None:
        return "its workers died; handed out again"
    if answer.outcome == "busy":
        return f"{answer.words} still has it; handed out again when that has gone"
    return "its worker had to go; handed out again"


def _wait_until_free(sweep: SweepDirectory, names: list[str]) -> None:
    """Wait until no worker has any of these runs, for a while."""
    deadline = time.monotonic() + _LEAVE_S
    while time.monotonic() < deadline and sweep.held(names):
        time.sleep(_LOOK_S)
