"""Directions in plain torch operations: the same bits on any torch device, only slower; what CUDA uses."""

from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray

from learner.kernels.philox import FIELDS, MASK32, ROUNDING, SIGNS, Key, philox4x32

_CHUNK_ELEMENTS = 1 << 22  # bounds the temporaries


def both(
    weights: torch.Tensor,
    plus: torch.Tensor | None,
    minus: torch.Tensor,
    first: int,
    key: Key,
    table: NDArray[np.float32],
) -> None:
    """plus, minus [n] = weights [n] ± amplitude · z; or minus alone. `first` is the global index of weights[0]."""
    amplitudes = torch.from_numpy(table).to(weights.device)
    for lo, hi in _chunks(len(weights)):
        indices = torch.arange(first + lo, first + hi, device=weights.device)
        moved = _amplitudes(indices, key, amplitudes)
        wide = weights[lo:hi].float()
        if plus is not None:
            plus[lo:hi] = wide + moved  # copies round to nearest even
        minus[lo:hi] = wide - moved


def both_rows(
    weights: torch.Tensor, rows: torch.Tensor, out: torch.Tensor, first: int, key: Key, table: NDArray[np.float32]
) -> None:
    """out [2, N, H] = rows of weights [V, H] ± amplitude · z."""
    width = weights.shape[1]
    amplitudes = torch.from_numpy(table).to(weights.device)
    columns = torch.arange(width, device=weights.device)
    step = max(1, _CHUNK_ELEMENTS // width)
    for lo in range(0, len(rows), step):
        part = rows[lo : lo + step]
        indices = first + part[:, None] * width + columns
        moved = _amplitudes(indices.reshape(-1), key, amplitudes).view(len(part), width)
        wide = weights[part].float()
        out[0, lo : lo + step] = wide + moved
        out[1, lo : lo + step] = wide - moved


def sweep(weights: torch.Tensor, first: int, keys: list[Key], tables: NDArray[np.float32]) -> None:
    """weights [n] += amplitude · z of all updates, in order."""
    amplitudes = torch.from_numpy(tables).to(weights.device)
    for lo, hi in _chunks(len(weights)):
        indices = torch.arange(first + lo, first + hi, device=weights.device)
        part = weights[lo:hi]
        for key, table in zip(keys, amplitudes, strict=True):
            moved = part.float() + _amplitudes(indices, key, table)
            if part.dtype != torch.float32:
                moved = _round_stochastically(moved, _fields(indices, key, ROUNDING), part.dtype)
            part.copy_(moved)


def _chunks(num: int) -> Iterator[tuple[int, int]]:
    for start in range(0, num, _CHUNK_ELEMENTS):
        yield start, min(start + _CHUNK_ELEMENTS, num)


def _amplitudes(indices: torch.Tensor, key: Key, table: torch.Tensor) -> torch.Tensor:
    """float32 [n] of global elements, from a table of 2 (bit) or 17 (popcount of a 16-bit field)."""
    if len(table) == 2:
        words = _words(indices, 128, key, SIGNS)
        return table[(words >> (indices % 32)) & 1]
    fields = _fields(indices, key, FIELDS)
    count = torch.zeros_like(fields)
    for place in range(16):
        count += (fields >> place) & 1
    return table[count]


def _words(indices: torch.Tensor, per_block: int, key: Key, stream: int) -> torch.Tensor:
    """The 32-bit word that holds each element's bits, int64 [n]; every block that occurs is drawn once."""
    block, inverse = torch.unique_consecutive(indices // per_block, return_inverse=True)
    drawn = philox4x32(key[:2], (block & MASK32, block >> 32, key[2], stream))
    return drawn[inverse, indices % per_block // (per_block // 4)]


def _fields(indices: torch.Tensor, key: Key, stream: int) -> torch.Tensor:
    """16 random bits of each element, int64 [n]."""
    return (_words(indices, 8, key, stream) >> (indices % 2 * 16)) & 0xFFFF


def _round_stochastically(values: torch.Tensor, random: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    """float32 values [n] as bfloat16 or float16, up or down by 16 random bits; the mean is the value itself."""
    bits = values.view(torch.int32).long() & MASK32
    if dtype == torch.bfloat16:
        half = ((bits + random) & MASK32) >> 16
    else:
        size, sign = bits & 0x7FFFFFFF, (bits >> 16) & 0x8000
        short = random & 0x1FFF
        normal = (((size + short) >> 13) - (112 << 10)).clamp(max=0x7C00)
        scaled = size.int().view(torch.float32).clamp(max=1.0) * 2.0**24
        small = (scaled + short.float() * 2.0**-13).to(torch.int64)
        half = torch.where(size >= 0x38800000, normal, small) | sign
    return (half - ((half >> 15) << 16)).to(torch.int16).view(dtype)
