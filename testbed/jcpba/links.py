"""From a configuration to each round's problem: the rig's own air and band, the devices' speeds, the model's size."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from learner.pruning.parts import Parts
from learner.tasks.task import Task
from radio.air.medium import Medium
from radio.arrays import Reals
from testbed.config.schema import RunConfig
from testbed.control.air_wire import air_setup, make_air
from testbed.errors import ConfigError
from testbed.jcpba.problem import Problem

_FORWARD, _TO_INPUTS, _TO_WEIGHTS = 2, 2, 2  # operations a weight and token
_MOPS = 1e6


@dataclass(frozen=True, slots=True, kw_only=True)
class Workload:
    """What one device has to do in one round, unpruned."""

    spared_ops: float
    """Arithmetic that pruning spares its share of."""
    fixed_ops: float
    """Arithmetic that it does not: the output layer, and adapters where their rows stay."""
    spared_bits: float
    fixed_bits: float
    zeroth_order_ops: float
    """Of pAirZero on the same model and batch size: its forwards through all of it, no pruning."""


def workload(parts: Parts, task: Task, config: RunConfig) -> Workload:
    """By weights and tokens: 2 operations forward, 2 for gradients of inputs, 2 for those of trained weights.

    Attention's products of activations, norms, embeddings and steps of optimisers are left out. Of the output layer
    the verbalizer's rows at one place are counted for classes, else all of it at every token.
    """
    experiment = config.experiment
    learner, size = experiment.learner, parts.size()
    tokens = task.mean_train_tokens
    examples = learner.batch_size * experiment.jcpba.local_steps
    head = size.head * tokens
    if task.template.kind == "classification":
        width = size.head / parts.vocabulary_size
        head = len(task.template.verbalizer) * width
    trained = size.sent + size.sent_always
    gradients = _FORWARD + _TO_INPUTS + _TO_WEIGHTS
    spared, fixed = gradients * size.spared, 0
    if parts.has_adapters:
        spared = (_FORWARD + _TO_INPUTS) * size.spared + gradients * size.sent
        fixed = gradients * size.sent_always
    forwards = learner.num_queries * 2 if learner.estimator == "two_sided" else learner.num_queries + 1
    whole = (size.spared + (trained if parts.has_adapters else 0)) * tokens + head
    if not experiment.jcpba.spares_arithmetic:
        spared, fixed = 0, fixed + spared
    return Workload(
        spared_ops=examples * tokens * spared,
        fixed_ops=examples * (tokens * fixed + (_FORWARD + _TO_INPUTS) * head),
        spared_bits=float(size.sent * parts.bits_per_weight),
        fixed_bits=float(size.sent_always * parts.bits_per_weight),
        zeroth_order_ops=forwards * learner.batch_size * _FORWARD * whole,
    )


def speeds_ops(config: RunConfig) -> Reals:
    """Operations a second of every device, [K]; a shorter list is gone through again."""
    return _MOPS * np.resize(np.array(config.experiment.jcpba.speeds_mops), config.rig.num_devices)


class Links:
    """The channels of every round, from the air that the rig's radios would use, at the same seed."""

    def __init__(self, config: RunConfig, load: Workload) -> None:
        """Raises ConfigError for a rig whose noise or channels nobody can know in advance."""
        rig = config.rig
        if not np.isfinite(rig.air.snr_db):
            raise ConfigError(
                f"air.snr_db: got {rig.air.snr_db:g} with method 'jcpba', whose rates would be endless; allowed: a "
                "number; set --set air.snr_db=20"
            )
        if rig.air.doppler_hz > 0:
            raise ConfigError(
                f"air.doppler_hz: got {rig.air.doppler_hz:g} with method 'jcpba', which reckons with one channel a "
                "round; allowed: 0; use air.block_correlation for rounds that are alike"
            )
        self._config, self._load = config, load
        self._air: Medium = make_air(air_setup(config, "jcpba"))

    def snr(self, round_index: int) -> Reals:
        """P |h_k|² / (N0 B), [K], in a band as wide as the sample rate."""
        self._air.begin_block(round_index, 1)
        truth = self._air.truth()
        powers = np.abs(truth.gains) ** 2
        snr: Reals = self._config.rig.radio.max_power * powers / truth.noise_power
        return snr

    def problem(self, round_index: int) -> Problem:
        """What is to be allocated in a round."""
        settings, speeds = self._config.experiment.jcpba, speeds_ops(self._config)
        return Problem(
            compute_s=self._load.spared_ops / speeds,
            fixed_compute_s=self._load.fixed_ops / speeds,
            payload_bits=self._load.spared_bits,
            fixed_bits=self._load.fixed_bits,
            bandwidth_hz=self._config.rig.radio.sample_rate_hz,
            snr=self.snr(round_index),
            max_pruning=settings.max_pruning,
            pruning_limit=self._config.rig.num_devices * settings.pruning_rms**2,
        )
