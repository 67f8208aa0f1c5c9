"""What a device sends about an example is a function of that example: its companions move no bit of it.

In a batch they do: shapes choose kernels. The neighbour relation is played on the learner itself, in every format.
"""

import numpy as np
import pytest
import torch

from learner.config import ModelConfig
from learner.tasks.batches import examples, merge
from learner.zo.replica import Replica

OPTIONS = {"seed": 11, "num_queries": 2, "perturbation_scale": 1e-2, "example_clip": 0.5, "normaliser": 4}
FORMATS = [
    ("opt", {}),
    ("gpt2", {"dtype": "bfloat16"}),
    ("llama", {"compute_dtype": "bfloat16"}),
    ("qwen3", {"dtype": "float16"}),
]


@pytest.fixture(params=FORMATS, ids=str)
def formatted(request, model_dirs):
    name, settings = request.param
    return lambda **options: Replica.load(ModelConfig(path=str(model_dirs[name]), **settings), **options)


@pytest.fixture
def task(make_task):
    return make_task(num_devices=2)


def coins(task, *chosen, device=0):
    drawn = np.zeros(len(task.shard(device)), dtype=bool)
    drawn[list(chosen)] = True
    return drawn


def projections(replica, *batches):
    return replica.scalars(list(batches), **OPTIONS).example_projections


@pytest.mark.parametrize("options", [{}, {"batch_devices": True}, {"num_threads": 2}], ids=str)
def test_companions_move_no_bit_of_a_projection(formatted, task, options):
    replica = formatted(**options)
    alone = {index: projections(replica, task.poisson_batch(0, coins(task, index)))[0][0] for index in range(6)}
    for chosen in [(0, 1), (3, 4, 5), tuple(range(6))]:
        other = task.poisson_batch(1, coins(task, *range(len(chosen)), device=1))
        together = projections(replica, task.poisson_batch(0, coins(task, *chosen)), other)[0]
        for row, index in zip(together, chosen, strict=True):
            assert np.array_equal(row, alone[index])


def test_other_examples_in_their_place_move_no_bit_either(formatted, task):
    replica = formatted()
    strangers = examples(task.poisson_batch(1, coins(task, *range(6), device=1)))
    batch = task.poisson_batch(0, coins(task, *range(4)))
    first = projections(replica, batch)[0]
    for kept in range(4):
        mixed = [single if place == kept else strangers[place] for place, single in enumerate(examples(batch))]
        assert np.array_equal(projections(replica, merge(mixed))[0][kept], first[kept])
        assert np.array_equal(projections(replica, merge(mixed[::-1][: 4 - kept]))[0][-1], first[kept])


def test_neither_do_place_and_padding(formatted, task):
    replica = formatted()
    batch = task.poisson_batch(0, coins(task, *range(6)))
    forwards = projections(replica, batch)[0]
    turned = projections(replica, merge(examples(batch)[::-1]))[0][::-1]
    assert np.array_equal(forwards, turned)
    wider = torch.nn.functional.pad(batch.input_ids, (0, 8))
    assert np.array_equal(forwards, projections(replica, type(batch)(wider, *_rest(batch)))[0])


def test_one_example_more_moves_the_sum_by_no_more_than_its_share(formatted, task):
    replica = formatted()
    bound = OPTIONS["example_clip"] / OPTIONS["normaliser"] * (1 + 1e-12)
    everybody = list(range(5))
    whole = replica.scalars([task.poisson_batch(0, coins(task, *everybody))], **OPTIONS).projected_gradients[0]
    for left_out in everybody:
        kept = [index for index in everybody if index != left_out]
        less = replica.scalars([task.poisson_batch(0, coins(task, *kept))], **OPTIONS).projected_gradients[0]
        assert np.all(np.abs(whole - less) <= bound)


def test_another_example_moves_a_known_batch_by_no_more_than_twice_its_share(formatted, task):
    replica = formatted()
    bound = 2 * OPTIONS["example_clip"] / OPTIONS["normaliser"] * (1 + 1e-12)
    batch = task.batch(0, 3, 4)
    stranger = examples(task.poisson_batch(1, coins(task, 5, device=1)))[0]
    whole = replica.scalars([batch], **OPTIONS).projected_gradients[0]
    for place in range(batch.num_examples):
        exchanged = examples(batch)
        exchanged[place] = stranger
        moved = replica.scalars([merge(exchanged)], **OPTIONS).projected_gradients[0]
        assert np.all(np.abs(whole - moved) <= bound)


def test_an_example_without_a_finite_loss_counts_as_nothing_where_data_are_private(replica, task, monkeypatch):
    batch = task.poisson_batch(0, coins(task, 0, 1, 2))
    sound = replica.scalars([batch], **OPTIONS)
    real = type(replica._losses).of_each_alone

    def damaged(self, batches, shifts):
        found = real(self, batches, shifts)
        found[0][:, 0, 1] = np.inf
        return found

    monkeypatch.setattr(type(replica._losses), "of_each_alone", damaged)
    found = replica.scalars([batch], stops_on_infinity=False, **OPTIONS).projected_gradients[0]
    clipped = np.clip(sound.example_projections[0][[0, 2]], -0.5, 0.5).sum(axis=0) / 4
    assert np.allclose(found, clipped, rtol=1e-12)


def test_what_classes_are_scored_by_does_not_depend_on_an_example(make_task):
    first, second = make_task(num_devices=1, seed=1), make_task(num_devices=1, seed=2)
    assert torch.equal(first.class_tokens, second.class_tokens)


def _rest(batch):
    return batch.last_positions, batch.labels, batch.class_tokens
