"""Runs numba kernels on the OpenMP threads that torch already has.

numba's own threads would be a second pool, and OpenMP's spin for a while after each region: on few cores the two fight.
So a kernel is compiled to a C function and handed to the OpenMP library that torch loaded; its threads take parts of
the work from a shared counter. Where that library is not GNU OpenMP (macOS, Windows), one thread does everything.
"""

# mypy: disable-error-code="untyped-decorator,no-untyped-def,no-untyped-call"

import ctypes
import sys
from collections.abc import Callable
from typing import Any

import numba
import numpy as np
import torch  # loads its OpenMP library first
from llvmlite import ir
from numba import types
from numba.extending import intrinsic
from numpy.typing import NDArray

PART_ELEMENTS = 1 << 15
"""What a thread takes at a time."""
_HEADER = 1  # the counter; then address and length of each array


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


def run_on_torch_threads(address: int, num_threads: int, *arrays: NDArray[Any]) -> None:
    """Run a compiled task on that many threads over contiguous arrays; returns when all parts are done."""
    job = np.zeros(_HEADER + 2 * len(arrays), np.int64)
    job[1::2] = [array.ctypes.data for array in arrays]
    job[2::2] = [array.size for array in arrays]
    if _gomp_parallel is None:
        ctypes.CFUNCTYPE(None, ctypes.c_void_p)(address)(job.ctypes.data)
    else:
        _gomp_parallel(address, job.ctypes.data, num_threads, 0)


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
def unpack(packed, num_arrays):
    """The job's header."""
    return numba.carray(packed, (_HEADER + 2 * num_arrays,), np.int64)


@numba.njit(inline="always")
def array_of(job, number, dtype):
    """One of the job's arrays, flat."""
    return numba.carray(_pointer(job[_HEADER + 2 * number]), (job[_HEADER + 2 * number + 1],), dtype)
