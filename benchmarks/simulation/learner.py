"""A host's learner in a history: the chain of hashes of `benchmarks.control.learner`, and time that it takes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import Any

from benchmarks.control.learner import ChainReplica, Numbers, judge, prove
from learner.zo.replica import Scalars
from testbed.config.schema import RunConfig
from testbed.hosts.local_work import Loaded

__all__ = ["Chain", "judge", "loader", "prove"]


class Chain(ChainReplica):
    """Remembers how many links it has, and what it was after each."""

    def __init__(self, work: Callable[[], None] = lambda: None) -> None:
        super().__init__()
        self._work = work
        self.states = [self.fingerprint()]

    def update(self, seed: int, coefficients: Sequence[float]) -> None:
        """One more link."""
        super().update(seed, coefficients)
        self.states.append(self.fingerprint())

    def scalars(self, batches: Sequence[int], *, seed: int, num_queries: int, **others: Any) -> Scalars:
        """As of the other chain, in its time."""
        self._work()
        return super().scalars(batches, seed=seed, num_queries=num_queries, **others)


def loader(load_s: Callable[[], None], work: Callable[[], None]) -> Callable[[RunConfig], Loaded]:
    """What loads an untouched chain."""

    def load(config: RunConfig) -> Loaded:
        load_s()
        made: Any = SimpleNamespace(replica=Chain(work), task=Numbers())
        return made

    return load
