"""Plain stochastic gradient descent, with the shrinkage and the noise-aware step that an experiment may ask for."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from testbed.config.schema import Experiment
from testbed.optimisers.base import Floats, Heard, Optimiser

_MEMORY = 0.05
"""Weight of the latest round in the running mean square of the signal."""


class Sgd(Optimiser[float | None]):
    """η·p̂_q/Q; remembers how large the signal has been."""

    name = "sgd"

    def initial(self, experiment: Experiment) -> float | None:
        """Nothing was heard."""
        return None

    def step(self, experiment: Experiment, state: float | None, heard: Heard) -> tuple[Floats, float | None]:
        """Coefficients, shrunk as the experiment asks, and the mean square of the signal."""
        values, variance = heard.estimates, heard.error_variance
        square = float(np.mean(values**2)) - variance
        before = square if state is None else state
        mean_square = max(0.0, before + _MEMORY * (square - before))
        step, update = experiment.learner.learning_rate, experiment.update
        if update.noise_aware_step and variance > 0:
            step *= mean_square / (mean_square + variance)
        if update.shrinkage:
            values = values * shrinkage(values, variance)
        return scaled(values, step), mean_square


def scaled(estimates: Sequence[float] | Floats, learning_rate: float) -> Floats:
    """η·p̂_q/Q in float64."""
    return np.asarray(learning_rate * np.asarray(estimates, dtype=np.float64) / len(estimates))


def shrinkage(values: Floats, variance: float) -> Floats:
    """max(0, 1 − v/p̂²) per value: the Wiener factor at each value's own estimated SNR p̂²/v − 1."""
    square = values**2
    loud = square > variance
    return np.where(loud, 1 - variance / np.where(loud, square, 1.0), 0.0)
