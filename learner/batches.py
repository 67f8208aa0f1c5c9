"""A padded mini-batch, scored at the last real token of each row."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

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
    """int64 [C], first token of each class's verbalizer word"""

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
        )


@dataclass(frozen=True, slots=True)
class Encoded:
    """N encoded prompts."""

    tokens: NDArray[np.int32]
    """[N, W], padded on the right"""
    lengths: NDArray[np.int64]
    """[N], real tokens"""
    labels: NDArray[np.int64]
    """[N], class indices"""

    def __len__(self) -> int:
        return len(self.lengths)


def collate(encoded: Encoded, rows: NDArray[np.int64], class_tokens: torch.Tensor) -> Batch:
    """Make a batch of the given rows [B], padded to a multiple of 8 of their own longest (at most W); B may be 0."""
    lengths = encoded.lengths[rows]
    width = min(-(-int(lengths.max(initial=1)) // PAD_MULTIPLE) * PAD_MULTIPLE, encoded.tokens.shape[1])
    return Batch(
        torch.from_numpy(encoded.tokens[rows, :width].astype(np.int64)),
        torch.from_numpy(lengths - 1),
        torch.from_numpy(encoded.labels[rows]),
        class_tokens,
    )


def merge(batches: Sequence[Batch]) -> Batch:
    """One batch of several with the same classes, rows in order, padded to the widest."""
    width = max(batch.input_ids.shape[1] for batch in batches)
    padded = [torch.nn.functional.pad(b.input_ids, (0, width - b.input_ids.shape[1])) for b in batches]
    return Batch(
        torch.cat(padded),
        torch.cat([batch.last_positions for batch in batches]),
        torch.cat([batch.labels for batch in batches]),
        batches[0].class_tokens,
    )
