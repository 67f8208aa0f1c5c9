"""What an access point remembers from round to round: noise, strength of links, size of values, carrier offsets."""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass, field

import numpy as np

from radio.arrays import Reals
from radio.link.bounds import largest_variance, least_variance
from radio.link.memory import InBand, Mean, Values, known, number_of, unpacked
from radio.waveform.modulation import InBandNoise

NOISE_MEMORY_CAPTURES = 1000
RECENT_CAPTURES = 128  # with 12 dimensions each: the bound is within 13 % of the mean
VALUE_PRIOR_ROUNDS = 10.0
VALUE_FLOOR = 1e-3  # of the clip
_SPAN = np.dtype([("energy", "<f8"), ("num_dimensions", "<u4")])


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

    def memory(self) -> Mean:
        """As it is."""
        return Mean(power=known(self.power), num_captures=self.num_captures)

    def recall(self, memory: Mean) -> None:
        """Be as it was."""
        self.power, self.num_captures = number_of(memory.power), memory.num_captures


@dataclass(slots=True)
class InBandMeter:
    """N0 on the payload's own bins, between bounds that hold for noise that comes and goes too.

    Of the means over the run and over the latest captures, the smaller is taken for what the noise is at least, the
    larger for what it is at most: an interferer that comes is not in the one, one that has gone is not in the other.
    Both count only as many dimensions as the latest captures have, so either mean alone keeps the probability.
    """

    _recent: deque[InBandNoise] = field(default_factory=lambda: deque(maxlen=RECENT_CAPTURES))
    _energy: float = 0.0
    _num_dimensions: int = 0

    def update(self, heard: InBandNoise | None) -> None:
        """Take in one silent span; one that is not finite is left out."""
        if heard is None or not math.isfinite(heard.energy):
            return
        self._recent.append(heard)
        self._energy += heard.energy
        self._num_dimensions += heard.num_dimensions

    def least(self, failure: float) -> float:
        """What N0 is at least, but for a probability; 0 before any was heard."""
        num, means = self._means()
        return least_variance(min(means), num, failure) if num else 0.0

    def largest(self, failure: float) -> float:
        """What it is at most; infinite before any was heard."""
        num, means = self._means()
        return largest_variance(max(means), num, failure) if num else math.inf

    def memory(self) -> InBand:
        """As it is."""
        recent = np.array([(each.energy, each.num_dimensions) for each in self._recent], dtype=_SPAN)
        return InBand(energy=float(self._energy), num_dimensions=self._num_dimensions, recent=recent.tobytes())

    def recall(self, memory: InBand) -> None:
        """Be as it was. Raises SignalError."""
        recent = np.frombuffer(unpacked(memory.recent, _SPAN.itemsize, "in-band noise"), dtype=_SPAN)
        self._recent.clear()
        self._recent.extend(InBandNoise(float(energy), int(num)) for energy, num in recent)
        self._energy, self._num_dimensions = memory.energy, memory.num_dimensions

    def _means(self) -> tuple[int, tuple[float, ...]]:
        num = sum(each.num_dimensions for each in self._recent)
        if num == 0:
            return 0, ()
        return num, (self._energy / self._num_dimensions, sum(each.energy for each in self._recent) / num)


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

    def memory(self) -> Values:
        """As it is."""
        return Values(clip=known(self.clip), weight=float(self.weight), mean_square=known(self.mean_square))

    def recall(self, memory: Values) -> None:
        """Be as it was."""
        self.clip, self.mean_square = number_of(memory.clip), number_of(memory.mean_square)
        self.weight = memory.weight
