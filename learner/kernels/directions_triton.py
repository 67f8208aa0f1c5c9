"""Directions on CUDA, compiled by Triton: one pass over memory, the same bits as `directions_torch`.

Everything is integer arithmetic, table look-ups and single IEEE additions, and nothing is fused. Counters and streams
are those of `learner/kernels/philox.py`.
"""

# mypy: disable-error-code="untyped-decorator,no-untyped-def,no-untyped-call"

import functools
import sys
import warnings

import numpy as np
import torch
import triton
import triton.language as tl
from numpy.typing import NDArray
from triton.language.random import philox_impl

from learner.kernels import directions_torch
from learner.kernels.philox import FIELDS, ROUNDING, Key

_SIGN_BLOCKS = 16  # Philox blocks of 128 elements that one program makes
_MOST_ROWS = 65535  # programs of the second axis of a CUDA grid
_ROUNDING_STREAM, _FIELD_STREAM = tl.constexpr(ROUNDING), tl.constexpr(FIELDS)
_PER_BLOCK = tl.constexpr(128)
_FLOAT32, _BFLOAT16, _FLOAT16 = tl.constexpr(0), tl.constexpr(1), tl.constexpr(2)
_KINDS = {torch.float32: 0, torch.bfloat16: 1, torch.float16: 2}


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
def _loaded(place, inside, kind: tl.constexpr):
    """float32 values of stored ones."""
    held = tl.load(place, mask=inside, other=0)
    if kind == _FLOAT32:
        return held
    return _widened(held.to(tl.uint32) & 0xFFFF, kind)


@triton.jit
def _widened(half, kind: tl.constexpr):
    """uint32 bits of 16-bit values as float32."""
    if kind == _BFLOAT16:
        return (half << 16).to(tl.float32, bitcast=True)
    return half.to(tl.uint16).to(tl.float16, bitcast=True).to(tl.float32)


@triton.jit
def _store_nearest(place, value, inside, kind: tl.constexpr):
    """Store float32 values, rounded to nearest even."""
    if kind == _FLOAT32:
        tl.store(place, value, mask=inside)
    elif kind == _BFLOAT16:
        bits = value.to(tl.uint32, bitcast=True)
        tl.store(place, ((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16).to(tl.int16), mask=inside)
    else:
        tl.store(place, value.to(tl.float16).to(tl.int16, bitcast=True), mask=inside)


@triton.jit
def _rounded(value, random, kind: tl.constexpr):
    """uint32 bits of float32 values as 16-bit ones, up or down by 16 random bits; the mean is the value itself."""
    bits = value.to(tl.uint32, bitcast=True)
    if kind == _BFLOAT16:
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
    stored: tl.constexpr,
    made_as: tl.constexpr,
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
    value = _loaded(weights + row * count + at, inside, stored)
    to = made * count + at
    if has_plus:
        _store_nearest(plus + to, value + moved, inside, made_as)
    _store_nearest(minus + to, value - moved, inside, made_as)


@triton.jit(do_not_specialize=["first", "num_updates"])
def _sweep_kernel(
    weights,
    keys,
    tables,
    count,
    first,
    num_updates,
    entries: tl.constexpr,
    stored: tl.constexpr,
    num: tl.constexpr,
):
    """weights [count] += amplitude · z of all updates, in order."""
    block = first // _PER_BLOCK + tl.program_id(0).to(tl.int64) * num
    at = block * _PER_BLOCK - first + tl.arange(0, num * _PER_BLOCK)
    inside = (at >= 0) & (at < count)
    value = _loaded(weights + at, inside, stored)
    for update in range(num_updates):
        k0, k1, query = tl.load(keys + 3 * update), tl.load(keys + 3 * update + 1), tl.load(keys + 3 * update + 2)
        value += _amplitudes(block, tables + entries * update, k0, k1, query, entries == 2, num)
        if stored != _FLOAT32:
            random = _fields(block * 16, k0, k1, query, _ROUNDING_STREAM, num * 16)
            value = _widened(_rounded(value, random, stored), stored)
    _store_nearest(weights + at, value, inside, stored)  # exact by now


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
    for lo in range(0, len(rows), _MOST_ROWS):
        part, made = rows[lo : lo + _MOST_ROWS], out[:, lo : lo + _MOST_ROWS]
        _launch(weights, part, made[0], made[1], (weights.shape[1], len(part)), first, key, table)


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
    with torch.cuda.device_of(weights):  # Triton launches on the current device, wherever the tensors are
        _both_kernel[_grid(*shape)](
            _as_integers(weights),
            weights if rows is None else rows,
            _as_integers(minus if plus is None else plus),
            _as_integers(minus),
            _table_on(weights.device, table.tobytes()),
            shape[0],
            first,
            *map(_signed, key),
            has_rows=rows is not None,
            has_plus=plus is not None,
            is_sign=len(table) == 2,
            stored=_KINDS[weights.dtype],
            made_as=_KINDS[minus.dtype],
            num=_SIGN_BLOCKS,
            enable_fp_fusion=False,
        )


@functools.lru_cache(maxsize=64)
def _table_on(device: torch.device, table: bytes) -> torch.Tensor:
    """float32 amplitudes on a device; kept, because the copy makes Python wait for all kernels before it."""
    return torch.from_numpy(np.frombuffer(table, np.float32).copy()).to(device)


def sweep(weights: torch.Tensor, first: int, keys: list[Key], tables: NDArray[np.float32]) -> None:
    """weights [n] += amplitude · z of all updates, in order."""
    if not len(weights):
        return
    with torch.cuda.device_of(weights):
        _sweep_kernel[_grid(len(weights))](
            _as_integers(weights),
            torch.tensor(keys, dtype=torch.int64, device=weights.device),
            torch.from_numpy(tables).to(weights.device),
            len(weights),
            first,
            len(keys),
            entries=tables.shape[1],
            stored=_KINDS[weights.dtype],
            num=_SIGN_BLOCKS,
            enable_fp_fusion=False,
        )


@functools.cache
def works_on(device: torch.device) -> bool:
    """Whether the kernels compile and run there and give the bits of plain torch, on a short vector; else a warning.

    Triton needs a C compiler for its launchers. Other bits would part this host from the others without a word.
    """
    weights = torch.linspace(-1, 1, 300, device=device).to(torch.bfloat16)
    keys, tables = [(1, 2, 3), (4, 5, 6)], np.array([[1e-3, -1e-3], [-2e-3, 2e-3]], np.float32)
    try:
        made = []
        for way in (directions_torch, sys.modules[__name__]):
            updated, moved = weights.clone(), torch.empty((2, 300), device=device)
            way.sweep(updated, 77, keys, tables)
            way.both(updated, moved[0], moved[1], 77, keys[0], tables[0])
            made.append((updated.view(torch.int16), moved.view(torch.int32)))
        if all(map(torch.equal, *made)):
            return True
        reason = "their bits are not those of plain torch"
    except Exception as err:  # noqa: BLE001  whatever a compiler, driver or launcher raises
        reason = f"{type(err).__name__}: {str(err).strip().splitlines()[0] if str(err).strip() else 'no text'}"
    warnings.warn(
        f"Triton kernels do not work on {device} ({reason}); directions are made by plain torch, slower; "
        "install a C compiler, or the Triton that belongs to this torch",
        RuntimeWarning,
        stacklevel=2,
    )
    return False


def _as_integers(tensor: torch.Tensor) -> torch.Tensor:
    """16-bit values as their bits."""
    return tensor if tensor.dtype == torch.float32 else tensor.view(torch.int16)
