"""What devices compute by themselves: model, data, and the scalars of a round, before any radio."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from learner.tasks.task import Task
from learner.zo.replica import Replica, Scalars
from testbed import plugins
from testbed.config.schema import Experiment, RunConfig
from testbed.control import messages as m
from testbed.rounds.randomness import DeviceRandomness


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


def device_scalars(
    loaded: Loaded,
    experiment: Experiment,
    devices: Sequence[int],
    sources: Mapping[int, DeviceRandomness],
    start: m.SoundStart,
) -> Scalars:
    """Scalars of these devices in one round: on known or on secret Poisson batches, with bounded examples or not."""
    learner, privacy = experiment.learner, experiment.privacy
    batches = []
    for device in devices:
        if privacy.batch_rate is None:
            batches.append(loaded.task.batch(device, start.round, learner.batch_size))
        else:
            drawn = sources[device].uniform(start.round, "batch", len(loaded.task.shard(device))) < privacy.batch_rate
            batches.append(loaded.task.poisson_batch(device, drawn))
    bounded = privacy.level == "example"
    return loaded.replica.scalars(
        batches,
        seed=start.seed,
        num_queries=learner.num_queries,
        perturbation_scale=learner.perturbation_scale,
        example_clip=privacy.example_clip if bounded else None,
        normaliser=learner.batch_size if bounded else None,
    )
