"""One-sided scalars: one loss at the weights themselves serves all queries."""

import numpy as np
import pytest

from learner.config import ModelConfig
from learner.tasks.batches import Batch
from learner.zo import example_losses
from learner.zo.replica import Replica
from learner.zo.small_models import is_small

SCALE, NUM_QUERIES = 1e-2, 3
SETTINGS = {"seed": 9, "num_queries": NUM_QUERIES, "perturbation_scale": SCALE}


def batches_of(task):
    return [task.batch(device, 0, 6) for device in range(task.num_devices)]


def means(replica, batches):
    return np.array([losses.mean() for losses in replica.losses(batches)])


@pytest.fixture(params=["swept", "small"])
def either(request, model_dirs, monkeypatch):
    monkeypatch.setattr(example_losses, "is_small", is_small if request.param == "small" else lambda *_: False)
    return Replica.load(ModelConfig(path=str(model_dirs["opt"])))


def test_they_are_the_difference_to_the_weights_themselves(either, model_dirs, make_task):
    batches = batches_of(make_task())
    got = either.scalars(batches, **SETTINGS, estimator="one_sided")
    base = means(either, batches)
    expected = np.zeros((len(batches), NUM_QUERIES))
    for query in range(NUM_QUERIES):
        moved = Replica.load(ModelConfig(path=str(model_dirs["opt"])))
        moved.update(9, [0.0] * query + [-float(np.float32(SCALE))])  # w + μz itself, to the bit
        expected[:, query] = (means(moved, batches) - base) / SCALE
    np.testing.assert_allclose(got.projected_gradients, expected, atol=2e-5 / SCALE)
    np.testing.assert_allclose(got.loss, base, atol=1e-5)
    two_sided = either.scalars(batches, **SETTINGS).projected_gradients
    assert np.abs(two_sided - expected).max() > 5e-3  # the bias of curvature tells the two apart
    assert np.abs(expected).max() > 0.1


def test_they_cost_a_forward_a_query_and_one_more(either, make_task):
    counted = []
    either.model.get_input_embeddings().register_forward_hook(lambda *_: counted.append(1))
    batches = batches_of(make_task())
    either.scalars(batches, **SETTINGS, estimator="one_sided")
    assert len(counted) == len(batches) * (NUM_QUERIES + 1)


def test_an_example_decides_its_own_projection_to_the_bit(either, make_task):
    options = {**SETTINGS, "estimator": "one_sided", "example_clip": 50.0, "normaliser": 4}
    task = make_task(num_devices=2)
    drawn = np.zeros(len(task.shard(0)), dtype=bool)
    drawn[:5] = True
    together = either.scalars([task.poisson_batch(0, drawn)], **options)
    for row, index in zip(together.example_projections[0], range(5), strict=True):
        alone = either.scalars([task.poisson_batch(0, np.arange(len(drawn)) == index)], **options)
        assert np.array_equal(alone.example_projections[0][0], row)


def test_a_device_without_examples_says_zero(either, make_task):
    task = make_task(num_devices=2)
    empty = task.poisson_batch(0, np.zeros(len(task.shard(0)), dtype=bool))
    assert isinstance(empty, Batch)
    for options in ({}, {"example_clip": 1.0, "normaliser": 4}):
        got = either.scalars([empty, task.batch(1, 0, 4)], **SETTINGS, **options, estimator="one_sided")
        assert np.all(got.projected_gradients[0] == 0)
        assert np.isnan(got.loss[0])
        assert np.isfinite(got.loss[1])
