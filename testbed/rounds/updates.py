"""From estimates to what each direction is multiplied with; post-processing, which costs no privacy."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from testbed.config.schema import Experiment
from testbed.results.records import RoundRecord

Floats = NDArray[np.float64]

_MEMORY = 0.05
"""Weight of the latest round in the running mean square of the signal."""


@dataclass(slots=True)
class Updater:
    """Turns each estimate into coefficients; remembers how large the signal has been."""

    experiment: Experiment
    _mean_square: float | None = field(default=None)

    @classmethod
    def after(cls, experiment: Experiment, past: Iterable[RoundRecord]) -> Updater:
        """As it was after the rounds of ``past``."""
        updater = cls(experiment)
        for record in past:
            if record.estimate and record.predicted_error_std is not None:
                updater._remember(np.array(record.estimate), record.predicted_error_std**2)
        return updater

    def coefficients(self, estimate: Sequence[float], error_variance: Floats) -> tuple[float, ...]:
        """η·p̂_q/Q, shrunk as the experiment asks, in float64 and rounded once to float32."""
        values, variance = np.asarray(estimate, dtype=np.float64), float(error_variance[0])
        self._remember(values, variance)
        step = self.experiment.learner.learning_rate
        update = self.experiment.update
        if update.noise_aware_step and self._mean_square is not None and variance > 0:
            step *= self._mean_square / (self._mean_square + variance)
        if update.shrinkage:
            values = values * shrinkage(values, variance)
        return coefficients_of(values, step)

    def _remember(self, values: NDArray[np.float64], variance: float) -> None:
        square = float(np.mean(values**2)) - variance
        before = square if self._mean_square is None else self._mean_square
        self._mean_square = max(0.0, before + _MEMORY * (square - before))


def coefficients_of(estimate: Sequence[float] | Floats, learning_rate: float) -> tuple[float, ...]:
    """What each direction is multiplied with: η·p̂_q/Q in float64, rounded once to float32."""
    scaled = learning_rate * np.asarray(estimate, dtype=np.float64) / len(estimate)
    return tuple(float(c) for c in scaled.astype(np.float32))


def shrinkage(values: NDArray[np.float64], variance: float) -> NDArray[np.float64]:
    """max(0, 1 − v/p̂²) per value: the Wiener factor at each value's own estimated SNR p̂²/v − 1."""
    square = values**2
    loud = square > variance
    return np.where(loud, 1 - variance / np.where(loud, square, 1.0), 0.0)
