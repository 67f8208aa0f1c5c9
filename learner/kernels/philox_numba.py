"""Philox4x32-10 compiled by numba, many blocks at a time, and how functions are compiled.

numba keeps machine code on disk and looks for changes only in the file of each function: whoever edits this file, or
another one that kernels of other files call, removes `__pycache__`.
"""

# mypy: disable-error-code="untyped-decorator,no-untyped-def,no-untyped-call"

from collections.abc import Callable
from typing import Any, TypeVar

import numba
import numpy as np

from learner.kernels.philox import SIGNS

_VECTOR_BLOCKS = 16
_U = np.uint64
_M0, _M1, _W0, _W1, _MASK32, _S32 = map(_U, (0xD2511F53, 0xCD9E8D57, 0x9E3779B9, 0xBB67AE85, 0xFFFFFFFF, 32))
FIELD_BITS = 16
"""What one element takes of a block that is not for signs."""

F = TypeVar("F", bound=Callable[..., Any])


def compiled(function: F) -> F:
    """njit with a cache on disk, or without one where no folder can be written."""
    try:
        return numba.njit(cache=True, nogil=True)(function)
    except RuntimeError:
        return numba.njit(nogil=True)(function)


def inlined(function: F) -> F:
    """njit that becomes part of its callers."""
    return numba.njit(inline="always")(function)


@inlined
def _round(c0, c1, c2, c3, k0, k1):
    p0 = c0 * _M0
    p1 = c2 * _M1
    return (p1 >> _S32) ^ c1 ^ k0, p1 & _MASK32, (p0 >> _S32) ^ c3 ^ k1, p0 & _MASK32


@compiled
def _draw(words, block, num, k0, k1, query, stream):
    """words[:, :num] = Philox of blocks block … block+num−1; 64-bit lanes, so that products vectorise."""
    w0, w1, w2, w3 = words[0], words[1], words[2], words[3]
    for lane in range(num):
        number = _U(block) + _U(lane)
        c0, c1, c2, c3 = number & _MASK32, number >> _S32, query, stream
        a, b = k0, k1
        c0, c1, c2, c3 = _round(c0, c1, c2, c3, a, b)
        a, b = (a + _W0) & _MASK32, (b + _W1) & _MASK32
        c0, c1, c2, c3 = _round(c0, c1, c2, c3, a, b)
        a, b = (a + _W0) & _MASK32, (b + _W1) & _MASK32
        c0, c1, c2, c3 = _round(c0, c1, c2, c3, a, b)
        a, b = (a + _W0) & _MASK32, (b + _W1) & _MASK32
        c0, c1, c2, c3 = _round(c0, c1, c2, c3, a, b)
        a, b = (a + _W0) & _MASK32, (b + _W1) & _MASK32
        c0, c1, c2, c3 = _round(c0, c1, c2, c3, a, b)
        a, b = (a + _W0) & _MASK32, (b + _W1) & _MASK32
        c0, c1, c2, c3 = _round(c0, c1, c2, c3, a, b)
        a, b = (a + _W0) & _MASK32, (b + _W1) & _MASK32
        c0, c1, c2, c3 = _round(c0, c1, c2, c3, a, b)
        a, b = (a + _W0) & _MASK32, (b + _W1) & _MASK32
        c0, c1, c2, c3 = _round(c0, c1, c2, c3, a, b)
        a, b = (a + _W0) & _MASK32, (b + _W1) & _MASK32
        c0, c1, c2, c3 = _round(c0, c1, c2, c3, a, b)
        a, b = (a + _W0) & _MASK32, (b + _W1) & _MASK32
        c0, c1, c2, c3 = _round(c0, c1, c2, c3, a, b)
        w0[lane], w1[lane], w2[lane], w3[lane] = c0, c1, c2, c3


@compiled
def words_length(num_elements):
    """Columns of `words` that so many fields of signs need."""
    return num_elements // 128 + 2 + _VECTOR_BLOCKS


@compiled
def fields_length(num_elements):
    """Length of `fields`, likewise."""
    return 8 * words_length(num_elements)


@compiled
def draw_fields(fields, words, first, num, k0, k1, query, stream):
    """fields[skip : skip+num] = 16 random bits of each global element from `first` on; returns skip."""
    block, skip = first // 8, first % 8
    blocks = (skip + num + 7) // 8
    _draw(words, block, (blocks + _VECTOR_BLOCKS - 1) // _VECTOR_BLOCKS * _VECTOR_BLOCKS, k0, k1, query, stream)
    for word in range(4):
        row = words[word]
        for lane in range(blocks):
            fields[lane * 8 + 2 * word] = np.uint16(row[lane])
            fields[lane * 8 + 2 * word + 1] = np.uint16(row[lane] >> np.uint32(16))
    return skip


@compiled
def draw_signs(words, first, num, k0, k1, query):
    """The words of all blocks that hold signs of global elements first … first+num−1; returns their number."""
    blocks = (first % 128 + num + 127) // 128
    padded = (blocks + _VECTOR_BLOCKS - 1) // _VECTOR_BLOCKS * _VECTOR_BLOCKS
    _draw(words, first // 128, padded, k0, k1, query, _U(SIGNS))
    return blocks
