"""Directions on CUDA, compiled by Triton: one pass over memory, the same bits as `directions_torch`.

Everything is integer arithmetic and single IEEE additions; amplitudes other than ±one are looked up in a table, so that
no product can be fused into a sum. Counters and streams are those of `learner.directions`.
"""

# mypy: disable-error-code="untyped-decorator,no-untyped-def,no-untyped-call"

from typing import Any

import numpy as np
import torch
import triton
import triton.language as tl
from numpy.typing import NDArray
from triton.language.random import philox_impl

_SIGN_BLOCKS = 16  # Philox blocks of 128 elements that one program makes
_ROUNDING_STREAM, _FIELD_STREAM = tl.constexpr(1), tl.constexpr(2)
_PER_BLOCK, _PER_FIELD_BLOCK = tl.constexpr(128), tl.constexpr(8)

Key = tuple[int, int, int]
"""Seed low, seed high, query."""


@triton.jit
def _words(start, k0, k1, query, stream, num: tl.constexpr):
    """uint32 [num, 4]: Philox of blocks start … start+num−1 (int64)."""
    block = start + tl.arange(0, num).to(tl.int64)
    c0, c1 = (block & 0xFFFFFFFF).to(tl.uint32), (block >> 32).to(tl.uint32)
    c2, c3 = tl.zeros_like(c0) + query.to(tl.uint32), tl.zeros_like(c0) + stream
    w0, w1, w2, w3 = philox_impl(c0, c1, c2, c3, k0.to(tl.uint32), k1.to(tl.uint32), 10)
    pairs = tl.join(tl.join(w0, w1), tl.join(w2, w3))  # [num, word of a pair, pair]
    return tl.reshape(tl.permute(pairs, (0, 2, 1)), (num, 4))


@triton.jit
def _fields(start, k0, k1, query, stream, num: tl.constexpr):
    """uint32 [8 num]: 16 random bits of each element of blocks start … start+num−1."""
    words = _words(start, k0, k1, query, stream, num)
    shifts = (tl.arange(0, 2) * 16).to(tl.uint32)
    return tl.reshape((words[:, :, None] >> shifts[None, None, :]) & 0xFFFF, (num * 8,))


@triton.jit
def _amplitudes(start, table, k0, k1, query, is_sign: tl.constexpr, num: tl.constexpr):
    """float32 [128 num] of elements 128 start …, by bit or by popcount of a 16-bit field."""
    if is_sign:
        words = _words(start, k0, k1, query, 0, num)
        shifts = tl.arange(0, 32).to(tl.uint32)
        number = tl.reshape((words[:, :, None] >> shifts[None, None, :]) & 1, (num * _PER_BLOCK,))
    else:
        x = _fields(start * 16, k0, k1, query, _FIELD_STREAM, num * 16)
        x = x - ((x >> 1) & 0x5555)
        x = (x & 0x3333) + ((x >> 2) & 0x3333)
        x = (x + (x >> 4)) & 0x0F0F
        number = (x + (x >> 8)) & 0x1F
    return tl.load(table + number.to(tl.int32))


@triton.jit
def _widened(half, is_bfloat16: tl.constexpr):
    """uint32 bits of 16-bit values as float32."""
    if is_bfloat16:
        return (half << 16).to(tl.float32, bitcast=True)
    return half.to(tl.uint16).to(tl.float16, bitcast=True).to(tl.float32)


@triton.jit
def _rounded(value, random, is_bfloat16: tl.constexpr):
    """uint32 bits of float32 values as 16-bit ones, up or down by 16 random bits; the mean is the value itself."""
    bits = value.to(tl.uint32, bitcast=True)
    if is_bfloat16:
        return (bits + random) >> 16
    size, sign = bits & 0x7FFFFFFF, (bits >> 16) & 0x8000
    short = random & 0x1FFF
    normal = tl.minimum(((size + short) >> 13) - (112 << 10), 0x7C00)
    scaled = tl.minimum(size.to(tl.float32, bitcast=True), 1.0) * 16777216.0
    small = (scaled + short.to(tl.float32) * 0.0001220703125).to(tl.int32).to(tl.uint32)
    return tl.where(size >= 0x38800000, normal, small) | sign


@triton.jit(do_not_specialize=["first", "k0", "k1", "query"])
def _both_kernel(
    weights,
    rows,
    plus,
    minus,
    table,
    count,
    first,
    k0,
    k1,
    query,
    has_rows: tl.constexpr,
    has_plus: tl.constexpr,
    is_sign: tl.constexpr,
    num: tl.constexpr,
):
    """plus, minus = weights ± amplitude · z: `count` elements, or of each of the given rows of so many."""
    made = tl.program_id(1).to(tl.int64)
    row = made
    if has_rows:
        row = tl.load(rows + made)
    begin = first + row * count
    block = begin // _PER_BLOCK + tl.program_id(0).to(tl.int64) * num
    at = block * _PER_BLOCK - begin + tl.arange(0, num * _PER_BLOCK)
    inside = (at >= 0) & (at < count)
    moved = _amplitudes(block, table, k0.to(tl.int64), k1.to(tl.int64), query.to(tl.int64), is_sign, num)
    value = tl.load(weights + row * count + at, mask=inside).to(tl.float32)
    to = made * count + at
    if has_plus:
        tl.store(plus + to, (value + moved).to(plus.dtype.element_ty), mask=inside)
    tl.store(minus + to, (value - moved).to(minus.dtype.element_ty), mask=inside)


@triton.jit(do_not_specialize=["first", "num_updates"])
def _sweep_kernel(
    weights,
    keys,
    tables,
    count,
    first,
    num_updates,
    entries: tl.constexpr,
    is_bfloat16: tl.constexpr,
    is_short: tl.constexpr,
    num: tl.constexpr,
):
    """weights [count] += amplitude · z of all updates, in order; 16-bit weights come and go as their bits."""
    block = first // _PER_BLOCK + tl.program_id(0).to(tl.int64) * num
    at = block * _PER_BLOCK - first + tl.arange(0, num * _PER_BLOCK)
    inside = (at >= 0) & (at < count)
    held = tl.load(weights + at, mask=inside, other=0)
    if is_short:
        value = _widened(held.to(tl.uint32) & 0xFFFF, is_bfloat16)
    else:
        value = held
    for update in range(num_updates):
        k0, k1, query = tl.load(keys + 3 * update), tl.load(keys + 3 * update + 1), tl.load(keys + 3 * update + 2)
        value += _amplitudes(block, tables + entries * update, k0, k1, query, entries == 2, num)
        if is_short:
            random = _fields(block * 16, k0, k1, query, _ROUNDING_STREAM, num * 16)
            value = _widened(_rounded(value, random, is_bfloat16), is_bfloat16)
    if is_short:
        if is_bfloat16:
            tl.store(weights + at, (value.to(tl.uint32, bitcast=True) >> 16).to(tl.int16), mask=inside)
        else:
            tl.store(weights + at, value.to(tl.float16).to(tl.int16, bitcast=True), mask=inside)
    else:
        tl.store(weights + at, value, mask=inside)


def _grid(count: int, others: int = 1) -> tuple[int, int]:
    """Programs that cover `count` elements wherever they begin in a block."""
    return triton.cdiv(count + 127, 128 * _SIGN_BLOCKS), others


def _signed(word: int) -> int:
    """A 32-bit word as what always travels as an int32."""
    return word - ((word >> 31) << 32)


def both(
    weights: torch.Tensor,
    plus: torch.Tensor | None,
    minus: torch.Tensor,
    first: int,
    key: Key,
    table: NDArray[np.float32],
) -> None:
    """plus, minus [n] = weights [n] ± amplitude · z; or minus alone. `first` is the global index of weights[0]."""
    _launch(weights, None, plus, minus, (len(weights), 1), first, key, table)


def both_rows(
    weights: torch.Tensor, rows: torch.Tensor, out: torch.Tensor, first: int, key: Key, table: NDArray[np.float32]
) -> None:
    """out [2, N, H] = rows of weights [V, H] ± amplitude · z."""
    _launch(weights, rows, out[0], out[1], (weights.shape[1], len(rows)), first, key, table)


def _launch(
    weights: torch.Tensor,
    rows: torch.Tensor | None,
    plus: torch.Tensor | None,
    minus: torch.Tensor,
    shape: tuple[int, int],
    first: int,
    key: Key,
    table: NDArray[np.float32],
) -> None:
    if not all(shape):
        return
    _both_kernel[_grid(*shape)](
        weights,
        weights if rows is None else rows,
        minus if plus is None else plus,
        minus,
        torch.from_numpy(table).to(weights.device),
        shape[0],
        first,
        *map(_signed, key),
        has_rows=rows is not None,
        has_plus=plus is not None,
        is_sign=len(table) == 2,
        num=_SIGN_BLOCKS,
    )


def sweep(weights: torch.Tensor, first: int, keys: list[Key], tables: NDArray[np.float32]) -> None:
    """weights [n] += amplitude · z of all updates, in order."""
    if not len(weights):
        return
    is_short = weights.dtype != torch.float32
    held: Any = weights.view(torch.int16) if is_short else weights
    _sweep_kernel[_grid(len(weights))](
        held,
        torch.tensor(keys, dtype=torch.int64, device=weights.device),
        torch.from_numpy(tables).to(weights.device),
        len(weights),
        first,
        len(keys),
        entries=tables.shape[1],
        is_bfloat16=weights.dtype == torch.bfloat16,
        is_short=is_short,
        num=_SIGN_BLOCKS,
    )
