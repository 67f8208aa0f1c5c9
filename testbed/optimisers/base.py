"""What every optimiser is: a pure map from what is remembered and one round's estimate to coefficients."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from testbed.config.schema import Experiment

Floats = NDArray[np.float64]
State = TypeVar("State")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Heard:
    """What a used round gave, as it is written down; nothing else may decide coefficients, so that resuming works."""

    round_index: int
    estimates: Floats
    """[Q], p̂ of each direction"""
    error_variance: float
    """Of p̂, of the first direction"""


class Optimiser(ABC, Generic[State]):
    """Turns estimates into coefficients. What it remembers goes in and comes out: the object itself keeps nothing.

    Post-processing, which costs no privacy. `name`, `initial` and `step` must be given.
    """

    name: str
    """Its name in experiments."""

    @abstractmethod
    def initial(self, experiment: Experiment) -> State:
        """What is remembered before the first round."""

    @abstractmethod
    def step(self, experiment: Experiment, state: State, heard: Heard) -> tuple[Floats, State]:
        """The coefficients [Q] of this round, w ← w − Σ_q c_q·z_q, and what is remembered from now on.

        Or [1 + n, Q]: row j is for the directions of the j-th used round before this one, 0 this one. A row costs
        every host 0.006 of a forward.
        """
