"""Plays the experiment's optimiser over the rounds of a run, from what is written down of each."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from testbed.config.schema import Experiment
from testbed.errors import ConfigError
from testbed.optimisers.base import Heard, Optimiser
from testbed.optimisers.registry import optimiser
from testbed.optimisers.sgd import scaled
from testbed.results.records import RoundRecord
from testbed.results.updates import Update

Floats = NDArray[np.float64]


class Updater:
    """Turns each estimate into coefficients; what it remembers follows from the records of past rounds alone."""

    def __init__(self, experiment: Experiment) -> None:
        self._experiment = experiment
        self._optimiser: Optimiser[Any] = optimiser(experiment.update.optimiser)
        self._state = self._optimiser.initial(experiment)
        self._seeds: list[int] = []  # of used rounds, latest last

    @classmethod
    def after(cls, experiment: Experiment, past: Iterable[RoundRecord]) -> Updater:
        """As it was after the rounds of ``past``."""
        updater = cls(experiment)
        for record in past:
            if record.estimate and record.predicted_error_std is not None:
                updater._step(record.round, record.seed, record.estimate, record.predicted_error_std)
        return updater

    def updates(
        self, round_index: int, seed: int, estimates: Sequence[float], error_variance: Floats
    ) -> tuple[Update, ...]:
        """What each direction of this round is multiplied with, then those of rounds before, latest first.

        Rounded once to float32. Raises ConfigError for coefficients that are none.
        """
        found = np.atleast_2d(self._step(round_index, seed, estimates, math.sqrt(error_variance[0])))
        rows = [_single(row) for row in found]
        if found.ndim != 2 or found.shape[1] != len(estimates) or not np.isfinite(rows).all():
            raise ConfigError(
                f"update.optimiser: got {found.tolist()} of {self._optimiser.name!r} in round {round_index + 1}; "
                f"allowed: a finite coefficient for each of {len(estimates)} directions, in one row a round; correct it"
            )
        if len(rows) > len(self._seeds):
            raise ConfigError(
                f"update.optimiser: got {len(rows)} rows of {self._optimiser.name!r} in round {round_index + 1}; "
                f"allowed: up to {len(self._seeds)}, for the rounds that were used so far; correct it"
            )
        return tuple(zip(reversed(self._seeds), rows, strict=False))

    def _step(self, round_index: int, seed: int, estimates: Sequence[float], error_std: float) -> Floats:
        heard = Heard(
            round_index=round_index,
            estimates=np.array(estimates, dtype=np.float64),
            error_variance=error_std**2,  # of the recorded number, so that a resumed run has the same
        )
        self._seeds.append(seed)
        found, self._state = self._optimiser.step(self._experiment, self._state, heard)
        return np.asarray(found, dtype=np.float64)


def coefficients_of(estimates: Sequence[float] | Floats, learning_rate: float) -> tuple[float, ...]:
    """What each direction is multiplied with in plain descent: η·p̂_q/Q, rounded once to float32."""
    return _single(scaled(estimates, learning_rate))


def _single(coefficients: Floats) -> tuple[float, ...]:
    with np.errstate(over="ignore"):
        return tuple(float(c) for c in coefficients.astype(np.float32).ravel())
