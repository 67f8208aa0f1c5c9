"""Vector instructions that no loop becomes by itself, written in LLVM's own language for numba."""

# mypy: disable-error-code="untyped-decorator,no-untyped-def,no-untyped-call"

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

_NUMBER, _LANE, _FLOAT = ir.IntType(64), ir.IntType(32), ir.FloatType()
_SIGNS = ir.VectorType(_FLOAT, 32)


def everywhere(builder, value, vector):
    """One value in all lanes."""
    anything = ir.Constant(vector, ir.Undefined)
    zeros = ir.Constant(ir.VectorType(_LANE, vector.count), [0] * vector.count)
    return builder.shuffle_vector(builder.insert_element(anything, value, ir.Constant(_LANE, 0)), anything, zeros)


def _choose(builder, word, plus, minus):
    """32 floats: minus where a bit of the word is set, else plus; a masked move, which no loop becomes by itself."""
    mask = builder.bitcast(word, ir.VectorType(ir.IntType(1), 32))
    return builder.select(mask, everywhere(builder, minus, _SIGNS), everywhere(builder, plus, _SIGNS))


def _place(context, builder, kind, array, index):
    """Pointer to the 32 floats that begin at one element of an array."""
    element = builder.gep(context.make_array(kind)(context, builder, array).data, [index])
    return builder.bitcast(element, _SIGNS.as_pointer())


@intrinsic
def spread(typing_context, out, start, bits, plus, minus):
    """out[start : start+32] = minus where a bit is set, else plus."""
    signature = types.void(out, types.intp, types.uint32, types.float32, types.float32)

    def build(context, builder, signature, arguments):
        array, first, word, *values = arguments
        place = _place(context, builder, signature.args[0], array, first)
        builder.store(_choose(builder, word, *values), place, align=4)
        return context.get_dummy_value()

    return signature, build


@intrinsic
def spread_both(typing_context, source, up, down, start, bits, plus, minus):
    """`spread`, and at once up, down = source ± that, for float32 arrays."""
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
def spread_onto(typing_context, values, start, bits, plus, minus):
    """values[start : start+32] += `spread`, for a float32 array."""
    signature = types.void(values, types.intp, types.uint32, types.float32, types.float32)

    def build(context, builder, signature, arguments):
        array, first, word, *amplitudes = arguments
        place = _place(context, builder, signature.args[0], array, first)
        value, moved = builder.load(place, align=4), _choose(builder, word, *amplitudes)
        builder.store(builder.fadd(value, moved), place, align=4)
        return context.get_dummy_value()

    return signature, build


def int64(value):
    """An int64 constant."""
    return ir.Constant(_NUMBER, value)


def llvm_function(builder, name, result, arguments):
    """A function of LLVM's own, declared once in a module."""
    found = builder.module.globals.get(name)
    return found or ir.Function(builder.module, ir.FunctionType(result, arguments), name)


def float_at(builder, address, element):
    """Pointer to a float, some elements from an address."""
    return builder.gep(builder.inttoptr(address, _FLOAT.as_pointer()), [element])
