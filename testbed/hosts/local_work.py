"""What devices compute by themselves: model, data, and the values of a round, before any radio."""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from learner.tasks.task import Task
from learner.zo.evaluation import Evaluation, evaluate
from learner.zo.replica import Replica, Scalars
from radio.records import Plan
from radio.schemes.base import Scheme
from testbed import plugins
from testbed.config.schema import Experiment, RunConfig
from testbed.errors import TestbedError
from testbed.hosts.randomness import DeviceRandomness, artificial_noise
from testbed.schedule.registry import schedule

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Loaded:
    """What a host computes with."""

    replica: Replica
    task: Task


def load_model_and_task(config: RunConfig) -> Loaded:
    """Load the experiment's model and data. Raises LearnerError."""
    experiment = config.experiment
    learner = experiment.learner
    plugins.look_for("task", experiment.task.template)
    replica = Replica.load(
        experiment.model,
        direction=learner.direction,
        num_threads=learner.num_threads,
        batch_devices=learner.batch_devices,
    )
    task = Task(
        experiment.task,
        replica.tokenizer,
        num_devices=config.rig.num_devices,
        seed=experiment.seed,
        max_model_tokens=replica.max_tokens,
    )
    return Loaded(replica, task)


def judged(loaded: Loaded) -> tuple[Evaluation, Evaluation | None]:
    """How good the present weights are on the test split, and on the validation split if there is one.

    Raises LearnerError.
    """
    held_out = loaded.task.validation
    return evaluate(loaded.replica, loaded.task), None if held_out is None else evaluate(loaded.replica, held_out)


@dataclass(frozen=True, slots=True)
class Contribution:
    """What one device brings into one round, and what is known of it."""

    clipped: Floats
    """p_k, clipped to ±γ, shape [Q]."""
    noise: Floats
    """n_k/σ, shape [Q]."""
    loss: float | None
    """Training loss; None of a device that drew no example."""

    def value(self, scheme: Scheme, plan: Plan) -> Floats:
        """What the radio sends: the scheme's view of p_k, with artificial noise, within the plan's public bound."""
        noisy = scheme.mapped(self.clipped) + plan.artificial_noise_std * self.noise
        return np.clip(noisy, -plan.value_bound, plan.value_bound)


class AnotherNoiseError(TestbedError):
    """A plan that would send a value under another noise than before."""


@dataclass(slots=True)
class LocalRound:
    """What this host's devices bring into one round: drawn once, and sent under one noise, however often.

    Two transmissions of p + σ·ξ under different σ are two equations for p and ξ: whoever hears both has the scalar. So
    the first plan of a round fixes σ here, whatever the access point asks for later.
    """

    contributions: Mapping[int, Contribution] = field(default_factory=dict)
    """device → what it brings; empty before that is computed"""
    draw: int = 0
    """Names these draws of batches and noise."""
    _noise_std: float | None = None

    @classmethod
    def drawn(cls, contributions: Mapping[int, Contribution]) -> LocalRound:
        """What has just been drawn, under a new name."""
        return cls(contributions, draw=secrets.randbits(63))

    def value(self, device: int, scheme: Scheme, plan: Plan) -> Floats:
        """What a device's radio sends under this plan, shape [Q]. Raises AnotherNoiseError."""
        if self._noise_std is None:
            self._noise_std = plan.artificial_noise_std
        if plan.artificial_noise_std != self._noise_std:
            raise AnotherNoiseError(
                f"device {device}: got a plan with artificial noise of standard deviation "
                f"{plan.artificial_noise_std:.6g} in round {plan.round_index + 1}, which began with "
                f"{self._noise_std:.6g}; allowed: one in all attempts of a round, since two would give the "
                "scalar away; nothing was sent"
            )
        return self.contributions[device].value(scheme, plan)


def prepare(
    loaded: Loaded,
    experiment: Experiment,
    devices: Sequence[int],
    sources: Mapping[int, DeviceRandomness],
    *,
    round_index: int,
    seed: int,
) -> dict[int, Contribution]:
    """Everything that these devices bring into one round."""
    learner = experiment.learner
    scalars = device_scalars(loaded, experiment, devices, sources, round_index=round_index, seed=seed)
    return {
        device: Contribution(
            clipped=np.clip(gradients, -learner.clip, learner.clip),
            noise=artificial_noise(sources[device], round_index, learner.num_queries),
            loss=float(loss) if np.isfinite(loss) else None,
        )
        for device, gradients, loss in zip(devices, scalars.projected_gradients, scalars.loss, strict=True)
    }


def device_scalars(
    loaded: Loaded,
    experiment: Experiment,
    devices: Sequence[int],
    sources: Mapping[int, DeviceRandomness],
    *,
    round_index: int,
    seed: int,
) -> Scalars:
    """Scalars of these devices in one round: on known or on secret Poisson batches, with bounded examples or not."""
    learner, privacy = experiment.learner, experiment.privacy
    batches = []
    for device in devices:
        if privacy.batch_rate is None:
            batches.append(loaded.task.batch(device, round_index, learner.batch_size))
        else:
            drawn = sources[device].uniform(round_index, "batch", len(loaded.task.shard(device))) < privacy.batch_rate
            batches.append(loaded.task.poisson_batch(device, drawn))
    bounded = privacy.level == "example"
    return loaded.replica.scalars(
        batches,
        seed=seed,
        num_queries=learner.num_queries,
        perturbation_scale=learner.perturbation_scale,
        estimator=learner.estimator,
        example_clip=privacy.example_clip if bounded else None,
        normaliser=learner.batch_size if bounded else None,
        stops_on_infinity=experiment.ground_truth or not schedule(experiment.schedule.name).keeps_budget,
    )
