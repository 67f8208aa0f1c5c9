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

from learner.kernels.openmp import compiled_task, number_of, run_on_torch_threads, take_part, unpack
from learner.kernels.panels_numba import BOTH, PLAIN, SQUARE, make_panels
from learner.kernels.philox import SIGNS, Key
from learner.kernels.philox_numba import FIELD_BITS, draw_fields, fields_length, words_length
from learner.kernels.vectors_numba import everywhere, float_at, int64, llvm_function

DEPTH_MULTIPLE = SQUARE
"""Columns of W come in multiples of it, and so does the global index of its first element."""
_DEPTH = 768  # so much of a panel is made and used at a time
_UNROLLED = 2

_U = np.uint64
_NUMBER, _LANE, _FLOAT, _NOTHING = ir.IntType(64), ir.IntType(32), ir.FloatType(), ir.VoidType()


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
        fused = llvm_function(builder, f"llvm.fma.{name}", vector, [vector] * 3)
        load = llvm_function(builder, f"llvm.masked.load.{name}.p0{name}", vector, [pointer, _LANE, flags, vector])
        store = llvm_function(builder, f"llvm.masked.store.{name}.p0{name}", _NOTHING, [vector, pointer, _LANE, flags])
        align, zeros = ir.Constant(_LANE, 4), ir.Constant(vector, None)
        offsets = [n * tile.lanes for n in range(tile.vectors)]
        lane_numbers = [ir.Constant(numbers, [offset + lane for lane in range(tile.lanes)]) for offset in offsets]
        wanted = everywhere(builder, wanted, numbers)
        masks = [builder.icmp_signed("<", lane_number, wanted) for lane_number in lane_numbers]

        def rows_of(address, stride):
            return [float_at(builder, address, builder.mul(stride, int64(row))) for row in range(tile.rows)]

        def vectors_at(place):
            return [builder.bitcast(builder.gep(place, [int64(offset)]), pointer) for offset in offsets]

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
            at = builder.add(k, int64(ahead))
            terms = vectors_at(float_at(builder, panel, builder.mul(at, int64(tile.columns))))
            terms = [builder.load(term, align=4) for term in terms]
            for row, place in enumerate(factors):
                factor = everywhere(builder, builder.load(builder.gep(place, [at]), align=4), vector)
                made[row] = [
                    builder.call(fused, [factor, term, total]) for term, total in zip(terms, made[row], strict=True)
                ]
        following = builder.add(k, int64(_UNROLLED))
        k.add_incoming(int64(0), before)
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
            if way != PLAIN:
                field = (first + row * width) // FIELD_BITS
                skip = draw_fields(fields, words, field, wanted * width // FIELD_BITS, k0, k1, query, _U(SIGNS))
            for start in range(0, width, longest):
                depth = min(longest, width - start)
                source, field = weights + 4 * (row * width + start), skip + start // FIELD_BITS
                make_panels(way, source, width, depth, wanted, fields, field, up, down, columns, amplitude)
                for side in range(2 if x1 else 1):
                    x, y, bias = (x1, y1, b1) if side else (x0, y0, b0)
                    panel = down if side and way == BOTH else up
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
    way = PLAIN if amplitude == 0 else len(sides)
    (bits,) = struct.unpack("=i", struct.pack("=f", amplitude))
    a, b = sides[0], sides[1] if len(sides) == 2 else Side(0, 0, 0)
    num_pieces = math.ceil(width / _DEPTH)
    longest = math.ceil(width / (num_pieces * SQUARE)) * SQUARE
    numbers = (way, weights, a.x, b.x, a.y, b.y, a.bias, b.bias, num_inputs, width, num_rows, first, longest)
    task = _products_task(least_padded(tiles or host_tiles(), num_rows))
    run_on_torch_threads(task.address, num_threads, (), *numbers, *key, bits)
