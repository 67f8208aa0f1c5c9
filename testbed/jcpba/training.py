"""One method from the untouched model to its last round: what is allocated is modelled, what is learnt is real."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from learner.models.load import load_model
from learner.pruning.federated import pruned_round
from learner.pruning.parts import Parts
from learner.tasks.task import Task
from learner.zo.evaluation import evaluate
from learner.zo.replica import Replica
from testbed import plugins
from testbed.config.schema import RunConfig
from testbed.config.words import Allocating
from testbed.errors import ConfigError
from testbed.jcpba.directory import ComparisonDirectory
from testbed.jcpba.links import Links, workload
from testbed.jcpba.methods import WORDS, allocation, as_realised
from testbed.jcpba.problem import Allocation, Problem
from testbed.jcpba.records import MethodResult, MethodRound, Point, mean_of_last


@dataclass(slots=True, kw_only=True)
class Bench:
    """What all methods share: data, the model that is trained, one that judges, links."""

    config: RunConfig
    task: Task
    model: Any
    parts: Parts
    judge: Replica
    links: Links
    untouched: list[torch.Tensor]
    """Of the trained parameters"""

    @classmethod
    def of(cls, config: RunConfig) -> Bench:
        """Load model and data. Raises LearnerError, or ConfigError for what cannot be trained by gradients here."""
        experiment = config.experiment
        if experiment.model.dtype != "float32" or experiment.model.compute_dtype not in (None, "float32"):
            raise ConfigError(
                "model.dtype: got 16 bits with method 'jcpba'; allowed: float32, in which gradients are applied"
            )
        if experiment.model.device != "cpu":
            raise ConfigError(
                f"model.device: got {experiment.model.device!r} with method 'jcpba'; allowed: 'cpu', where its "
                "gradients are computed; leave it out"
            )
        plugins.look_for("task", experiment.task.template)
        judge = Replica.load(experiment.model, num_threads=experiment.learner.num_threads)
        model, tokenizer = load_model(experiment.model)
        task = Task(
            experiment.task,
            tokenizer,
            num_devices=config.rig.num_devices,
            seed=experiment.seed,
            max_model_tokens=judge.max_tokens,
        )
        parts = Parts(model, experiment.jcpba.mask)
        load = workload(parts, task, config)
        return cls(
            config=config, task=task, model=model, parts=parts, judge=judge, links=Links(config, load),
            untouched=[parameter.detach().clone() for parameter in parts.trained],
        )  # fmt: skip

    def reset(self) -> None:
        """Back to the untouched model."""
        with torch.no_grad():
            for parameter, values in zip(self.parts.trained, self.untouched, strict=True):
                parameter.copy_(values)

    def evaluation(self, rate: float = 0.0) -> tuple[float, float]:
        """Loss and metric on the test split, pruned at a rate. Raises LearnerError if it is not finite."""
        with self.parts.pruned(rate), torch.no_grad():
            for mine, theirs in zip(self.judge.model.parameters(), self.model.parameters(), strict=True):
                mine.copy_(theirs)
        found = evaluate(self.judge, self.task)
        return found.loss, found.metric


def allocated(bench: Bench, method: Allocating, round_index: int) -> tuple[Problem, Allocation, Allocation]:
    """The round's problem, what the method wants, and what masks make of it."""
    problem = bench.links.problem(round_index)
    wanted = allocation(method, problem)
    return problem, wanted, as_realised(method, problem, wanted, bench.parts.realised)


def train(
    bench: Bench,
    method: Allocating,
    directory: ComparisonDirectory,
    initial: Point,
    *,
    begins: Callable[[str, int], object],
    round_done: Callable[[MethodRound], object],
    should_stop: Callable[[], bool],
) -> MethodResult:
    """Play all rounds that a method has not played yet; a stopped one is continued from where it stood.

    What is evaluated is the model of the client that pruned least: masks are nested, so it holds all that anybody
    has trained, and nothing that nobody has.

    A checkpoint is kept at each evaluation and when it is stopped; rounds behind it are played again, to the same bits.
    """
    settings, learner = bench.config.experiment.jcpba, bench.config.experiment.learner
    bench.reset()
    rounds = directory.begin(method, bench.parts)
    kept = len(rounds)
    begins(WORDS[method], kept)
    for round_index in range(len(rounds), settings.num_rounds):
        if should_stop():
            break
        problem, wanted, real = allocated(bench, method, round_index)
        played = pruned_round(
            bench.model, bench.parts, bench.task, round_index=round_index, rates=wanted.pruning.tolist(),
            batch_size=learner.batch_size, learning_rate=settings.learning_rate, local_steps=settings.local_steps,
            optimizer=settings.optimizer,
        )  # fmt: skip
        deadline_s = real.deadline_s(problem)
        is_due = (round_index + 1) % settings.eval_every == 0 or round_index + 1 == settings.num_rounds
        loss, metric = bench.evaluation(float(wanted.pruning.min())) if is_due else (None, None)
        record = MethodRound(
            round=round_index, deadline_s=deadline_s, wanted_deadline_s=wanted.deadline_s(problem),
            wall_clock_s=deadline_s + (rounds[-1].wall_clock_s if rounds else 0.0),
            pruning=tuple(real.pruning.tolist()), shares=tuple(real.shares.tolist()),
            weights_sent=played.weights_sent, loss=played.loss, eval_loss=loss, metric=metric,
        )  # fmt: skip
        directory.append(method, record)
        rounds.append(record)
        if is_due:
            directory.keep(method, bench.parts, len(rounds))
            kept = len(rounds)
        round_done(record)
    if len(rounds) > kept:
        directory.keep(method, bench.parts, len(rounds))
    return result_of(method, rounds, initial, bench.parts.bits_per_weight)


def result_of(method: Allocating, rounds: list[MethodRound], initial: Point, bits_per_weight: int) -> MethodResult:
    """A method's curve and its last evaluations."""
    curve = (initial, *(
        Point(round=r.round + 1, wall_clock_s=r.wall_clock_s, loss=r.eval_loss, metric=r.metric)
        for r in rounds if r.eval_loss is not None and r.metric is not None
    ))  # fmt: skip
    loss, metric = mean_of_last(curve)
    return MethodResult(
        name=method, words=WORDS[method], num_rounds=len(rounds),
        wall_clock_s=rounds[-1].wall_clock_s if rounds else 0.0,
        loss=loss, metric=metric, curve=curve,
        mean_pruning=float(np.mean([r.pruning for r in rounds])) if rounds else None,
        uplink_bits_per_device=float(sum(np.mean(r.weights_sent) for r in rounds)) * bits_per_weight,
    )  # fmt: skip
