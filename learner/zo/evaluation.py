"""How well a replica does on a task's evaluation examples."""

import math
import re
import string
from collections import Counter
from dataclasses import dataclass

import numpy as np
import torch

from learner.tasks.batches import Batch
from learner.tasks.task import Task
from learner.zo.replica import Replica
from learner.zo.scoring import label_losses

_NUMBER = re.compile(r"-?\d[\d,]*(?:\.\d+)?")


@dataclass(frozen=True, slots=True)
class Evaluation:
    """Means over all evaluation examples."""

    loss: float
    """Cross-entropy in nats: over the verbalizer's words, or per predicted token"""
    metric_name: str
    """accuracy | f1 | answer_accuracy | perplexity"""
    metric: float
    """Share of examples whose word scores highest; mean F1; share of right final numbers; exp(loss)"""
    num_examples: int

    @property
    def accuracy(self) -> float | None:
        """The metric, if it is a share of right answers."""
        return self.metric if self.metric_name in ("accuracy", "answer_accuracy") else None


def evaluate(replica: Replica, task: Task, batch_size: int = 64) -> Evaluation:
    """Score every evaluation example at the present weights."""
    batches = task.test_batches(batch_size)
    name = task.template.metric
    labelled = [batch for batch in batches if isinstance(batch, Batch)]
    if labelled:
        logits = torch.from_numpy(np.concatenate(replica.class_logits(labelled)))  # [N, C]
        labels = torch.cat([batch.labels for batch in labelled])  # [N]
        accuracy = float((logits.argmax(dim=1) == labels).double().mean())
        return Evaluation(float(label_losses(logits, labels).mean()), name, accuracy, len(labels))
    counts = [(batch.stops - batch.starts).numpy() for batch in batches if not isinstance(batch, Batch)]
    losses, weights = np.concatenate(replica.losses(batches)), np.concatenate(counts)
    loss = float(np.average(losses, weights=weights))  # every token counts the same
    if name == "perplexity":
        return Evaluation(loss, name, math.exp(loss), len(losses))
    prompts = task.test_prompts()
    made = replica.generate([prompt for prompt, _ in prompts], max_new_tokens=task.config.max_new_tokens)
    texts = [task.decode(tokens) for tokens in made]
    score = f1_of if name == "f1" else _same_number
    scores = [max(score(text, answer) for answer in answers) for text, (_, answers) in zip(texts, prompts, strict=True)]
    return Evaluation(loss, name, float(np.mean(scores)), len(scores))


def f1_of(text: str, answer: str) -> float:
    """Harmonic mean of precision and recall over words, without case, punctuation and articles."""
    found, wanted = _words(text), _words(answer)
    if not found or not wanted:
        return float(found == wanted)
    shared = sum((Counter(found) & Counter(wanted)).values())
    return 2 * shared / (len(found) + len(wanted))


def _words(text: str) -> list[str]:
    plain = text.lower().translate(str.maketrans("", "", string.punctuation))
    return [word for word in plain.split() if word not in ("a", "an", "the")]


def _same_number(text: str, answer: str) -> float:
    """1 if both end in the same number."""
    found, wanted = _NUMBER.findall(text.replace("$", "")), _NUMBER.findall(answer)
    return float(bool(found and wanted) and float(found[-1].replace(",", "")) == float(wanted[-1].replace(",", "")))
