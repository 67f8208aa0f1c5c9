"""Many histories, on all cores; each that fails is named with its seed and what replays it."""

from __future__ import annotations

import gc
import multiprocessing
import os
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from benchmarks.simulation.history import Outcome, play, quiet

_AT_ONCE = 50
SHOWN = 5


@dataclass(slots=True)
class Found:
    """What came of them."""

    num: int = 0
    failed: dict[int, tuple[str, ...]] = field(default_factory=dict)
    """seed → what did not hold"""
    statuses: Counter[str] = field(default_factory=Counter)
    """How many rounds came to what"""
    counts: Counter[str] = field(default_factory=Counter)
    """What happened, all histories together"""
    virtual_s: float = 0.0
    cpu_s: float = 0.0

    def add(self, outcome: Outcome) -> None:
        """One more."""
        self.num += 1
        self.statuses.update(outcome.statuses)
        self.counts.update(outcome.counts)
        self.virtual_s += outcome.took_s
        if outcome.faults:
            self.failed[outcome.seed] = outcome.faults

    def include(self, other: Found) -> None:
        """Those of another."""
        self.num += other.num
        self.failed |= other.failed
        self.statuses.update(other.statuses)
        self.counts.update(other.counts)
        self.virtual_s += other.virtual_s
        self.cpu_s += other.cpu_s

    def __str__(self) -> str:
        """The failed ones first."""
        lines = [
            f"seed {seed}: {'; '.join(faults)}\n  python -m benchmarks.simulation.replay {seed}"
            for seed, faults in sorted(self.failed.items())[:SHOWN]
        ]
        lines.append(
            f"{len(self.failed)} of {self.num} histories failed; {self.virtual_s / 3600:.1f} virtual hours in "
            f"{self.cpu_s:.0f} s of processor time; rounds: {dict(self.statuses)}; {dict(self.counts)}"
        )
        return "\n".join(lines)


def several(seeds: Iterable[int]) -> Found:
    """Histories in this process."""
    found = Found()
    started_s = time.process_time()
    with quiet(), _nothing_to_collect():
        for seed in seeds:
            found.add(play(seed))
    found.cpu_s = time.process_time() - started_s
    return found


@contextmanager
def _nothing_to_collect() -> Iterator[None]:
    """What was there before is not looked through again and again."""
    gc.collect()
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()


def many(first: int, num: int, *, num_processes: int | None = None) -> Found:
    """Histories of the seeds from ``first`` on, in processes of their own."""
    found = Found()
    parts = [range(begin, min(begin + _AT_ONCE, first + num)) for begin in range(first, first + num, _AT_ONCE)]
    with multiprocessing.get_context("spawn").Pool(num_processes or os.cpu_count() or 1) as pool:
        for each in pool.imap_unordered(several, parts):
            found.include(each)
    return found
