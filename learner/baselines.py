"""First-order federated learning through the same tasks, to compare with: FedSGD, and FedAvg with SGD or AdamW.

It needs gradients, so it holds a trainable model of its own, and every device sends as many numbers as it has weights.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

import torch

from learner.errors import LearnerError
from learner.tasks.batches import AnyBatch, Batch
from learner.tasks.packing import pack
from learner.tasks.task import Task
from learner.tasks.words import Words

Optimizer = Literal["sgd", "adamw"]


@dataclass(frozen=True, slots=True)
class RoundOfGradients:
    """What one round cost."""

    loss: float
    """Mean over devices (and local steps) before their steps"""
    uplink_bytes_per_device: int
    num_forwards: int
    """Forward passes of all devices; each is followed by a backward pass, which costs about two more"""


def batch_loss(model: Any, batch: AnyBatch) -> torch.Tensor:
    """The same loss as a zeroth-order step's, with a gradient: the mean over examples."""
    if isinstance(batch, Batch) and batch.words is not None:
        return torch.nn.functional.cross_entropy(_word_scores(model, batch, batch.words), batch.labels)
    logits = model(input_ids=batch.input_ids, use_cache=False).logits.float()  # [B, T, V]
    if isinstance(batch, Batch):
        rows = torch.arange(batch.num_examples, device=logits.device)
        chosen = logits[rows, batch.last_positions][:, batch.class_tokens]
        return torch.nn.functional.cross_entropy(chosen, batch.labels)
    rows, positions, targets = batch.scored()
    nll = torch.nn.functional.cross_entropy(logits[rows, positions], targets, reduction="none")
    sums = torch.zeros(batch.num_examples, device=nll.device).index_add(0, rows, nll)
    return (sums / torch.bincount(rows, minlength=batch.num_examples)).mean()


def _word_scores(model: Any, batch: Batch, words: Words) -> torch.Tensor:
    """[B, C], log p of each word after each prompt; padded rows, which every causal model takes."""
    packed = pack(batch, shares_rows_up_to=0, model_width=1)
    nodes = batch.input_ids.shape[1] + torch.arange(words.num_nodes)
    found = [torch.empty(0)] * batch.num_examples
    for rows in packed.forwards:
        logits = model(input_ids=rows.input_ids, use_cache=False).logits.flatten(0, 1)
        for example in (rows.places >= 0).any(dim=1).nonzero().flatten().tolist():
            at = rows.places[example, torch.cat([batch.last_positions[example, None], nodes])]
            log_p = torch.log_softmax(logits[at].float(), dim=1)
            found[example] = log_p[words.edge_places, words.edge_tokens]
    return words.scores(torch.stack(found))


def fedsgd(
    model: Any, task: Task, *, num_rounds: int, batch_size: int, learning_rate: float
) -> Iterator[RoundOfGradients]:
    """Each round: w ← w − η · mean over devices of ∇F_k(w)."""
    parameters = _trainable(model)
    for round_index in range(num_rounds):
        losses = []
        for device in range(task.num_devices):  # gradients of all devices add up in place
            loss = batch_loss(model, task.batch(device, round_index, batch_size)) / task.num_devices
            loss.backward()  # type: ignore[no-untyped-call]
            losses.append(float(loss.detach()))
        with torch.no_grad():
            for parameter in parameters:
                if parameter.grad is not None:
                    parameter.sub_(learning_rate * parameter.grad)
                    parameter.grad = None
        yield RoundOfGradients(sum(losses), _uplink_bytes(parameters), task.num_devices)


def fedavg(
    model: Any,
    task: Task,
    *,
    num_rounds: int,
    batch_size: int,
    learning_rate: float,
    local_steps: int = 1,
    optimizer: Optimizer = "adamw",
) -> Iterator[RoundOfGradients]:
    """Each round every device makes `local_steps` steps from the common weights; the mean of their weights is next.

    A device's optimizer begins anew in every round, as it does where devices keep no state. One step of SGD is FedSGD.
    """
    if local_steps < 1:
        raise LearnerError(f"local_steps is {local_steps}; allowed 1 or more; use 1 for one step per round")
    parameters = _trainable(model)
    make = {"sgd": torch.optim.SGD, "adamw": torch.optim.AdamW}[optimizer]
    for round_index in range(num_rounds):
        start = [parameter.detach().clone() for parameter in parameters]
        total = [torch.zeros_like(values) for values in start]
        losses = []
        for device in range(task.num_devices):
            local = make(parameters, lr=learning_rate)
            for step in range(local_steps):
                local.zero_grad(set_to_none=True)
                loss = batch_loss(model, task.batch(device, round_index * local_steps + step, batch_size))
                loss.backward()  # type: ignore[no-untyped-call]
                local.step()
                losses.append(float(loss.detach()))
            with torch.no_grad():
                for parameter, begin, mean in zip(parameters, start, total, strict=True):
                    mean.add_(parameter / task.num_devices)
                    parameter.copy_(begin)
                    parameter.grad = None
        with torch.no_grad():
            for parameter, mean in zip(parameters, total, strict=True):
                parameter.copy_(mean)
        yield RoundOfGradients(sum(losses) / len(losses), _uplink_bytes(parameters), task.num_devices * local_steps)


def _trainable(model: Any) -> list[torch.nn.Parameter]:
    for parameter in model.parameters():
        parameter.requires_grad_(True)
    return list(model.parameters())


def _uplink_bytes(parameters: list[torch.nn.Parameter]) -> int:
    return sum(parameter.numel() * parameter.element_size() for parameter in parameters)
