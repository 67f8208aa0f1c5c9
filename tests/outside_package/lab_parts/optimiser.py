"""An optimiser: steps of one size, however large the scalars have become."""

from __future__ import annotations

from typing import TypeAlias

import numpy as np

import testbed
from testbed.config.schema import Experiment
from testbed.optimisers.base import Floats, Heard, Optimiser

MEMORY = 0.1
State: TypeAlias = tuple[float, float]
"""Σ of weights and weighted Σ of p̂² over past rounds, both forgetting."""


@testbed.register
class Normalised(Optimiser[State]):
    """η·p̂_q/(Q·rms), rms over this and past rounds."""

    name = "normalised"

    def initial(self, experiment: Experiment) -> State:
        """Nothing was heard."""
        return 0.0, 0.0

    def step(self, experiment: Experiment, state: State, heard: Heard) -> tuple[Floats, State]:
        """The coefficients of this round, and what is remembered from now on."""
        weight = (1 - MEMORY) * state[0] + MEMORY
        square = (1 - MEMORY) * state[1] + MEMORY * float(np.mean(heard.estimates**2))
        rms = (square / weight) ** 0.5 or 1.0
        step = experiment.learner.learning_rate / len(heard.estimates)
        return step * heard.estimates / rms, (weight, square)
