"""How well a replica does on a task's evaluation examples."""

import math
from dataclasses import dataclass

import numpy as np
import torch

from learner.errors import ModelError
from learner.tasks.batches import Batch
from learner.tasks.scores import CLASS_SCORES
from learner.tasks.task import Task
from learner.zo.replica import Replica
from learner.zo.scoring import label_losses

_MOST_NATS = 700.0
"""What an exponential can bear."""


@dataclass(frozen=True, slots=True)
class Evaluation:
    """Means over all evaluation examples."""

    loss: float
    """Cross-entropy in nats: over the verbalizer's words, or per predicted token"""
    metric_name: str
    """accuracy | macro_f1 | f1 | exact_match | answer_accuracy | perplexity | a lab's own (its template's)"""
    metric: float
    """Share of examples whose word scores highest; mean of the template's `score`; exp(loss) of plain text"""
    num_examples: int

    @property
    def accuracy(self) -> float | None:
        """The metric, if it is a share of right answers."""
        return self.metric if self.metric_name in ("accuracy", "answer_accuracy", "exact_match") else None


def evaluate(replica: Replica, task: Task, batch_size: int = 64) -> Evaluation:
    """Score every evaluation example at the present weights. ModelError if their loss is not finite."""
    found = _evaluation(replica, task, batch_size)
    if not math.isfinite(found.loss):
        raise ModelError(
            f"the loss of the evaluation examples is {found.loss}; the weights have diverged; lower "
            "learner.learning_rate or learner.perturbation_scale and restart from a checkpoint"
        )
    return found


def _evaluation(replica: Replica, task: Task, batch_size: int) -> Evaluation:
    batches = task.test_batches(batch_size)
    template = task.template
    labelled = [batch for batch in batches if isinstance(batch, Batch)]
    if labelled:
        logits = torch.from_numpy(np.concatenate(replica.class_logits(labelled)))  # [N, C]
        labels = torch.cat([batch.labels for batch in labelled])  # [N]
        score = CLASS_SCORES[template.metric](logits.argmax(dim=1).tolist(), labels.tolist())
        return Evaluation(float(label_losses(logits, labels).mean()), template.metric, score, len(labels))
    counts = [(batch.stops - batch.starts).numpy() for batch in batches if not isinstance(batch, Batch)]
    losses, weights = np.concatenate(replica.losses(batches)), np.concatenate(counts)
    loss = float(np.average(losses, weights=weights))  # every token counts the same
    if template.kind == "text":
        return Evaluation(loss, template.metric, math.exp(min(loss, _MOST_NATS)), len(losses))
    prompts = task.test_prompts()
    made = replica.generate([prompt for prompt, _ in prompts], max_new_tokens=template.max_new_tokens)
    texts = [task.decode(tokens) for tokens in made]
    scores = [max(template.score(text, a) for a in answers) for text, (_, answers) in zip(texts, prompts, strict=True)]
    return Evaluation(loss, template.metric, float(np.mean(scores)), len(scores))
