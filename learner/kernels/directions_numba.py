"""Directions on the CPU, compiled by numba: tiles that stay in the first-level cache, one pass over memory.

float32 arrays are themselves; bfloat16 travels as uint16 and float16 as int16, so that the type picks the conversion.
Everything is integer arithmetic, table look-ups and single IEEE additions: `directions_torch` gives the same bits.
"""

# mypy: disable-error-code="untyped-decorator,no-untyped-def,no-untyped-call,no-redef,call-arg"

import functools
from collections.abc import Callable
from typing import Any, TypeVar

import numba
import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic, overload
from numpy.typing import NDArray

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

TILE_ELEMENTS = 2048
_LANES = TILE_ELEMENTS // 8 + 16  # Philox blocks of a tile of 16-bit fields, and one more vector for a ragged start
_VECTOR_BLOCKS = 16
_SERIAL_ELEMENTS = 1 << 16  # waking other threads costs more than this many elements
_U = np.uint64
_M0, _M1, _W0, _W1, _MASK32, _S32 = map(_U, (0xD2511F53, 0xCD9E8D57, 0x9E3779B9, 0xBB67AE85, 0xFFFFFFFF, 32))
_ONE = np.uint32(1)
SIGNS, _ROUNDING, _FIELDS = 0, 1, 2  # counter word 3: what the bits are for
FIELD_BITS = 16

_INDEX = ir.IntType(32)
_VECTOR = ir.VectorType(ir.FloatType(), 32)

F = TypeVar("F", bound=Callable[..., Any])


def compiled(function: F) -> F:
    """njit with a cache on disk, or without one where no folder can be written."""
    try:
        return numba.njit(cache=True, nogil=True)(function)
    except RuntimeError:
        return numba.njit(nogil=True)(function)


def _inlined(function: F) -> F:
    return numba.njit(inline="always")(function)


@_inlined
def _bits(value):
    return np.float32(value).view(np.uint32)


# ---- Philox4x32-10


@_inlined
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


def everywhere(builder, value, vector):
    """One value in all lanes."""
    anything = ir.Constant(vector, ir.Undefined)
    zeros = ir.Constant(ir.VectorType(_INDEX, vector.count), [0] * vector.count)
    return builder.shuffle_vector(builder.insert_element(anything, value, ir.Constant(_INDEX, 0)), anything, zeros)


def _choose(builder, word, plus, minus):
    """32 floats: minus where a bit of the word is set, else plus; a masked move, which no loop becomes by itself."""
    mask = builder.bitcast(word, ir.VectorType(ir.IntType(1), 32))
    return builder.select(mask, everywhere(builder, minus, _VECTOR), everywhere(builder, plus, _VECTOR))


def _place(context, builder, kind, array, index):
    """Pointer to the 32 floats that begin at one element of an array."""
    element = builder.gep(context.make_array(kind)(context, builder, array).data, [index])
    return builder.bitcast(element, _VECTOR.as_pointer())


@intrinsic
def _spread(typing_context, out, start, bits, plus, minus):
    """out[start : start+32] = minus where a bit is set, else plus."""
    signature = types.void(out, types.intp, types.uint32, types.float32, types.float32)

    def build(context, builder, signature, arguments):
        array, first, word, *values = arguments
        place = _place(context, builder, signature.args[0], array, first)
        builder.store(_choose(builder, word, *values), place, align=4)
        return context.get_dummy_value()

    return signature, build


@intrinsic
def _spread_both(typing_context, source, up, down, start, bits, plus, minus):
    """`_spread`, and at once up, down = source ± that, for float32 arrays."""
    signature = types.void(source, up, down, types.intp, types.uint32, types.float32, types.float32)

    def build(context, builder, signature, arguments):
        *arrays, first, word, one, other = arguments
        given, above, below = (
            _place(context, builder, kind, array, first) for kind, array in zip(signature.args[:3], arrays, strict=True)
        )
        value, moved = builder.load(given, align=4), _choose(builder, word, one, other)
        builder.store(builder.fadd(value, moved), above, align=4)
        builder.store(builder.fsub(value, moved), below, align=4)
        return context.get_dummy_value()

    return signature, build


@intrinsic
def _spread_onto(typing_context, values, start, bits, plus, minus):
    """values[start : start+32] += `_spread`, for a float32 array."""
    signature = types.void(values, types.intp, types.uint32, types.float32, types.float32)

    def build(context, builder, signature, arguments):
        array, first, word, *amplitudes = arguments
        place = _place(context, builder, signature.args[0], array, first)
        value, moved = builder.load(place, align=4), _choose(builder, word, *amplitudes)
        builder.store(builder.fadd(value, moved), place, align=4)
        return context.get_dummy_value()

    return signature, build


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
def _amplitudes(out, words, fields, first, num, k0, k1, query, table):
    """out[skip : skip+num] = amplitude of global elements first … first+num−1; returns skip.

    A table of 2 holds the amplitude of a 0 and of a 1 bit; one of 17, that of each popcount of a 16-bit field.
    """
    if len(table) == 2:
        block, skip = first // 128, first % 128
        blocks = (skip + num + 127) // 128
        padded = (blocks + _VECTOR_BLOCKS - 1) // _VECTOR_BLOCKS * _VECTOR_BLOCKS
        _draw(words, block, padded, k0, k1, query, _U(SIGNS))
        for lane in range(blocks):
            for word in range(4):
                _spread(out, lane * 128 + word * 32, words[word, lane], table[0], table[1])
        return skip
    skip = draw_fields(fields, words, first, num, k0, k1, query, _U(_FIELDS))
    unit = table[10]  # the amplitude of z = 1
    for j in range(skip, skip + num):
        x = fields[j]
        x = np.uint16(x - ((x >> np.uint16(1)) & np.uint16(0x5555)))
        x = np.uint16((x & np.uint16(0x3333)) + ((x >> np.uint16(2)) & np.uint16(0x3333)))
        x = np.uint16((x + (x >> np.uint16(4))) & np.uint16(0x0F0F))
        count = np.float32((x + (x >> np.uint16(8))) & np.uint16(0x1F))
        out[j] = unit * ((count - np.float32(8.0)) * np.float32(0.5))  # table[count]; one rounding, and it vectorises
    return skip


# ---- element types


def _widen(value):
    """Any stored value as float32, exactly."""
    raise NotImplementedError


@overload(_widen)
def _widen_of(value):
    if value == types.uint16:  # bfloat16
        return lambda value: np.uint32(np.uint32(value) << np.uint32(16)).view(np.float32)
    if value == types.int16:  # float16

        def widen(value):
            h = np.uint32(np.uint16(value))
            magnitude = np.uint32((h & np.uint32(0x7FFF)) << np.uint32(13)).view(np.float32) * np.float32(2.0**112)
            bits = _bits(magnitude)
            if (h & np.uint32(0x7C00)) == np.uint32(0x7C00):
                bits = bits | np.uint32(0x7F800000)
            return np.uint32(bits | ((h & np.uint32(0x8000)) << np.uint32(16))).view(np.float32)

        return widen
    return lambda value: value


def _store_nearest(out, index, value):
    """out[index] = value, rounded to nearest even."""
    raise NotImplementedError


@overload(_store_nearest)
def _store_nearest_of(out, index, value):
    if out.dtype == types.uint16:

        def store(out, index, value):
            bits = _bits(value)
            bits = np.uint32(bits + np.uint32(0x7FFF) + ((bits >> np.uint32(16)) & _ONE))
            out[index] = np.uint16(bits >> np.uint32(16))

        return store
    if out.dtype == types.int16:

        def store(out, index, value):
            bits = _bits(value)
            size = bits & np.uint32(0x7FFFFFFF)
            sign = (bits >> np.uint32(16)) & np.uint32(0x8000)
            normal = np.uint32(np.uint32(size + np.uint32(0xFFF) + ((size >> np.uint32(13)) & _ONE)) >> np.uint32(13))
            normal = min(np.uint32(normal - np.uint32(112 << 10)), np.uint32(0x7C00))
            scaled = np.uint32(size).view(np.float32) * np.float32(2.0**24)
            small = np.uint32(_bits(scaled + np.float32(2.0**23)) - np.uint32(0x4B000000))
            half = normal if size >= np.uint32(0x38800000) else small
            out[index] = np.int16(np.uint16(half | sign))

        return store

    def store(out, index, value):
        out[index] = value

    return store


def _store_stochastic(out, index, value, random):
    """out[index] = value, rounded up or down by 16 random bits; the mean is the value itself."""
    raise NotImplementedError


@overload(_store_stochastic)
def _store_stochastic_of(out, index, value, random):
    if out.dtype == types.uint16:

        def store(out, index, value, random):
            out[index] = np.uint16(np.uint32(_bits(value) + random) >> np.uint32(16))

        return store
    if out.dtype == types.int16:

        def store(out, index, value, random):
            bits = _bits(value)
            size = bits & np.uint32(0x7FFFFFFF)
            sign = (bits >> np.uint32(16)) & np.uint32(0x8000)
            short = np.uint32(random & np.uint32(0x1FFF))
            normal = np.uint32(np.uint32(size + short) >> np.uint32(13))
            normal = min(np.uint32(normal - np.uint32(112 << 10)), np.uint32(0x7C00))
            scaled = min(np.uint32(size).view(np.float32), np.float32(1.0)) * np.float32(2.0**24)
            small = np.uint32(np.int32(scaled + np.float32(short) * np.float32(2.0**-13)))
            half = normal if size >= np.uint32(0x38800000) else small
            out[index] = np.int16(np.uint16(half | sign))

        return store

    def store(out, index, value, random):
        out[index] = value

    return store


# ---- what a step needs


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
                _spread_both(weights, plus, minus, start, words[word, lane], table[0], table[1])
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
                _spread_onto(weights, lane * 128 + word * 32, words[word, lane], table[0], table[1])
        return True

    return tile


@compiled
def _is_whole(first, num, table):
    """Whether a tile of signs is made of whole blocks."""
    return len(table) == 2 and first % 128 == 0 and num % 128 == 0


@compiled
def _draw_signs(words, first, num, k0, k1, query):
    """The words of whole blocks of signs; returns their number."""
    blocks = num // 128
    padded = (blocks + _VECTOR_BLOCKS - 1) // _VECTOR_BLOCKS * _VECTOR_BLOCKS
    _draw(words, first // 128, padded, k0, k1, query, _U(SIGNS))
    return blocks


@compiled
def _both_range(weights, plus, minus, first, k0, k1, query, table):
    """plus, minus = weights ± amplitude · z, one draw for both; `first` is the global index of weights[0].

    An empty `plus` is left out.
    """
    words, fields = np.empty((4, _LANES), np.uint32), np.empty(8 * _LANES, np.uint16)
    buffer = np.empty(TILE_ELEMENTS + 256, np.float32)
    is_float32, has_plus = weights.itemsize + plus.itemsize == 8, len(plus) > 0
    for start in range(0, len(weights), TILE_ELEMENTS):
        num = min(TILE_ELEMENTS, len(weights) - start)
        source, down = weights[start : start + num], minus[start : start + num]
        up = plus[start : start + num] if has_plus else down
        if is_float32 and _is_whole(first + start, num, table):
            blocks = _draw_signs(words, first + start, num, k0, k1, query)
            _both_tile(source, up, down, words, blocks, table)
            continue
        skip = _amplitudes(buffer, words, fields, first + start, num, k0, k1, query, table)
        moved = buffer[skip : skip + num]
        if has_plus:
            for j in range(num):
                value = _widen(source[j])
                _store_nearest(up, j, value + moved[j])
                _store_nearest(down, j, value - moved[j])
        else:
            for j in range(num):
                _store_nearest(down, j, _widen(source[j]) - moved[j])


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
    buffer = np.empty(TILE_ELEMENTS + 256, np.float32)
    is_short = weights.itemsize == 2
    for start in range(0, len(weights), TILE_ELEMENTS):
        num = min(TILE_ELEMENTS, len(weights) - start)
        tile = weights[start : start + num]
        for update in range(len(keys)):
            k0, k1, query = keys[update, 0], keys[update, 1], keys[update, 2]
            if not is_short and _is_whole(first + start, num, tables[update]):
                blocks = _draw_signs(words, first + start, num, k0, k1, query)
                _sweep_tile(tile, words, blocks, tables[update])
                continue
            skip = _amplitudes(buffer, words, fields, first + start, num, k0, k1, query, tables[update])
            moved = buffer[skip : skip + num]
            if is_short:
                ragged = draw_fields(fields, words, first + start, num, k0, k1, query, _U(_ROUNDING))
                random = fields[ragged : ragged + num]
                for j in range(num):
                    _store_stochastic(tile, j, _widen(tile[j]) + moved[j], np.uint32(random[j]))
            else:
                for j in range(num):
                    _store_nearest(tile, j, _widen(tile[j]) + moved[j])


Array = NDArray[Any]
Key = tuple[int, int, int]
"""Seed low, seed high, query."""


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
