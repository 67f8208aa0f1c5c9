"""Products with perturbed matrices on the CPU, compiled by numba: y = x (W ± μz)ᵀ + b; no perturbed matrix is stored.

A thread takes a few rows of W at a time, writes pieces of them, perturbed, as panels [depth, rows] into its own cache,
and multiplies all of x by each panel there. An element of y is summed up in the order of its terms, from the bias on,
with fused multiply-add: its bits depend on neither threads nor vector length nor the other rows of x.
"""

# mypy: disable-error-code="untyped-decorator,no-untyped-def,no-untyped-call"

import functools
import math
import struct
from collections.abc import Sequence
from itertools import chain
from typing import Any, NamedTuple

import numpy as np
from llvmlite import binding, ir
from numba import types
from numba.extending import intrinsic

from learner.kernels.directions_numba import (
    FIELD_BITS,
    SIGNS,
    Key,
    compiled,
    draw_fields,
    everywhere,
    fields_length,
    words_length,
)
from learner.kernels.openmp import compiled_task, number_of, run_on_torch_threads, take_part, unpack

SQUARE = 16
"""Rows and columns that are transposed at a time; the depth of a product is a multiple of it."""
_DEPTH = 768  # so much of a panel is made and used at a time
_AHEAD_ELEMENTS = 64  # many rows at once are more than hardware fetches ahead by itself
_UNROLLED = 2
_PLAIN, _UP, _BOTH = 0, 1, 2  # what is added: nothing, +, or + for the first x and − for the second

_U = np.uint64
_NUMBER, _LANE = ir.IntType(64), ir.IntType(32)
_FLOAT, _NOTHING = ir.FloatType(), ir.VoidType()
_ROW, _WORDS = ir.VectorType(_FLOAT, SQUARE), ir.VectorType(_LANE, SQUARE)


class Tile(NamedTuple):
    """Sums that the registers of a processor hold: rows of x times vectors of panel rows."""

    lanes: int
    vectors: int
    rows: int

    @property
    def columns(self) -> int:
        """Rows of W in a panel."""
        return self.lanes * self.vectors


@functools.cache
def host_tiles() -> tuple[Tile, ...]:
    """For this processor, the best one first; none if it lacks fused multiply-add on vectors."""
    features = binding.get_host_cpu_features()
    if features.get("avx512f"):
        return Tile(16, 4, 6), Tile(16, 3, 8)
    if features.get("avx2") and features.get("fma"):
        return (Tile(8, 2, 6),)
    if binding.get_process_triple().startswith(("aarch64", "arm64")):
        return (Tile(4, 4, 6),)
    return ()


def least_padded(tiles: Sequence[Tile], num_rows: int) -> Tile:
    """The one whose panels make fewest columns that nobody wants."""
    return min(tiles, key=lambda tile: -num_rows % tile.columns)


# ---- vectors


def _constant(value):
    return ir.Constant(_NUMBER, value)


def _function(builder, name, result, arguments):
    """A function of LLVM's own, declared once in a module."""
    found = builder.module.globals.get(name)
    return found or ir.Function(builder.module, ir.FunctionType(result, arguments), name)


def _float_at(builder, address, element):
    """Pointer to a float, some elements from an address."""
    return builder.gep(builder.inttoptr(address, _FLOAT.as_pointer()), [element])


def _transposed(builder, rows):
    """16 vectors of 16, rows become columns: four times, the first half and the second are interleaved."""
    half = SQUARE // 2
    low, high = (
        ir.Constant(_WORDS, [lane for n in range(half) for lane in (start + n, start + n + SQUARE)])
        for start in (0, half)
    )
    for _ in range(4):
        rows = [builder.shuffle_vector(rows[n], rows[n + half], lanes) for n in range(half) for lanes in (low, high)]
    return rows


def _fetch(builder, pointer):
    """Ask memory for what lies there; an address out of bounds does no harm."""
    byte = ir.IntType(8).as_pointer()
    fetch = _function(builder, "llvm.prefetch.p0i8", _NOTHING, [byte, _LANE, _LANE, _LANE])
    read, keep, data = (ir.Constant(_LANE, value) for value in (0, 3, 1))
    builder.call(fetch, [builder.bitcast(pointer, byte), read, keep, data])


# ---- panels


def _square(way):
    """An intrinsic: a square of W into a square of a panel, or of two; rows past `last` repeat it.

    weights, up, down: addresses. fields[field + r · stride / 16]: the signs of its row r.
    """

    @intrinsic
    def make(typing_context, weights, stride, last, fields, field, up, down, columns, plus, minus):
        signature = types.void(*[types.int64] * 3, fields, *[types.int64] * 4, *[types.float32] * 2)

        def build(context, builder, signature, arguments):
            weights, stride, last, fields, field, up, down, columns, plus, minus = arguments
            signs = context.make_array(signature.args[3])(context, builder, fields).data
            step = builder.udiv(stride, _constant(FIELD_BITS))
            rows, words = [], ir.Constant(_WORDS, ir.Undefined)
            for number in range(SQUARE):
                wanted = _constant(number)
                row = builder.select(builder.icmp_signed("<", last, wanted), last, wanted)
                place = _float_at(builder, weights, builder.mul(row, stride))
                rows.append(builder.load(builder.bitcast(place, _ROW.as_pointer()), align=4))
                _fetch(builder, builder.gep(place, [_constant(_AHEAD_ELEMENTS)]))
                if way != _PLAIN:
                    word = builder.load(builder.gep(signs, [builder.add(field, builder.mul(wanted, step))]))
                    words = builder.insert_element(words, builder.zext(word, _LANE), ir.Constant(_LANE, number))
            plus, minus = (everywhere(builder, value, _ROW) for value in (plus, minus))
            for number, value in enumerate(_transposed(builder, rows)):
                made = [value]
                if way != _PLAIN:
                    bit = builder.and_(words, ir.Constant(_WORDS, [1 << number] * SQUARE))
                    mask = builder.icmp_unsigned("!=", bit, ir.Constant(_WORDS, [0] * SQUARE))
                    moved = builder.select(mask, minus, plus)
                    made = [builder.fadd(value, moved), builder.fsub(value, moved)]
                at = builder.mul(columns, _constant(number))
                for panel, column in zip((up, down)[: max(1, way)], made, strict=False):
                    place = builder.bitcast(_float_at(builder, panel, at), _ROW.as_pointer())
                    builder.store(column, place, align=4)
            return context.get_dummy_value()

        return signature, build

    return make


_plain_square, _up_square, _both_square = (_square(way) for way in (_PLAIN, _UP, _BOTH))


@compiled
def _make_panels(way, weights, stride, depth, rows, fields, field, up, down, columns, plus):
    """Panels [depth, columns] of `rows` rows of W, from an address on; columns past the rows repeat the last."""
    for r in range(0, columns, SQUARE):
        first = min(r, rows - 1)
        last = min(rows - 1 - first, SQUARE - 1) if first == r else 0
        for c in range(0, depth, SQUARE):
            source, sign = weights + 4 * (first * stride + c), field + (first * stride + c) // FIELD_BITS
            to, other = up + 4 * (c * columns + r), down + 4 * (c * columns + r)
            if way == _BOTH:
                _both_square(source, stride, last, fields, sign, to, other, columns, plus, -plus)
            elif way == _UP:
                _up_square(source, stride, last, fields, sign, to, other, columns, plus, -plus)
            else:
                _plain_square(source, stride, last, fields, sign, to, other, columns, plus, -plus)


# ---- products


@intrinsic(prefer_literal=True)
def _multiply_tile(typing_context, lanes, vectors, rows, x, panel, begin, y, strides, depth, wanted):
    """y [rows, columns] = begin + x [rows, depth] · panel [depth, columns], all by address; columns: lanes · vectors.

    Row r of x, begin and y lies r times their stride further. Only `wanted` columns are read from begin and written.
    lanes, vectors, rows: compile-time constants, as many sums as registers hold.
    """
    if not isinstance(lanes, types.IntegerLiteral):
        return None
    tile = Tile(lanes.literal_value, vectors.literal_value, rows.literal_value)
    signature = types.void(lanes, vectors, rows, *[types.int64] * 4, strides, *[types.int64] * 2)
    vector, numbers = ir.VectorType(_FLOAT, tile.lanes), ir.VectorType(_NUMBER, tile.lanes)
    flags, pointer = ir.VectorType(ir.IntType(1), tile.lanes), vector.as_pointer()

    def build(context, builder, signature, arguments):
        x, panel, begin, y, strides, depth, wanted = arguments[3:]
        x_stride, begin_stride, y_stride = (builder.extract_value(strides, n) for n in range(3))
        name = f"v{tile.lanes}f32"
        fused = _function(builder, f"llvm.fma.{name}", vector, [vector] * 3)
        load = _function(builder, f"llvm.masked.load.{name}.p0{name}", vector, [pointer, _LANE, flags, vector])
        store = _function(builder, f"llvm.masked.store.{name}.p0{name}", _NOTHING, [vector, pointer, _LANE, flags])
        align, zeros = ir.Constant(_LANE, 4), ir.Constant(vector, None)
        offsets = [n * tile.lanes for n in range(tile.vectors)]
        lane_numbers = [ir.Constant(numbers, [offset + lane for lane in range(tile.lanes)]) for offset in offsets]
        wanted = everywhere(builder, wanted, numbers)
        masks = [builder.icmp_signed("<", lane_number, wanted) for lane_number in lane_numbers]

        def rows_of(address, stride):
            return [_float_at(builder, address, builder.mul(stride, _constant(row))) for row in range(tile.rows)]

        def vectors_at(place):
            return [builder.bitcast(builder.gep(place, [_constant(offset)]), pointer) for offset in offsets]

        factors = rows_of(x, x_stride)
        begun = [
            [builder.call(load, [at, align, mask, zeros]) for at, mask in zip(vectors_at(place), masks, strict=True)]
            for place in rows_of(begin, begin_stride)
        ]
        before, loop, after = builder.block, builder.append_basic_block(), builder.append_basic_block()
        builder.branch(loop)
        builder.position_at_end(loop)
        k = builder.phi(_NUMBER)
        sums = [[builder.phi(vector) for _ in offsets] for _ in factors]
        made = list(sums)
        for ahead in range(_UNROLLED):
            at = builder.add(k, _constant(ahead))
            terms = vectors_at(_float_at(builder, panel, builder.mul(at, _constant(tile.columns))))
            terms = [builder.load(term, align=4) for term in terms]
            for row, place in enumerate(factors):
                factor = everywhere(builder, builder.load(builder.gep(place, [at]), align=4), vector)
                made[row] = [
                    builder.call(fused, [factor, term, total]) for term, total in zip(terms, made[row], strict=True)
                ]
        following = builder.add(k, _constant(_UNROLLED))
        k.add_incoming(_constant(0), before)
        k.add_incoming(following, loop)
        for phi, first, later in zip(*(chain.from_iterable(values) for values in (sums, begun, made)), strict=True):
            phi.add_incoming(first, before)
            phi.add_incoming(later, loop)
        builder.cbranch(builder.icmp_signed("<", following, depth), loop, after)
        builder.position_at_end(after)
        for place, values in zip(rows_of(y, y_stride), made, strict=True):
            for at, value, mask in zip(vectors_at(place), values, masks, strict=True):
                builder.call(store, [value, at, align, mask])
        return context.get_dummy_value()

    return signature, build


@functools.cache
def _products_task(tile: Tile) -> Any:
    """Panel by panel of W, the products of one call of `multiply`."""
    lanes, vectors, rows = tile
    columns = tile.columns

    def run(packed):
        job = unpack(packed, 0, 17)
        way, weights, x0, x1 = number_of(job, 0, 0), number_of(job, 1, 0), number_of(job, 2, 0), number_of(job, 3, 0)
        y0, y1, b0, b1 = number_of(job, 4, 0), number_of(job, 5, 0), number_of(job, 6, 0), number_of(job, 7, 0)
        num_inputs, width, num_rows = number_of(job, 8, 0), number_of(job, 9, 0), number_of(job, 10, 0)
        first, longest = number_of(job, 11, 0), number_of(job, 12, 0)
        k0, k1, query = _U(number_of(job, 13, 0)), _U(number_of(job, 14, 0)), _U(number_of(job, 15, 0))
        amplitude = np.int32(number_of(job, 16, 0)).view(np.float32)
        words = np.empty((4, words_length(columns * width)), np.uint32)
        fields = np.empty(fields_length(columns * width), np.uint16)
        zeros = np.zeros(columns, np.float32)
        memory = np.empty(2 * longest * columns + 16, np.float32)
        up = (memory.ctypes.data + 63) // 64 * 64
        down = up + 4 * longest * columns
        while True:
            row = take_part(job) * columns
            if row >= num_rows:
                break
            wanted, skip = min(columns, num_rows - row), 0
            if way != _PLAIN:
                field = (first + row * width) // FIELD_BITS
                skip = draw_fields(fields, words, field, wanted * width // FIELD_BITS, k0, k1, query, _U(SIGNS))
            for start in range(0, width, longest):
                depth = min(longest, width - start)
                source, field = weights + 4 * (row * width + start), skip + start // FIELD_BITS
                _make_panels(way, source, width, depth, wanted, fields, field, up, down, columns, amplitude)
                for side in range(2 if x1 else 1):
                    x, y, bias = (x1, y1, b1) if side else (x0, y0, b0)
                    panel = down if side and way == _BOTH else up
                    n = 0
                    while n < num_inputs:
                        at, to = x + 4 * (n * width + start), y + 4 * (n * num_rows + row)
                        of, stride = zeros.ctypes.data, 0
                        if start:
                            of, stride = to, num_rows
                        elif bias:
                            of = bias + 4 * row
                        left, strides = num_inputs - n, (width, stride, num_rows)
                        if left >= rows:
                            _multiply_tile(lanes, vectors, rows, at, panel, of, to, strides, depth, wanted)
                            n += rows
                        elif left >= 2:
                            _multiply_tile(lanes, vectors, 2, at, panel, of, to, strides, depth, wanted)
                            n += 2
                        else:
                            _multiply_tile(lanes, vectors, 1, at, panel, of, to, strides, depth, wanted)
                            n += 1

    return compiled_task(run)


class Side(NamedTuple):
    """Addresses of one product's x [num_inputs, width], y [num_inputs, num_rows] and bias, 0 if it has none."""

    x: int
    y: int
    bias: int


def multiply(
    weights: int,
    sides: Sequence[Side],
    shape: tuple[int, int, int],
    *,
    first: int,
    key: Key,
    amplitude: float,
    num_threads: int,
    tiles: Sequence[Tile] | None = None,
) -> None:
    """y = x (W + amplitude · z)ᵀ + b for the first side, and − for the second; float32, z: signs.

    weights: address of W [num_rows, width]; shape: num_inputs, width, num_rows; amplitude 0: W itself.
    width: a multiple of 16, `first`, too. tiles: to choose from, `host_tiles` by default.
    """
    num_inputs, width, num_rows = shape
    way = _PLAIN if amplitude == 0 else len(sides)
    (bits,) = struct.unpack("=i", struct.pack("=f", amplitude))
    a, b = sides[0], sides[1] if len(sides) == 2 else Side(0, 0, 0)
    num_pieces = math.ceil(width / _DEPTH)
    longest = math.ceil(width / (num_pieces * SQUARE)) * SQUARE
    numbers = (way, weights, a.x, b.x, a.y, b.y, a.bias, b.bias, num_inputs, width, num_rows, first, longest)
    task = _products_task(least_padded(tiles or host_tiles(), num_rows))
    run_on_torch_threads(task.address, num_threads, (), *numbers, *key, bits)
