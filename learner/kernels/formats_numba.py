"""Element types of weights, compiled by numba: widened exactly, rounded to nearest or, by random bits, up or down.

float32 arrays are themselves; bfloat16 travels as uint16 and float16 as int16, so that the type picks the conversion.
"""

# mypy: disable-error-code="untyped-decorator,no-untyped-def,no-untyped-call,no-redef,call-arg"

import numpy as np
from numba import types
from numba.extending import overload

from learner.kernels.philox_numba import inlined

_ONE = np.uint32(1)


@inlined
def _bits(value):
    return np.float32(value).view(np.uint32)


def widen(value):
    """Any stored value as float32, exactly."""
    raise NotImplementedError


@overload(widen)
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


def store_nearest(out, index, value):
    """out[index] = value, rounded to nearest even."""
    raise NotImplementedError


@overload(store_nearest)
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


def store_stochastic(out, index, value, random):
    """out[index] = value, rounded up or down by 16 random bits; the mean is the value itself."""
    raise NotImplementedError


@overload(store_stochastic)
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
