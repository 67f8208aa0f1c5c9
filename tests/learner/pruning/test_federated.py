"""Rounds of pruned clients: FedAvg where nothing is pruned, and who kept a weight decides it otherwise."""

import copy

import pytest
import torch

from learner.baselines import batch_loss
from learner.config import LoraSettings, ModelConfig
from learner.errors import LearnerError, ModelError
from learner.models.load import load_model
from learner.pruning.federated import pruned_round
from learner.pruning.parts import Parts

SETTINGS = {"batch_size": 4, "learning_rate": 1e-2}


@pytest.fixture
def model(model_dirs):
    return load_model(ModelConfig(path=str(model_dirs["opt"])))[0]


def weights_of(parts):
    return [p.detach().clone() for p in parts.trained]


@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
def test_without_pruning_the_mean_of_the_clients_own_models_comes_out(model, make_task, optimizer):
    task, parts = make_task(), Parts(model, "structured")
    models = []
    for client in range(task.num_devices):  # by hand
        own = copy.deepcopy(model)
        trained = [p for p in own.parameters() if p.requires_grad]
        steps = {"sgd": torch.optim.SGD, "adamw": torch.optim.AdamW}[optimizer](trained, lr=1e-2)
        for step in range(2):
            steps.zero_grad()
            batch_loss(own, task.batch(client, 3 * 2 + step, 4)).backward()
            steps.step()
        models.append(dict(own.named_parameters()))
    rates = [0.0] * task.num_devices
    pruned_round(model, parts, task, round_index=3, rates=rates, local_steps=2, optimizer=optimizer, **SETTINGS)
    for name, parameter in model.named_parameters():
        mean = torch.stack([each[name].detach() for each in models]).mean(dim=0)
        torch.testing.assert_close(parameter.detach(), mean, atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("kind", ["structured", "magnitude"])
def test_a_weight_that_one_client_alone_kept_moves_by_that_clients_change(model, make_task, kind):
    task = make_task()
    other, parts = copy.deepcopy(model), Parts(model, kind)
    before, masks = weights_of(parts), parts.masks(0.5)
    rates = [0.5] * task.num_devices
    rates[0] = 0.0
    pruned_round(model, parts, task, round_index=0, rates=rates, optimizer="sgd", **SETTINGS)
    trained = [p for p in other.parameters() if p.requires_grad]
    twin = Parts(other, kind)
    batch_loss(other, task.batch(0, 0, 4)).backward()
    for mask, was, now, alone in zip(masks, before, parts.trained, twin.trained, strict=True):
        pruned = ~mask.expand_as(was)
        expected = was[pruned] - 1e-2 * alone.grad[pruned]
        torch.testing.assert_close(now.detach()[pruned], expected, atol=1e-7, rtol=1e-5)
    assert trained


@pytest.mark.parametrize("kind", ["structured", "magnitude"])
def test_what_nobody_kept_stays_as_it_was(model, make_task, kind):
    task, parts = make_task(), Parts(model, kind)
    before, masks = weights_of(parts), parts.masks(0.4)
    rates = [0.4] * task.num_devices
    found = pruned_round(model, parts, task, round_index=0, rates=rates, local_steps=2, **SETTINGS)
    moved = 0
    for mask, was, now in zip(masks, before, parts.trained, strict=True):
        gone = ~mask.expand_as(was)
        assert torch.equal(now.detach()[gone], was[gone])
        moved += int((now.detach() != was).sum())
    assert moved > 0.5 * found.weights_sent[0]
    assert found.weights_sent == (parts.size(0.4).spared,) * task.num_devices


@pytest.mark.parametrize("kind", ["structured", "magnitude"])
def test_pruned_rounds_lower_the_training_loss(model, make_task, kind):
    task, parts = make_task(), Parts(model, kind)
    rates = [0.1 * (client % 4) for client in range(task.num_devices)]
    losses = [
        pruned_round(
            model, parts, task, round_index=r, rates=rates, batch_size=20, learning_rate=3e-3, local_steps=2
        ).loss
        for r in range(12)
    ]  # fmt: skip
    assert losses[-1] < 0.9 * losses[0]


@pytest.mark.parametrize("kind", ["structured", "magnitude"])
def test_adapters_learn_while_their_frozen_matrices_come_back_as_they_were(model_dirs, make_task, kind):
    model, _ = load_model(ModelConfig(path=str(model_dirs["opt"]), lora=LoraSettings(rank=2)))
    task, parts = make_task(), Parts(model, kind)
    frozen = [layer.weight.detach().clone() for layer in parts.layers]
    masks = parts.masks(0.5)
    for round_index in range(2):
        pruned_round(model, parts, task, round_index=round_index, rates=[0.5] * task.num_devices, **SETTINGS)
    for layer, was, mask in zip(parts.layers, frozen, masks, strict=True):
        assert torch.equal(layer.weight, was)
        if layer.adapter is not None:
            rows = layer.adapter[1].detach()
            assert bool(rows.any())
            if kind == "structured":
                assert not bool(rows[~mask[:, 0]].any())


def test_refusals_say_what_is_allowed(model, make_task):
    task, parts = make_task(), Parts(model, "structured")
    with pytest.raises(LearnerError, match="local_steps is 0; allowed 1 or more"):
        pruned_round(model, parts, task, round_index=0, rates=[0.0] * task.num_devices, local_steps=0, **SETTINGS)
    with pytest.raises(LearnerError, match="rates: got 1 for"):
        pruned_round(model, parts, task, round_index=0, rates=[0.0], **SETTINGS)
    for parameter in parts.trained:
        parameter.data.mul_(1e30)
    with pytest.raises(ModelError, match=r"the steps are too large; lower jcpba\.learning_rate"):
        pruned_round(model, parts, task, round_index=0, rates=[0.0] * task.num_devices, **SETTINGS)
