"""Runs numba kernels on the OpenMP threads that torch already has.

numba's own threads would be a second pool, and OpenMP's spin for a while after each region: on few cores the two fight.
So a kernel is compiled to a C function and handed to the OpenMP library that torch loaded; its threads take parts of
the work from a shared counter. Where that library is not GNU OpenMP (macOS, Windows), one thread does everything.
"""

# mypy: disable-error-code="untyped-decorator,no-untyped-def,no-untyped-call"

import ctypes
import sys
from collections.abc import Callable, Sequence
from itertools import chain
from typing import Any

import numba
import numpy as np
import torch  # loads its OpenMP library first
from llvmlite import ir
from numba import types
from numba.extending import intrinsic
from numpy.typing import NDArray

_SMALLEST_PART, _LARGEST_PART = 1 << 15, 1 << 19
_HEADER = 1  # the counter; then address and length of each array, then numbers


def _find_openmp() -> Any:
    if not sys.platform.startswith("linux") or "OpenMP" not in torch.__config__.parallel_info():
        return None
    try:
        parallel = ctypes.CDLL("libgomp.so.1").GOMP_parallel  # the one that is loaded: loaders match by this name
    except (OSError, AttributeError):
        return None
    parallel.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_uint, ctypes.c_uint]
    parallel.restype = None
    return parallel


_gomp_parallel = _find_openmp()


def shares_torch_threads() -> bool:
    """Whether kernels run on torch's threads; otherwise on the calling thread alone."""
    return _gomp_parallel is not None


def runs_on(num_threads: int) -> bool:
    """Whether a kernel that is to run on so many threads will."""
    return num_threads == 1 or shares_torch_threads()


Span = tuple[int, int]
"""Address and number of elements of a contiguous array."""


def span(array: NDArray[Any]) -> Span:
    """Where an array lies; it must outlive the use of this."""
    return array.ctypes.data, array.size


def part_elements(num_elements: int, num_threads: int) -> int:
    """What a thread takes at a time: long ways through memory are fast ones, short ones leave nobody waiting."""
    wanted = num_elements // (8 * num_threads)
    return max(_SMALLEST_PART, min(_LARGEST_PART, wanted - wanted % _SMALLEST_PART))


def run_on_torch_threads(address: int, num_threads: int, spans: Sequence[Span], *numbers: int) -> None:
    """Run a compiled task on that many threads over arrays and int64 numbers; returns when all parts are done."""
    job = (ctypes.c_int64 * (_HEADER + 2 * len(spans) + len(numbers)))(0, *chain(*spans), *numbers)
    if _gomp_parallel is None:
        ctypes.CFUNCTYPE(None, ctypes.c_void_p)(address)(ctypes.addressof(job))
    else:
        _gomp_parallel(address, job, num_threads, 0)


def compiled_task(function: Callable[[Any], None]) -> Any:
    """A C function of one pointer, cached on disk where a folder can be written."""
    signature = types.void(types.voidptr)
    try:
        return numba.cfunc(signature, cache=True)(function)
    except RuntimeError:
        return numba.cfunc(signature)(function)


@intrinsic
def _pointer(typing_context, address):
    """An integer as a pointer."""

    def build(context, builder, signature, arguments):
        return builder.inttoptr(arguments[0], context.get_value_type(types.voidptr))

    return types.voidptr(types.int64), build


@intrinsic
def take_part(typing_context, job):
    """The number of the next part, which nobody else gets."""

    def build(context, builder, signature, arguments):
        data = context.make_array(signature.args[0])(context, builder, arguments[0]).data
        return builder.atomic_rmw("add", data, ir.Constant(ir.IntType(64), 1), "monotonic")

    return types.int64(job), build


@numba.njit(inline="always")
def unpack(packed, num_arrays, num_numbers):
    """The job: a counter, the arrays, the numbers."""
    return numba.carray(packed, (_HEADER + 2 * num_arrays + num_numbers,), np.int64)


@numba.njit(inline="always")
def array_of(job, number, dtype):
    """One of the job's arrays, flat."""
    return numba.carray(_pointer(job[_HEADER + 2 * number]), (job[_HEADER + 2 * number + 1],), dtype)


@numba.njit(inline="always")
def number_of(job, number, num_arrays):
    """One of the job's numbers."""
    return job[_HEADER + 2 * num_arrays + number]
