"""Which weights of a matrix are kept at a pruning rate; the same on both ends, as both know the weights."""

from __future__ import annotations

import math
from typing import Literal

import torch

from learner.errors import LearnerError

MaskKind = Literal["structured", "magnitude"]
"""structured: whole rows (outputs of a layer) go, so arithmetic is spared on any machine. magnitude: single weights."""


def num_pruned(size: int, rate: float) -> int:
    """⌊ρ · size⌋, and a billionth more, so that 0.3 of 10 are 3. Raises LearnerError for ρ outside 0 … 1."""
    if not 0 <= rate < 1:
        raise LearnerError(f"pruning rate is {rate:g}; allowed 0 or more and below 1; correct jcpba.max_pruning")
    return math.floor(rate * size + 1e-9)


def mask_of(weight: torch.Tensor, rate: float, kind: MaskKind) -> torch.Tensor:
    """Which weights [O, I] are kept, bool: [O, 1] of rows of least norm, or [O, I] of least magnitude.

    Of equal ones the first go. ‖w − m∘w‖² ≤ ρ ‖w‖², and of magnitudes that are spread out far less.
    """
    if kind == "structured":
        strengths = weight.detach().square().sum(dim=1, keepdim=True)
    else:
        strengths = weight.detach().abs()
    flat = strengths.flatten()
    kept = torch.ones(flat.numel(), dtype=torch.bool, device=flat.device)
    kept[torch.argsort(flat, stable=True)[: num_pruned(flat.numel(), rate)]] = False
    return kept.view(strengths.shape)


def kept_weights(shape: torch.Size, rate: float, kind: MaskKind) -> int:
    """How many weights of a matrix [O, I] `mask_of` keeps."""
    rows, columns = shape
    if kind == "structured":
        return (rows - num_pruned(rows, rate)) * columns
    return rows * columns - num_pruned(rows * columns, rate)
