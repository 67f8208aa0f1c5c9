"""Sums of clipped examples over secret batches of any size."""

import math

import numpy as np
import pytest

from learner.errors import LearnerError, TaskError

ROUND = {"seed": 7, "num_queries": 2, "perturbation_scale": 1e-2}


@pytest.fixture
def task(make_task):
    return make_task(num_devices=2)


def coins(task, device, *chosen):
    drawn = np.zeros(len(task.shard(device)), dtype=bool)
    drawn[list(chosen)] = True
    return drawn


def each_alone(replica, task, chosen):
    alone = [task.poisson_batch(0, coins(task, 0, index)) for index in chosen]
    return np.array([replica.scalars([batch], **ROUND).projected_gradients[0] for batch in alone])  # [examples, Q]


def test_a_bounded_sum_is_that_of_the_clipped_examples_over_the_fixed_number(replica, task):
    chosen = (0, 3, 4, 9)
    projections = each_alone(replica, task, chosen)
    clip = float(np.median(np.abs(projections)))
    batch = task.poisson_batch(0, coins(task, 0, *chosen))
    found = replica.scalars([batch], example_clip=clip, normaliser=16, **ROUND).projected_gradients[0]
    assert found == pytest.approx(np.clip(projections, -clip, clip).sum(axis=0) / 16, rel=1e-3, abs=1e-6)


def test_one_more_example_moves_the_sum_by_no_more_than_clip_over_the_number(replica, task):
    few, more = coins(task, 0, 1, 2), coins(task, 0, 1, 2, 5)
    clip = 1e-4
    sums = [
        replica.scalars([task.poisson_batch(0, drawn)], example_clip=clip, normaliser=8, **ROUND).projected_gradients
        for drawn in (few, more)
    ]
    assert np.all(np.abs(sums[0] - sums[1]) <= clip / 8 * (1 + 1e-9))


def test_an_empty_batch_is_worth_nothing_and_disturbs_nobody(replica, task):
    empty, some = task.poisson_batch(0, coins(task, 0)), task.poisson_batch(1, coins(task, 1, 0, 2))
    options = {"example_clip": 1.0, "normaliser": 4, **ROUND}
    both = replica.scalars([empty, some], **options)
    alone = replica.scalars([some], **options)
    assert empty.num_examples == 0
    assert np.all(both.projected_gradients[0] == 0)
    assert np.array_equal(both.projected_gradients[1], alone.projected_gradients[0])
    assert math.isnan(both.loss[0])
    assert both.loss[1] == alone.loss[0]


def test_clip_and_number_come_together(replica, task):
    with pytest.raises(LearnerError, match="pass both or neither"):
        replica.scalars([task.batch(0, 0, 4)], example_clip=1.0, **ROUND)


def test_a_coin_for_every_example_is_needed(task):
    with pytest.raises(TaskError, match="coins"):
        task.poisson_batch(0, np.ones(3, dtype=bool))
