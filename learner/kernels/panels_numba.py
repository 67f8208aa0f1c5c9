"""Rows of W, perturbed or not, as panels [depth, rows] in a thread's own cache, compiled by numba."""

# mypy: disable-error-code="untyped-decorator,no-untyped-def,no-untyped-call"

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from learner.kernels.philox_numba import FIELD_BITS, compiled
from learner.kernels.vectors_numba import everywhere, float_at, int64, llvm_function

SQUARE = 16
"""Rows and columns that are transposed at a time; the depth of a product is a multiple of it."""
PLAIN, UP, BOTH = 0, 1, 2
"""What is added: nothing, +, or + for the first panel and − for the second."""
_AHEAD_ELEMENTS = 64  # many rows at once are more than hardware fetches ahead by itself

_LANE, _FLOAT, _NOTHING = ir.IntType(32), ir.FloatType(), ir.VoidType()
_ROW, _WORDS = ir.VectorType(_FLOAT, SQUARE), ir.VectorType(_LANE, SQUARE)


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
    fetch = llvm_function(builder, "llvm.prefetch.p0i8", _NOTHING, [byte, _LANE, _LANE, _LANE])
    read, keep, data = (ir.Constant(_LANE, value) for value in (0, 3, 1))
    builder.call(fetch, [builder.bitcast(pointer, byte), read, keep, data])


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
            step = builder.udiv(stride, int64(FIELD_BITS))
            rows, words = [], ir.Constant(_WORDS, ir.Undefined)
            for number in range(SQUARE):
                wanted = int64(number)
                row = builder.select(builder.icmp_signed("<", last, wanted), last, wanted)
                place = float_at(builder, weights, builder.mul(row, stride))
                rows.append(builder.load(builder.bitcast(place, _ROW.as_pointer()), align=4))
                _fetch(builder, builder.gep(place, [int64(_AHEAD_ELEMENTS)]))
                if way != PLAIN:
                    word = builder.load(builder.gep(signs, [builder.add(field, builder.mul(wanted, step))]))
                    words = builder.insert_element(words, builder.zext(word, _LANE), ir.Constant(_LANE, number))
            plus, minus = (everywhere(builder, value, _ROW) for value in (plus, minus))
            for number, value in enumerate(_transposed(builder, rows)):
                made = [value]
                if way != PLAIN:
                    bit = builder.and_(words, ir.Constant(_WORDS, [1 << number] * SQUARE))
                    mask = builder.icmp_unsigned("!=", bit, ir.Constant(_WORDS, [0] * SQUARE))
                    moved = builder.select(mask, minus, plus)
                    made = [builder.fadd(value, moved), builder.fsub(value, moved)]
                at = builder.mul(columns, int64(number))
                for panel, column in zip((up, down)[: max(1, way)], made, strict=False):
                    place = builder.bitcast(float_at(builder, panel, at), _ROW.as_pointer())
                    builder.store(column, place, align=4)
            return context.get_dummy_value()

        return signature, build

    return make


_plain_square, _up_square, _both_square = (_square(way) for way in (PLAIN, UP, BOTH))


@compiled
def make_panels(way, weights, stride, depth, rows, fields, field, up, down, columns, plus):
    """Panels [depth, columns] of `rows` rows of W, from an address on; columns past the rows repeat the last."""
    for r in range(0, columns, SQUARE):
        first = min(r, rows - 1)
        last = min(rows - 1 - first, SQUARE - 1) if first == r else 0
        for c in range(0, depth, SQUARE):
            source, sign = weights + 4 * (first * stride + c), field + (first * stride + c) // FIELD_BITS
            to, other = up + 4 * (c * columns + r), down + 4 * (c * columns + r)
            if way == BOTH:
                _both_square(source, stride, last, fields, sign, to, other, columns, plus, -plus)
            elif way == UP:
                _up_square(source, stride, last, fields, sign, to, other, columns, plus, -plus)
            else:
                _plain_square(source, stride, last, fields, sign, to, other, columns, plus, -plus)
