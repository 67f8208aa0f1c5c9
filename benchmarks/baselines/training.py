"""The loop of methods that the toolkit does not run itself: rounds, judged as often as a run over the air is."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

from benchmarks.baselines.records import Point
from learner.zo.evaluation import Evaluation
from testbed.config.schema import RunConfig

Judge = Callable[[], tuple[Evaluation, Evaluation | None]]
"""The present weights on the test split and on the validation split."""


def trained(rounds: Iterator[object], num_rounds: int, config: RunConfig, judge: Judge) -> tuple[list[Point], float]:
    """Play all rounds; how good the model was on the way, and seconds, evaluations included."""
    started = time.perf_counter()
    every = max(1, round(num_rounds * config.experiment.rounds.eval_every / config.experiment.rounds.num))
    points = [_point(0, judge)]
    for number in range(1, num_rounds + 1):
        next(rounds)
        if number % every == 0 or number == num_rounds:
            points.append(_point(number, judge))
    return points, time.perf_counter() - started


def _point(number: int, judge: Judge) -> Point:
    test, validation = judge()
    assert validation is not None, "all tasks here hold a validation split out"
    return Point(
        round=number,
        loss=test.loss,
        metric=test.metric,
        validation_loss=validation.loss,
        validation_metric=validation.metric,
    )
