"""What an access point remembers from round to round: noise, strength of links, size of values, carrier offsets."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from radio.arrays import Reals

NOISE_MEMORY_CAPTURES = 1000
VALUE_PRIOR_ROUNDS = 10.0
VALUE_FLOOR = 1e-3  # of the clip


@dataclass(slots=True)
class NoiseMeter:
    """The mean of a power over the captures heard so far; of the latest 1000 or so, after as many."""

    power: float = math.nan
    num_captures: int = 0

    def update(self, measured_power: float) -> None:
        """Take in one capture's measurement; one that is not finite is left out."""
        if not math.isfinite(measured_power):
            return
        before = self.power if self.num_captures else measured_power
        self.num_captures = min(self.num_captures + 1, NOISE_MEMORY_CAPTURES)
        self.power = before + (measured_power - before) / self.num_captures


@dataclass(slots=True)
class ValueMeter:
    """E p_k², learned from the estimates of the mean: K·E p̂² if devices' values are independent and centred.

    Values that agree make it too large by up to K, so that predicted errors err on the safe side. It starts at
    (clip/3)², worth ten rounds; noisy rounds count less; it forgets as `NoiseMeter` does.
    """

    clip: float = math.nan
    weight: float = 0.0
    mean_square: float = math.nan

    def prior(self, clip: float) -> float:
        """What is known before a round with values within ±clip."""
        if clip != self.clip:
            self.clip, self.weight, self.mean_square = clip, VALUE_PRIOR_ROUNDS, (clip / 3) ** 2
        return min(max(self.mean_square, (VALUE_FLOOR * clip) ** 2), clip**2)

    def update(self, means: Reals, variances: Reals, num_active: int) -> None:
        """Take in one round's estimates [Q]."""
        observed = float(np.mean(num_active * (means**2 - variances)))
        weight = (self.mean_square / (self.mean_square + num_active * float(np.mean(variances)))) ** 2
        if not (math.isfinite(observed) and weight > 0):
            return
        self.weight = min(self.weight + weight, NOISE_MEMORY_CAPTURES)
        self.mean_square += (observed - self.mean_square) * weight / self.weight
        self.mean_square = max(self.mean_square, (VALUE_FLOOR * self.clip) ** 2)
