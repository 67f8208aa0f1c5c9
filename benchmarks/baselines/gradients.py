"""First-order methods: FedSGD and FedAvg over a link without errors, and FedSGD whose gradients the air adds up."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks.baselines.analog_gradients import AnalogGradients
from benchmarks.baselines.costs import WEIGHT_BYTES, counted_airtime_s
from benchmarks.baselines.records import Job, Outcome
from benchmarks.baselines.settings import FIRST_ORDER_SHARE, LOCAL_STEPS
from benchmarks.baselines.training import trained
from benchmarks.measure import live_bytes, peak_bytes
from learner.baselines import batch_loss, fedavg, fedsgd
from learner.models.load import load_model
from learner.tasks.task import Task
from learner.zo.evaluation import Evaluation, evaluate
from learner.zo.replica import Replica
from testbed.config.schema import RunConfig


@dataclass(frozen=True, slots=True, eq=False)
class Trained:
    """A model that has gradients, its task, and a copy that is judged."""

    model: Any
    task: Task
    judge: Replica
    elsewhere_bytes: int
    """Of tensors that are not the method's."""

    @classmethod
    def of(cls, config: RunConfig) -> Trained:
        """As the configuration has them."""
        experiment, elsewhere = config.experiment, live_bytes()
        model, tokenizer = load_model(experiment.model)
        task = Task(experiment.task, tokenizer, num_devices=config.rig.num_devices, seed=experiment.seed)
        before = live_bytes()
        judge = Replica(copy.deepcopy(model), tokenizer)
        return cls(model, task, judge, elsewhere + live_bytes() - before)

    def judged(self) -> tuple[Evaluation, Evaluation | None]:
        """The present weights on both splits."""
        with torch.no_grad():
            for mine, theirs in zip(self.judge.model.parameters(), self.model.parameters(), strict=True):
                mine.copy_(theirs)
        held_out = self.task.validation
        return evaluate(self.judge, self.task), None if held_out is None else evaluate(self.judge, held_out)

    @property
    def num_weights(self) -> int:
        """d"""
        return sum(parameter.numel() for parameter in self.model.parameters())


def play_fedsgd(job: Job, config: RunConfig, where: Path) -> Outcome:
    """Every device sends its gradient, 32 bits a weight."""
    return _played(
        job, config, FIRST_ORDER_SHARE, 1, lambda found, settings: fedsgd(found.model, found.task, **settings)
    )


def play_fedavg(job: Job, config: RunConfig, where: Path) -> Outcome:
    """Every device makes steps of AdamW and sends its weights, 32 bits each."""
    make = partial(_fedavg, local_steps=LOCAL_STEPS)
    return _played(job, config, FIRST_ORDER_SHARE * LOCAL_STEPS, LOCAL_STEPS, make)


def _fedavg(found: Trained, settings: dict[str, Any], local_steps: int) -> Iterator[object]:
    return fedavg(found.model, found.task, local_steps=local_steps, **settings)


def _played(
    job: Job,
    config: RunConfig,
    share: int,
    local_steps: int,
    make: Callable[[Trained, dict[str, Any]], Iterator[object]],
) -> Outcome:
    num_rounds, learner, found = max(1, job.num_rounds // share), config.experiment.learner, Trained.of(config)
    settings = {
        "num_rounds": num_rounds + 2,
        "batch_size": learner.batch_size,
        "learning_rate": learner.learning_rate,
    }
    rounds = make(found, settings)
    points, wall_s = trained(rounds, num_rounds, config, found.judged)
    examples = learner.batch_size * config.rig.num_devices * local_steps * num_rounds
    num_bytes = WEIGHT_BYTES * found.num_weights
    airtime_s = counted_airtime_s(config.rig, 8 * num_bytes) * num_rounds
    return Outcome(
        learning_rate=learner.learning_rate,
        points=tuple(points),
        metric_name=found.task.template.metric,
        rounds=num_rounds,
        forwards=examples,
        backwards=examples,
        bytes_up=num_bytes * num_rounds,
        bytes_down=num_bytes * num_rounds,
        airtime_up_s=config.rig.num_devices * airtime_s,
        airtime_down_s=airtime_s,
        wall_s=wall_s,
        peak_mib=peak_bytes(lambda: next(rounds), elsewhere_bytes=found.elsewhere_bytes) / 2**20,
    )


def play_over_the_air(job: Job, config: RunConfig, where: Path) -> Outcome:
    """Devices send their gradients as analog symbols, all at once, a symbol a weight (arXiv 2006.05459's uplink)."""
    num_rounds, learner, found = (
        max(1, job.num_rounds // FIRST_ORDER_SHARE),
        config.experiment.learner,
        Trained.of(config),
    )
    air = AnalogGradients(config, found.num_weights)

    def play() -> Iterator[None]:
        parameters = list(found.model.parameters())
        for parameter in parameters:
            parameter.requires_grad_(True)
        for t in range(num_rounds + 2):
            gradients = np.stack([_gradient(found, k, t, learner.batch_size) for k in range(config.rig.num_devices)])
            mean = torch.from_numpy(air.mean(gradients, t).astype(np.float32))
            with torch.no_grad():
                for parameter, part in zip(parameters, mean.split([p.numel() for p in parameters]), strict=True):
                    parameter.sub_(learner.learning_rate * part.view_as(parameter))
            yield

    rounds = play()
    points, wall_s = trained(rounds, num_rounds, config, found.judged)
    examples = learner.batch_size * config.rig.num_devices * num_rounds
    bytes_down = WEIGHT_BYTES * found.num_weights
    return Outcome(
        learning_rate=learner.learning_rate,
        points=tuple(points),
        metric_name=found.task.template.metric,
        rounds=num_rounds,
        rounds_lost=air.num_lost / air.num_blocks,
        forwards=examples,
        backwards=examples,
        bytes_up=None,
        values_up=found.num_weights * num_rounds,
        bytes_down=bytes_down * num_rounds,
        airtime_up_s=air.airtime_s(num_rounds),
        airtime_down_s=counted_airtime_s(config.rig, 8 * bytes_down) * num_rounds,
        wall_s=wall_s,
        peak_mib=peak_bytes(lambda: next(rounds), elsewhere_bytes=found.elsewhere_bytes) / 2**20,
    )


def _gradient(found: Trained, device: int, round_index: int, batch_size: int) -> NDArray[np.float64]:
    """∇F_k at the present weights, flat [d]."""
    batch_loss(found.model, found.task.batch(device, round_index, batch_size)).backward()  # type: ignore[no-untyped-call]
    flat = []
    for parameter in found.model.parameters():
        flat.append(np.zeros(parameter.numel()) if parameter.grad is None else parameter.grad.double().numpy().ravel())
        parameter.grad = None
    return np.concatenate(flat)
