"""One round of federated fine-tuning in which every client trains the model that its own pruning rate leaves."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from learner.baselines import Optimizer, batch_loss
from learner.errors import LearnerError, ModelError
from learner.pruning.parts import Parts
from learner.tasks.task import Task


@dataclass(frozen=True, slots=True)
class PrunedRound:
    """What one round cost."""

    loss: float
    """Mean over clients and local steps, of the pruned models before each step"""
    weights_sent: tuple[int, ...]
    """[K]"""


def pruned_round(
    model: Any,
    parts: Parts,
    task: Task,
    *,
    round_index: int,
    rates: Sequence[float],
    batch_size: int,
    learning_rate: float,
    local_steps: int = 1,
    optimizer: Optimizer = "adamw",
) -> PrunedRound:
    """Every client k prunes the common weights by `rates[k]`, makes local steps with what it keeps, and sends that.

    The server moves each weight by the mean of the changes of those clients that kept it; what nobody kept stays. At
    rate 0 this is FedAvg over the same weights (`learner.baselines.fedavg`). Depends on the weights, the task's seed
    and the round alone: no client keeps a state. Raises ModelError where the loss is not finite.
    """
    if local_steps < 1:
        raise LearnerError(f"local_steps is {local_steps}; allowed 1 or more; use 1 for one step per round")
    if len(rates) != task.num_devices:
        raise LearnerError(f"rates: got {len(rates)} for {task.num_devices} devices; allowed one each; give as many")
    moves = [torch.zeros_like(parameter) for parameter in parts.trained]
    keepers = [torch.zeros_like(parameter) for parameter in parts.trained]
    losses: list[float] = []
    sent: list[int] = []
    for client, rate in enumerate(rates):
        batches = [task.batch(client, round_index * local_steps + step, batch_size) for step in range(local_steps)]
        with parts.pruned(rate) as kept:
            before = [parameter.detach().clone() for parameter in parts.trained]
            losses += _local_steps(model, parts, batches, kept, learning_rate, optimizer)
            with torch.no_grad():
                for parameter, was, move, keeper, mask in zip(parts.trained, before, moves, keepers, kept, strict=True):
                    keeper.add_(1 if mask is None else mask.to(keeper.dtype))
                    move.add_(parameter - was)  # 0 where it was pruned
        size = parts.size(rate)
        sent.append(size.sent + size.sent_always)
    with torch.no_grad():
        for parameter, move, keeper in zip(parts.trained, moves, keepers, strict=True):
            parameter.add_(move / keeper.clamp(min=1))
    return PrunedRound(sum(losses) / len(losses), tuple(sent))


def _local_steps(
    model: Any,
    parts: Parts,
    batches: Sequence[Any],
    kept: Sequence[torch.Tensor | None],
    learning_rate: float,
    optimizer: Optimizer,
) -> list[float]:
    """Steps with the gradients of kept weights alone: pruned ones are 0 and stay 0. Returns the losses before them."""
    local = {"sgd": torch.optim.SGD, "adamw": torch.optim.AdamW}[optimizer](parts.trained, lr=learning_rate)
    losses = []
    for batch in batches:
        local.zero_grad(set_to_none=True)
        loss = batch_loss(model, batch)
        losses.append(float(loss.detach()))
        if not torch.isfinite(loss):
            raise ModelError(f"the loss is {losses[-1]}: the steps are too large; lower jcpba.learning_rate")
        loss.backward()  # type: ignore[no-untyped-call]
        for parameter, mask in zip(parts.trained, kept, strict=True):
            if mask is not None and parameter.grad is not None:
                parameter.grad.mul_(mask)
        local.step()
    local.zero_grad(set_to_none=True)
    return losses
