"""Directions on the CPU, compiled by numba: tiles that stay in the first-level cache, one pass over memory.

Arrays are float32, or 16-bit as integers (`formats_numba`).
Everything is integer arithmetic, table look-ups and single IEEE additions: `directions_torch` gives the same bits.
"""

# mypy: disable-error-code="untyped-decorator,no-untyped-def,no-untyped-call,no-redef,call-arg"

import functools
from typing import Any

import numba
import numpy as np
from numba import types
from numba.extending import overload
from numpy.typing import NDArray

from learner.kernels.formats_numba import store_nearest, store_stochastic, widen
from learner.kernels.openmp import (
    array_of,
    compiled_task,
    number_of,
    part_elements,
    run_on_torch_threads,
    span,
    take_part,
    unpack,
)
from learner.kernels.philox import FIELDS, ROUNDING, Key
from learner.kernels.philox_numba import compiled, draw_fields, draw_signs
from learner.kernels.vectors_numba import spread, spread_both, spread_onto

_TILE_ELEMENTS = 2048
_LANES = _TILE_ELEMENTS // 8 + 16  # Philox blocks of a tile of 16-bit fields, and one more vector for a ragged start
_SERIAL_ELEMENTS = 1 << 16  # waking other threads costs more than this many elements
_U = np.uint64


@compiled
def _amplitudes(out, words, fields, first, num, k0, k1, query, table):
    """out[skip : skip+num] = amplitude of global elements first … first+num−1; returns skip.

    A table of 2 holds the amplitude of a 0 and of a 1 bit; one of 17, that of each popcount of a 16-bit field.
    """
    if len(table) == 2:
        for lane in range(draw_signs(words, first, num, k0, k1, query)):
            for word in range(4):
                spread(out, lane * 128 + word * 32, words[word, lane], table[0], table[1])
        return first % 128
    skip = draw_fields(fields, words, first, num, k0, k1, query, _U(FIELDS))
    unit = table[10]  # the amplitude of z = 1
    for j in range(skip, skip + num):
        x = fields[j]
        x = np.uint16(x - ((x >> np.uint16(1)) & np.uint16(0x5555)))
        x = np.uint16((x & np.uint16(0x3333)) + ((x >> np.uint16(2)) & np.uint16(0x3333)))
        x = np.uint16((x + (x >> np.uint16(4))) & np.uint16(0x0F0F))
        count = np.float32((x + (x >> np.uint16(8))) & np.uint16(0x1F))
        out[j] = unit * ((count - np.float32(8.0)) * np.float32(0.5))  # table[count]; one rounding, and it vectorises
    return skip


def _both_tile(weights, plus, minus, words, blocks, table):
    """Whole blocks of signs, in registers; False for types other than float32."""
    raise NotImplementedError


@overload(_both_tile)
def _both_tile_of(weights, plus, minus, words, blocks, table):
    if not weights.dtype == plus.dtype == minus.dtype == types.float32:
        return lambda weights, plus, minus, words, blocks, table: False

    def tile(weights, plus, minus, words, blocks, table):
        for lane in range(blocks):
            for word in range(4):
                start = lane * 128 + word * 32
                spread_both(weights, plus, minus, start, words[word, lane], table[0], table[1])
        return True

    return tile


def _sweep_tile(weights, words, blocks, table):
    """Whole blocks of signs, in registers; False for types other than float32."""
    raise NotImplementedError


@overload(_sweep_tile)
def _sweep_tile_of(weights, words, blocks, table):
    if weights.dtype != types.float32:
        return lambda weights, words, blocks, table: False

    def tile(weights, words, blocks, table):
        for lane in range(blocks):
            for word in range(4):
                spread_onto(weights, lane * 128 + word * 32, words[word, lane], table[0], table[1])
        return True

    return tile


@compiled
def _is_whole(first, num, table):
    """Whether a tile of signs is made of whole blocks."""
    return len(table) == 2 and first % 128 == 0 and num % 128 == 0


@compiled
def _both_range(weights, plus, minus, first, k0, k1, query, table):
    """plus, minus = weights ± amplitude · z, one draw for both; `first` is the global index of weights[0].

    An empty `plus` is left out.
    """
    words, fields = np.empty((4, _LANES), np.uint32), np.empty(8 * _LANES, np.uint16)
    buffer = np.empty(_TILE_ELEMENTS + 256, np.float32)
    is_float32, has_plus = weights.itemsize + plus.itemsize == 8, len(plus) > 0
    for start in range(0, len(weights), _TILE_ELEMENTS):
        num = min(_TILE_ELEMENTS, len(weights) - start)
        source, down = weights[start : start + num], minus[start : start + num]
        up = plus[start : start + num] if has_plus else down
        if is_float32 and _is_whole(first + start, num, table):
            blocks = draw_signs(words, first + start, num, k0, k1, query)
            _both_tile(source, up, down, words, blocks, table)
            continue
        skip = _amplitudes(buffer, words, fields, first + start, num, k0, k1, query, table)
        moved = buffer[skip : skip + num]
        if has_plus:
            for j in range(num):
                value = widen(source[j])
                store_nearest(up, j, value + moved[j])
                store_nearest(down, j, value - moved[j])
        else:
            for j in range(num):
                store_nearest(down, j, widen(source[j]) - moved[j])


@compiled
def _both_slots(weights, plus, minus, firsts, places, counts, base, k0, k1, query, table):
    """`_both_range` of many short spans of a flat buffer into a compact one."""
    for n in range(len(firsts)):
        at, place, count = firsts[n] - base, places[n], counts[n]
        _both_range(
            weights[at : at + count],
            plus[place : place + count],
            minus[place : place + count],
            firsts[n],
            k0,
            k1,
            query,
            table,
        )


@compiled
def _both_rows(weights, rows, plus, minus, first, k0, k1, query, table):
    """plus[n], minus[n] = the perturbed row rows[n] of a matrix."""
    width = weights.shape[1]
    for n in range(len(rows)):
        row = rows[n]
        _both_range(weights[row], plus[n], minus[n], first + row * width, k0, k1, query, table)


@compiled
def _sweep_range(weights, first, keys, tables):
    """weights += amplitude · z for each of S updates in order, tile by tile in cache. keys: uint64 [S, 3]."""
    words, fields = np.empty((4, _LANES), np.uint32), np.empty(8 * _LANES, np.uint16)
    buffer = np.empty(_TILE_ELEMENTS + 256, np.float32)
    is_short = weights.itemsize == 2
    for start in range(0, len(weights), _TILE_ELEMENTS):
        num = min(_TILE_ELEMENTS, len(weights) - start)
        tile = weights[start : start + num]
        for update in range(len(keys)):
            k0, k1, query = keys[update, 0], keys[update, 1], keys[update, 2]
            if not is_short and _is_whole(first + start, num, tables[update]):
                blocks = draw_signs(words, first + start, num, k0, k1, query)
                _sweep_tile(tile, words, blocks, tables[update])
                continue
            skip = _amplitudes(buffer, words, fields, first + start, num, k0, k1, query, tables[update])
            moved = buffer[skip : skip + num]
            if is_short:
                ragged = draw_fields(fields, words, first + start, num, k0, k1, query, _U(ROUNDING))
                random = fields[ragged : ragged + num]
                for j in range(num):
                    store_stochastic(tile, j, widen(tile[j]) + moved[j], np.uint32(random[j]))
            else:
                for j in range(num):
                    store_nearest(tile, j, widen(tile[j]) + moved[j])


Array = NDArray[Any]


def both(
    weights: Array, plus: Array | None, minus: Array, first: int, key: Key, table: NDArray[np.float32], num_threads: int
) -> None:
    """plus, minus [n] = weights [n] ± amplitude · z; or minus alone."""
    plus = minus[:0] if plus is None else plus
    if num_threads == 1 or len(weights) < _SERIAL_ELEMENTS:
        _both_range(weights, plus, minus, first, *map(_U, key), table)
    else:
        task = _both_task(numba.from_dtype(weights.dtype), numba.from_dtype(plus.dtype))
        spans = [span(array) for array in (weights, plus, minus, table)]
        part = part_elements(len(weights), num_threads)
        run_on_torch_threads(task.address, num_threads, spans, *key, first, part)


def both_slots(
    weights: Array,
    out: Array,
    spans: tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]],
    base: int,
    key: Key,
    table: NDArray[np.float32],
) -> None:
    """out [2, m] = the spans (global firsts, places in out, counts) of a flat buffer that begins at `base`."""
    _both_slots(weights, out[0], out[1], *spans, base, *map(_U, key), table)


def both_rows(
    weights: Array, rows: NDArray[np.int64], out: Array, first: int, key: Key, table: NDArray[np.float32]
) -> None:
    """out [2, N, H] = rows of weights [V, H] ± amplitude · z."""
    _both_rows(weights, rows, out[0], out[1], first, *map(_U, key), table)


def sweep(weights: Array, first: int, keys: NDArray[np.uint64], tables: NDArray[np.float32], num_threads: int) -> None:
    """weights [n] += amplitude · z of all updates, in order, in one pass over memory."""
    if num_threads == 1 or len(weights) < _SERIAL_ELEMENTS:
        _sweep_range(weights, first, keys, tables)
    else:
        task = _sweep_task(numba.from_dtype(weights.dtype))
        part = part_elements(len(weights), num_threads)
        run_on_torch_threads(task.address, num_threads, [span(array) for array in (weights, keys, tables)], first, part)


@functools.cache
def _both_task(stored: types.Type, made: types.Type) -> Any:
    """The parallel form of `_both_range` for two element types."""

    def run(packed):
        job = unpack(packed, 4, 5)
        weights, plus, minus = array_of(job, 0, stored), array_of(job, 1, made), array_of(job, 2, made)
        table = array_of(job, 3, types.float32)
        k0, k1, query = _U(number_of(job, 0, 4)), _U(number_of(job, 1, 4)), _U(number_of(job, 2, 4))
        first, part = number_of(job, 3, 4), number_of(job, 4, 4)
        while True:
            start = take_part(job) * part
            if start >= len(weights):
                break
            stop = min(start + part, len(weights))
            up, down = plus[start:stop], minus[start:stop]  # no `plus`, no `up`
            _both_range(weights[start:stop], up, down, first + start, k0, k1, query, table)

    return compiled_task(run)


@functools.cache
def _sweep_task(stored: types.Type) -> Any:
    """The parallel form of `_sweep_range`."""

    def run(packed):
        job = unpack(packed, 3, 2)
        weights, first, part = array_of(job, 0, stored), number_of(job, 0, 3), number_of(job, 1, 3)
        keys = array_of(job, 1, types.uint64)
        num_updates = len(keys) // 3
        keys = keys.reshape(num_updates, 3)
        tables = array_of(job, 2, types.float32)
        tables = tables.reshape(num_updates, len(tables) // num_updates)
        while True:
            start = take_part(job) * part
            if start >= len(weights):
                break
            stop = min(start + part, len(weights))
            _sweep_range(weights[start:stop], first + start, keys, tables)

    return compiled_task(run)
