"""A task: its examples, who holds which, and the batch of every device and round."""

import logging
from copy import copy
from functools import cached_property
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from learner.config import TaskConfig
from learner.errors import TaskError
from learner.tasks.batches import AnyBatch, Encoded, collate
from learner.tasks.digest import Digest
from learner.tasks.prompts import PromptEncoder
from learner.tasks.reading.sources import read_examples
from learner.tasks.registry import template_of
from learner.tasks.rows import Example
from learner.tasks.sampling import (
    Stream,
    partition_dirichlet,
    partition_iid,
    random_order,
    random_subset,
)
from learner.tasks.words import Words

log = logging.getLogger(__name__)


class Task:
    """Examples to learn from, dealt out to K devices, and others to be judged by."""

    def __init__(
        self,
        config: TaskConfig,
        tokenizer: Any,
        *,
        num_devices: int,
        seed: int,
        max_model_tokens: int | None = None,
    ) -> None:
        """Read, subsample, encode and partition the data; TaskError says what does not do.

        The seed draws subset, partition and batches. `max_model_tokens` (Replica.max_tokens) bounds
        task.max_tokens.
        """
        self.template = template_of(config)
        if max_model_tokens is not None and self.template.max_tokens > max_model_tokens:
            raise TaskError(
                f"task.max_tokens is {self.template.max_tokens}, the model has {max_model_tokens} positions; "
                f"set it to {max_model_tokens} or less"
            )
        self.config = config
        self.seed = seed
        examples = read_examples(config, seed=seed)
        for remark in examples.remarks:
            log.warning("%s", remark)
        self.train_source, self.test_source = examples.train_source, examples.test_source
        self._encoder = PromptEncoder(config, tokenizer)
        rest, self._validation_examples = _held_out(examples.train, config.num_validation, seed, self.train_source)
        train = _subset(rest, config.num_train, seed, Stream.TRAIN_SUBSET, self.train_source)
        self._test_examples = _subset(examples.test, config.num_test, seed, Stream.TEST_SUBSET, self.test_source)
        is_classification = self.template.kind == "classification"
        words = self._encoder.words
        is_short = all(len(word) == 1 for word in words)
        self.class_tokens = torch.tensor([word[0] for word in words] if is_short else [], dtype=torch.int64)
        """int64 [C]; empty where a word has several tokens."""
        self.words = None if is_short else Words.of(words)
        """Where a word has several tokens."""
        self._train = self._encoded(train, "training")
        if is_classification:
            _check_classes(self._train, list(self.template.verbalizer), self.train_source)
        if config.partition == "iid":
            self._shards = partition_iid(seed, len(self._train), num_devices)
        else:
            alpha = config.dirichlet_alpha
            self._shards = partition_dirichlet(seed, self._train.labels, num_devices, alpha=alpha)

    @property
    def num_devices(self) -> int:
        """K"""
        return len(self._shards)

    @property
    def num_train(self) -> int:
        """Training examples of all devices together."""
        return len(self._train)

    @property
    def mean_train_tokens(self) -> float:
        """Tokens of a training example, with its prompt; the mean over all devices' examples."""
        return float(self._train.lengths.mean())

    @property
    def num_test(self) -> int:
        """Evaluation examples; of plain text, windows."""
        return len(self._test) if self.template.kind == "text" else len(self._test_examples)

    def shard(self, device: int) -> NDArray[np.int64]:
        """Indices of the training examples that a device holds."""
        if not 0 <= device < self.num_devices:
            raise TaskError(f"device is {device}; allowed 0 to {self.num_devices - 1}; number devices from 0")
        return self._shards[device]

    def batch(self, device: int, round_index: int, batch_size: int) -> AnyBatch:
        """Draw a device's batch of a round without replacement; a device with fewer examples uses them all.

        Depends on (seed, device, round) only, so that resumed runs repeat it.
        """
        return self.rows(self.known_rows(device, round_index, batch_size))

    def known_rows(self, device: int, round_index: int, batch_size: int) -> NDArray[np.int64]:
        """Which training examples are in `batch`."""
        shard = self.shard(device)
        if batch_size < 1 or round_index < 0:
            raise TaskError(
                f"batch of size {batch_size} for round {round_index}; "
                "allowed size 1 or more and round 0 or more; correct learner.batch_size"
            )
        order = random_order(self.seed, len(shard), Stream.BATCH, device=device, round_index=round_index)
        return shard[order[:batch_size]]

    def rows(self, rows: NDArray[np.int64]) -> AnyBatch:
        """A batch of these training examples."""
        return collate(self._train, rows, self.class_tokens, self.words)

    def exchanged(self, rows: NDArray[np.int64], by: int) -> "Task":
        """A neighbour of this task: these training examples are copies of another one."""
        index = np.arange(len(self._train))
        index[rows] = by
        train = self._train
        starts = None if train.starts is None else train.starts[index]
        neighbour = copy(self)
        neighbour._train = Encoded(train.tokens[index], train.lengths[index], train.labels[index], starts)
        return neighbour

    def without_last(self, device: int) -> "Task":
        """A neighbour of this task: the last example of a device's shard is left out."""
        neighbour = copy(self)
        neighbour._shards = [s[:-1] if k == device else s for k, s in enumerate(self._shards)]
        return neighbour

    def poisson_batch(self, device: int, drawn: NDArray[np.bool_]) -> AnyBatch:
        """The examples of a device's shard that its own secret coins `drawn` chose, possibly none.

        The coins come from the caller: a batch that anybody could draw again would protect nobody.
        """
        shard = self.shard(device)
        if drawn.shape != shard.shape:
            raise TaskError(
                f"device {device}: {drawn.size} coins for {len(shard)} examples; allowed one each; draw as many"
            )
        return collate(self._train, shard[drawn], self.class_tokens, self.words)

    def test_batches(self, batch_size: int) -> list[AnyBatch]:
        """All evaluation examples, in order of length, so that little is padded."""
        if batch_size < 1:
            raise TaskError(f"evaluation batch size is {batch_size}; allowed 1 or more; use for example 64")
        order = np.argsort(self._test.lengths, kind="stable")
        chunks = [order[start : start + batch_size] for start in range(0, len(order), batch_size)]
        return [collate(self._test, rows, self.class_tokens, self.words) for rows in chunks]

    def test_prompts(self) -> list[tuple[list[int], tuple[str, ...]]]:
        """Prompt tokens and accepted answers of every evaluation example of a completion task."""
        examples = self._test_examples
        rows = self._encoder.prompts(examples, [self.template.max_tokens // 2] * len(examples))
        return [(row, e.answers or (e.label,)) for row, e in zip(rows, examples, strict=True)]

    def fingerprint(self) -> str:
        """SHA-256 (hex) of all that decides batches and evaluation, wherever the data lie: tokens, labels and order of
        both splits, classes, prompt, the shards of all devices, the seed.

        Encodes the test split, which evaluation then finds done; beyond that some 0.1 s for 67,000 sentences.
        """
        template, digest = self.template, Digest()
        digest.words("seed", [self.seed, self.num_devices])
        asked = [template.name, template.kind, template.prompt, list(template.verbalizer.items()), template.metric]
        digest.words("template", [*asked, self.template.max_tokens])
        digest.array("class tokens", self.class_tokens.numpy(), "<i8")
        if self.words is not None:
            digest.array("nodes", self.words.tokens.numpy(), "<i8")
            digest.array("edges", torch.stack([self.words.edge_places, self.words.edge_tokens]).numpy(), "<i8")
            digest.array("paths", self.words.paths.numpy(), "<i8")
        for split, encoded in (("train", self._train), ("test", self._test)):
            digest.array(f"{split} tokens", encoded.tokens, "<i4")
            digest.array(f"{split} lengths", encoded.lengths, "<i8")
            digest.array(f"{split} labels", encoded.labels, "<i8")
            if encoded.starts is not None:
                digest.array(f"{split} starts", encoded.starts, "<i8")
        for device, shard in enumerate(self._shards):
            digest.array(f"shard {device}", shard, "<i8")
        if (held_out := self.validation) is not None:
            digest.array("validation tokens", held_out._test.tokens, "<i4")
            digest.array("validation labels", held_out._test.labels, "<i8")
        if template.kind == "completion":  # scored on what the model writes, in any words of its vocabulary
            digest.words("answers", [(e.text, e.columns, e.answers or (e.label,)) for e in self._test_examples])
            digest.words("vocabulary", [self.template.max_new_tokens, *self._encoder.vocabulary()])
        return digest.hex()

    @cached_property
    def validation(self) -> "Task | None":
        """This task with its validation split in place of the test split; None without one."""
        if not self._validation_examples:
            return None
        neighbour = copy(self)
        neighbour.__dict__.pop("_test", None)
        neighbour._test_examples = self._validation_examples
        return neighbour

    def decode(self, tokens: list[int]) -> str:
        """The text that tokens stand for."""
        return self._encoder.decode(tokens)

    @cached_property
    def _test(self) -> Encoded:
        return self._encoded(self._test_examples, "evaluation")

    def _encoded(self, examples: tuple[Example, ...], what: str) -> Encoded:
        """As tokens; says how many texts were too long."""
        encoded = self._encoder.encode(examples)
        if encoded.num_shortened:
            log.warning(
                "%d of %d %s prompts have more than task.max_tokens = %d tokens: their text loses its beginning",
                *(encoded.num_shortened, len(examples), what, self.template.max_tokens),
            )
        return encoded


def _held_out(
    examples: tuple[Example, ...], num_held: int | None, seed: int, source: str
) -> tuple[tuple[Example, ...], tuple[Example, ...]]:
    """What is left to learn from, and so many examples that are not."""
    if num_held is None:
        return examples, ()
    if num_held >= len(examples):
        raise TaskError(
            f"task.num_validation is {num_held}, {source} has {len(examples)} examples; allowed 1 to "
            f"{len(examples) - 1}, so that some are left to learn from; lower it"
        )
    held = set(random_subset(seed, len(examples), num_held, Stream.VALIDATION).tolist())
    return tuple(e for i, e in enumerate(examples) if i not in held), tuple(examples[i] for i in sorted(held))


def _subset(
    examples: tuple[Example, ...], num_kept: int | None, seed: int, stream: Stream, source: str
) -> tuple[Example, ...]:
    if num_kept is None:
        return examples
    if not 1 <= num_kept <= len(examples):
        setting = "num_train" if stream is Stream.TRAIN_SUBSET else "num_test"
        raise TaskError(
            f"task.{setting} is {num_kept}, {source} has {len(examples)} examples; allowed "
            f"1 to {len(examples)}; "
            "lower it, or leave it out to use all"
        )
    return tuple(examples[i] for i in random_subset(seed, len(examples), num_kept, stream))


def _check_classes(encoded: Encoded, labels: list[str], source: str) -> None:
    present = np.unique(encoded.labels)
    if len(present) < 2:
        label = labels[int(present[0])]
        raise TaskError(
            f"all {len(encoded)} training examples of {source} have the label {label!r}; at "
            "least 2 classes are needed; "
            "add examples of another class or raise task.num_train"
        )
