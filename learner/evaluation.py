"""How well a replica does on a task's evaluation examples."""

from dataclasses import dataclass

import numpy as np
import torch

from learner.replica import Replica
from learner.scoring import label_losses
from learner.tasks import Task


@dataclass(frozen=True, slots=True)
class Evaluation:
    """Means over all evaluation examples."""

    loss: float
    """Cross-entropy over the verbalizer's words, in nats"""
    accuracy: float
    """Share of examples whose word scores highest"""
    num_examples: int


def evaluate(replica: Replica, task: Task, batch_size: int = 64) -> Evaluation:
    """Score every evaluation example at the present weights."""
    batches = task.test_batches(batch_size)
    logits = torch.from_numpy(np.concatenate(replica.class_logits(batches)))  # [N, C]
    labels = torch.cat([batch.labels for batch in batches])  # [N]
    losses = label_losses(logits, labels)
    return Evaluation(
        loss=float(losses.mean()),
        accuracy=float((logits.argmax(dim=1) == labels).double().mean()),
        num_examples=len(labels),
    )
