"""Fewer points that look the same: the smallest and the largest of each stretch, in the order in which they came."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def stretch_of(num_points: int, max_points: int) -> int:
    """How many points become two, so that at most ``max_points`` are left; 1 where all are kept."""
    return 1 if num_points <= max_points else -(-2 * num_points // max_points)


def decimated(x: Floats, columns: Floats, max_points: int) -> tuple[Floats, Floats]:
    """Positions [M] and columns [M, F] of points x [N], ascending, and columns [N, F]; M is at most ``max_points``.

    NaN is what is not known: a stretch without any known value stays NaN, one with a single one has it once.
    """
    stretch = stretch_of(x.size, max_points)
    if stretch == 1:
        return x, columns
    num = -(-x.size // stretch)
    padded = np.full((num * stretch, columns.shape[1]), np.nan)
    padded[: x.size] = columns
    blocks = padded.reshape(num, stretch, -1)
    known = np.isfinite(blocks)
    low_at = np.where(known, blocks, np.inf).argmin(axis=1)
    high_at = np.where(known, blocks, -np.inf).argmax(axis=1)
    low, high = (np.take_along_axis(blocks, at[:, None, :], axis=1)[:, 0, :] for at in (low_at, high_at))
    first = np.where(low_at <= high_at, low, high)
    second = np.where(low_at <= high_at, high, low)
    second[low_at == high_at] = np.nan
    points = np.stack([first, second], axis=1).reshape(2 * num, -1)
    begins = np.arange(num) * stretch
    ends = np.minimum(begins + stretch, x.size) - 1
    return np.stack([x[begins], x[ends]], axis=1).reshape(-1), points
