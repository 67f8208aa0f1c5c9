"""Real canaries: how far one example, or one client, really moves what its device sends, through the learner itself.

The canary is the worst of the task's own examples for each round's direction, beyond the clip where one is. Whatever
lets it move more than Δ refutes the claim at once: clipping, the normaliser, batches that change with it, examples
that disturb each other.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from learner.tasks.task import Task
from testbed.config.schema import RunConfig
from testbed.hosts.local_work import Loaded, prepare
from testbed.hosts.randomness import SeededRandomness
from testbed.planning.terms import scheme_of, terms_of
from testbed.rounds.round import round_seed

Floats = NDArray[np.float64]

_NUM_CANDIDATES = 48
_ROUNDING = 1e-6
"""Relative to Δ: each example's projection is its own to the bit, and sums are float64."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Shifts:
    """How far a device's vector moved between two neighbouring data sets."""

    sensitivity: float
    """Δ, as it was charged."""
    moved: Floats
    """[R], Euclidean, of each round that was tried."""

    @property
    def refutation(self) -> str | None:
        """Why Δ is too small; None where it was not exceeded."""
        if self.moved.max(initial=0.0) <= self.sensitivity * (1 + _ROUNDING):
            return None
        beyond = int(np.sum(self.moved > self.sensitivity * (1 + _ROUNDING)))
        return (
            f"a canary moved the sum by {self.moved.max():.4g}, but Delta {self.sensitivity:.4g} was charged "
            f"({beyond} of {self.moved.size} rounds)"
        )


def measured_shifts(config: RunConfig, loaded: Loaded, *, num_rounds: int, device: int = 0) -> Shifts:
    """Play the first rounds of one device on neighbouring data sets, at the weights that are loaded."""
    moved = [
        float(np.linalg.norm(_sent(config, loaded, one, t, device) - _sent(config, loaded, other, t, device)))
        for t in range(num_rounds)
        for one, other in _neighbours(config, loaded, t, device)
    ]
    return Shifts(sensitivity=terms_of(config).sensitivity, moved=np.array(moved))


def _sent(config: RunConfig, loaded: Loaded, task: Task | None, round_index: int, device: int) -> Floats:
    """What a device would send before its noise; of a client that is not there, zeros."""
    experiment = config.experiment
    if task is None:
        return np.zeros(experiment.learner.num_queries)
    contribution = prepare(
        Loaded(loaded.replica, task),
        experiment,
        [device],
        {device: SeededRandomness(experiment.seed, device)},
        round_index=round_index,
        seed=round_seed(experiment.seed, round_index),
    )[device]
    return scheme_of(experiment).mapped(contribution.clipped)


def _neighbours(config: RunConfig, loaded: Loaded, round_index: int, device: int) -> list[tuple[Task, Task | None]]:
    """Pairs of tasks that the claim calls neighbours, chosen to lie far apart in this round."""
    privacy, task = config.experiment.privacy, loaded.task
    low, high = _extremes(config, loaded, round_index)
    shard = task.shard(device)
    if privacy.level == "client":
        far = [task.exchanged(shard, by) for by in (low, high)]
        return [(far[0], far[1])] if privacy.adjacency == "replace" else [(one, None) for one in far]
    if privacy.adjacency == "replace":
        row = task.known_rows(device, round_index, config.experiment.learner.batch_size)[:1]
        return [(task.exchanged(row, low), task.exchanged(row, high))]
    return [(canary, canary.without_last(device)) for canary in (task.exchanged(shard[-1:], by) for by in (low, high))]


def _extremes(config: RunConfig, loaded: Loaded, round_index: int) -> tuple[int, int]:
    """The candidates of least and largest projection on the round's first direction."""
    task, learner = loaded.task, config.experiment.learner
    rows = np.linspace(0, task.num_train - 1, min(_NUM_CANDIDATES, task.num_train)).astype(np.int64)
    found = loaded.replica.scalars(
        [task.rows(rows)],
        seed=round_seed(config.experiment.seed, round_index),
        num_queries=1,
        perturbation_scale=learner.perturbation_scale,
    ).example_projections[0][:, 0]
    return int(rows[np.argmin(found)]), int(rows[np.argmax(found)])
