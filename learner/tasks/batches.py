"""A padded mini-batch, scored at the last real token of each row; `packing` says how it is computed."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from learner.tasks.words import Words

PAD_MULTIPLE = 8
"""Rows are padded to a multiple of this, so that few different shapes occur."""


@dataclass(frozen=True, slots=True)
class Batch:
    """B examples of one device; a causal model cannot see the padding on the right, so no mask is needed."""

    input_ids: torch.Tensor
    """int64 [B, T]"""
    last_positions: torch.Tensor
    """int64 [B], index of the last real token: there the label's word is predicted."""
    labels: torch.Tensor
    """int64 [B], class indices"""
    class_tokens: torch.Tensor
    """int64 [C], each class's verbalizer word; empty where `words` says what they are"""
    words: Words | None = None
    """Where a word has more than one token."""

    @property
    def num_examples(self) -> int:
        """B"""
        return len(self.labels)

    def to(self, device: torch.device) -> "Batch":
        """The same batch on another device (itself if it is there already)."""
        if self.input_ids.device == device:
            return self
        return Batch(
            self.input_ids.to(device),
            self.last_positions.to(device),
            self.labels.to(device),
            self.class_tokens.to(device),
            None if self.words is None else self.words.to(device),
        )


@dataclass(frozen=True, slots=True)
class TextBatch:
    """B texts of which a span of tokens is predicted, each token from those before it."""

    input_ids: torch.Tensor
    """int64 [B, T]"""
    starts: torch.Tensor
    """int64 [B], index of the first predicted token, at least 1"""
    stops: torch.Tensor
    """int64 [B], one past the last predicted token"""

    @property
    def num_examples(self) -> int:
        """B"""
        return len(self.starts)

    def to(self, device: torch.device) -> "TextBatch":
        """The same batch on another device."""
        return TextBatch(self.input_ids.to(device), self.starts.to(device), self.stops.to(device))

    def scored(self) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Rows, positions and the token that each position should predict: int64 [N] each."""
        places = torch.arange(1, self.input_ids.shape[1], device=self.input_ids.device)
        rows, positions = ((places >= self.starts[:, None]) & (places < self.stops[:, None])).nonzero(as_tuple=True)
        return rows, positions, self.input_ids[rows, positions + 1]


AnyBatch = Batch | TextBatch


@dataclass(frozen=True, slots=True)
class Encoded:
    """N encoded prompts."""

    tokens: NDArray[np.int32]
    """[N, W], padded on the right"""
    lengths: NDArray[np.int64]
    """[N], real tokens"""
    labels: NDArray[np.int64]
    """[N], class indices"""
    starts: NDArray[np.int64] | None = None
    """[N], first predicted token where tokens are predicted instead of a class"""
    num_shortened: int = 0
    """Prompts that lost their text's beginning."""

    def __len__(self) -> int:
        return len(self.lengths)


def collate(
    encoded: Encoded, rows: NDArray[np.int64], class_tokens: torch.Tensor, words: Words | None = None
) -> AnyBatch:
    """Make a batch of the given rows [B], padded to a multiple of 8 of their own longest (at most W); B may be 0."""
    lengths = encoded.lengths[rows]
    width = min(-(-int(lengths.max(initial=1)) // PAD_MULTIPLE) * PAD_MULTIPLE, encoded.tokens.shape[1])
    tokens = torch.from_numpy(encoded.tokens[rows, :width].astype(np.int64))
    if encoded.starts is not None:
        return TextBatch(tokens, torch.from_numpy(encoded.starts[rows]), torch.from_numpy(lengths))
    return Batch(
        tokens,
        torch.from_numpy(lengths - 1),
        torch.from_numpy(encoded.labels[rows]),
        class_tokens,
        words,
    )


def merge(batches: Sequence[AnyBatch]) -> AnyBatch:
    """One batch of several of one kind (with the same classes), rows in order, padded to the widest."""
    width = max(batch.input_ids.shape[1] for batch in batches)
    padded = torch.cat([torch.nn.functional.pad(b.input_ids, (0, width - b.input_ids.shape[1])) for b in batches])
    labelled = [batch for batch in batches if isinstance(batch, Batch)]
    if labelled:
        last = torch.cat([batch.last_positions for batch in labelled])
        labels = torch.cat([batch.labels for batch in labelled])
        return Batch(padded, last, labels, labelled[0].class_tokens, labelled[0].words)
    texts = [batch for batch in batches if isinstance(batch, TextBatch)]
    return TextBatch(padded, torch.cat([b.starts for b in texts]), torch.cat([b.stops for b in texts]))


def examples(batch: AnyBatch) -> list[AnyBatch]:
    """Each example as a batch of one without padding, in order."""
    if isinstance(batch, Batch):
        return [
            Batch(
                batch.input_ids[n : n + 1, : last + 1],
                batch.last_positions[n : n + 1],
                batch.labels[n : n + 1],
                batch.class_tokens,
                batch.words,
            )
            for n, last in enumerate(batch.last_positions.tolist())
        ]
    return [
        TextBatch(batch.input_ids[n : n + 1, :stop], batch.starts[n : n + 1], batch.stops[n : n + 1])
        for n, stop in enumerate(batch.stops.tolist())
    ]
