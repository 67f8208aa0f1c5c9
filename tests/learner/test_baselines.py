"""First-order baselines: exact where theory says so."""

import copy
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from learner.baselines import batch_loss, fedavg, fedsgd
from learner.config import ModelConfig
from learner.errors import LearnerError
from learner.models.load import load_model
from learner.tasks.batches import TextBatch
from learner.tasks.task import Task
from learner.zo.replica import Replica

MakeTask = Callable[..., Task]


@pytest.fixture
def model(model_dirs: dict[str, Path]) -> torch.nn.Module:
    return load_model(ModelConfig(path=str(model_dirs["opt"])))[0]


def test_the_loss_is_that_of_the_zeroth_order_step(model: torch.nn.Module, make_task: MakeTask) -> None:
    replica = Replica(copy.deepcopy(model), None)
    ids = torch.arange(48).reshape(3, 16)
    for batch in (make_task().batch(0, 0, 6), TextBatch(ids, torch.tensor([1, 3, 15]), torch.tensor([16, 9, 16]))):
        expected = replica.losses([batch])[0].mean()
        assert float(batch_loss(model, batch).detach()) == pytest.approx(expected, rel=1e-5)


def test_fedavg_with_one_step_of_sgd_is_fedsgd(model: torch.nn.Module, make_task: MakeTask) -> None:
    other, task = copy.deepcopy(model), make_task()
    settings = {"num_rounds": 3, "batch_size": 4, "learning_rate": 1e-2}
    first = list(fedsgd(model, task, **settings))
    second = list(fedavg(other, task, optimizer="sgd", **settings))
    for one, two in zip(model.parameters(), other.parameters(), strict=True):
        np.testing.assert_allclose(one.detach(), two.detach(), atol=1e-6)
    num_bytes = 4 * sum(parameter.numel() for parameter in model.parameters())
    for one_round, other_round in zip(first, second, strict=True):
        assert one_round.loss == pytest.approx(other_round.loss, rel=1e-4)
        assert one_round.uplink_bytes_per_device == other_round.uplink_bytes_per_device == num_bytes
        assert one_round.num_forwards == other_round.num_forwards == 3


@pytest.mark.parametrize("method", ["fedsgd", "sgd", "adamw"])
def test_baselines_lower_the_training_loss(model: torch.nn.Module, make_task: MakeTask, method: str) -> None:
    task, settings = make_task(), {"num_rounds": 15, "batch_size": 20}
    if method == "fedsgd":
        rounds = list(fedsgd(model, task, learning_rate=5e-2, **settings))
    else:
        rate = 5e-2 if method == "sgd" else 1e-3
        rounds = list(fedavg(model, task, learning_rate=rate, local_steps=2, optimizer=method, **settings))  # type: ignore[arg-type]
    assert rounds[-1].loss < 0.9 * rounds[0].loss


def test_a_round_without_a_step_is_refused(model: torch.nn.Module, make_task: MakeTask) -> None:
    with pytest.raises(LearnerError, match="local_steps is 0; allowed 1 or more"):
        next(fedavg(model, make_task(), num_rounds=1, batch_size=2, learning_rate=1e-3, local_steps=0))
