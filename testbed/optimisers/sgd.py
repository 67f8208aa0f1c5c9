"""Stochastic gradient descent: its rate over the rounds, the size of its steps, and momentum over past directions."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from testbed.config.schema import Experiment, UpdateConfig
from testbed.optimisers.base import Floats, Heard, Optimiser

_MEMORY = 0.05
"""Weight of the latest round in the running mean square of the signal."""
_FORGOTTEN = 0.05
"""Momentum leaves out directions whose share has fallen below this."""


@dataclass(frozen=True, slots=True)
class Memory:
    """What is remembered of past rounds."""

    signal: float | None = None
    """Running mean square of estimates beyond their noise; None before the first round."""
    past: tuple[Floats, ...] = ()
    """Steps [Q] of the last rounds before the learning rate, latest first, as many as momentum reaches back."""


class Sgd(Optimiser[Memory]):
    """η_t·v_q/Q with v the estimates, as the experiment wants them shrunk, normalised, clipped and remembered."""

    name = "sgd"

    def initial(self, experiment: Experiment) -> Memory:
        """Nothing was heard."""
        return Memory()

    def step(self, experiment: Experiment, state: Memory, heard: Heard) -> tuple[Floats, Memory]:
        """Coefficients [Q], or with momentum [1 + n, Q] for this and n past rounds, and what is remembered."""
        update, variance = experiment.update, heard.error_variance
        square = float(np.mean(heard.estimates**2)) - variance
        before = square if state.signal is None else state.signal
        signal = max(0.0, before + _MEMORY * (square - before))
        rate = learning_rate(experiment, heard.round_index)
        if update.noise_aware_step and variance > 0:
            rate *= signal / (signal + variance)
        values = heard.estimates * shrinkage(heard.estimates, variance) if update.shrinkage else heard.estimates
        values = clipped(normalised(values, update, signal + variance), update.max_step)
        reach = num_remembered(update.momentum)
        shares = [values, *(update.momentum * earlier for earlier in state.past[:reach])]
        coefficients = scaled(np.array(shares) if reach else values, rate)
        return coefficients, Memory(signal, tuple(shares[:reach]))


def scaled(estimates: Sequence[float] | Floats, learning_rate: float) -> Floats:
    """η·p̂_q/Q in float64, Q the length of the last axis."""
    values = np.asarray(estimates, dtype=np.float64)
    return np.asarray(learning_rate * values / values.shape[-1])


def learning_rate(experiment: Experiment, round_index: int) -> float:
    """η_t: up in a line over the warm-up rounds, then constant, or down to 0 behind the last round."""
    update, num_rounds, peak = experiment.update, experiment.rounds.num, experiment.learner.learning_rate
    if round_index < update.warmup_rounds:
        return peak * (round_index + 1) / (update.warmup_rounds + 1)
    done = (round_index - update.warmup_rounds) / max(1, num_rounds - update.warmup_rounds)  # 0 … < 1
    if update.decay == "linear":
        return peak * (1 - done)
    if update.decay == "cosine":
        return peak * (1 + math.cos(math.pi * done)) / 2
    return peak


def normalised(values: Floats, update: UpdateConfig, mean_square: float) -> Floats:
    """Values in units of their own size: its running rms, or the standard deviation of this round's queries.

    Two-sided or one-sided, the latter is the step of FZOO (arXiv 2506.09034 eq 5): σ of losses is μ times that of
    scalars. Where the unit is 0 there is nothing to step along.
    """
    if update.normalise == "none":
        return values
    unit = math.sqrt(mean_square) if update.normalise == "rms" else float(np.std(values, ddof=min(1, len(values) - 1)))
    return values / unit if unit > 0 else np.zeros_like(values)


def clipped(values: Floats, most: float | None) -> Floats:
    """Each value held to ±most."""
    return values if most is None else np.clip(values, -most, most)


def num_remembered(momentum: float) -> int:
    """How many past rounds still have a share βⁿ of at least 5 %."""
    return 0 if momentum == 0 else math.floor(math.log(_FORGOTTEN) / math.log(momentum))


def shrinkage(values: Floats, variance: float) -> Floats:
    """max(0, 1 − v/p̂²) per value: the Wiener factor at each value's own estimated SNR p̂²/v − 1."""
    square = values**2
    loud = square > variance
    return np.where(loud, 1 - variance / np.where(loud, square, 1.0), 0.0)
