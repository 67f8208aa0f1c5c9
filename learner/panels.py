"""Matrices in the order of elements in which oneDNN multiplies them, for products with perturbed weights.

oneDNN copies a matrix that lies row by row into panels, for each product anew. A perturbed matrix is written anyway:
written as panels at once, it needs no copy, and a product with it is 5 % faster (20 % with few tokens).
"""

import ctypes
import functools
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

_SQUARE = 16  # the kernel moves so many rows and columns at a time
_ALIGNMENT_BYTES = 64
_EXACT_ELEMENTS = 1 << 24  # element numbers that float32 tells apart


@dataclass(frozen=True, slots=True)
class Panels:
    """A float32 matrix [num_rows, width] that lies in memory as [num_rows / panel_rows, width, panel_rows]."""

    matrix: torch.Tensor
    """for torch.ops.mkldnn: other functions do not know this order"""
    memory: torch.Tensor
    """[num_rows · width], its elements"""
    address: int
    """of `memory`, a multiple of 64 bytes"""
    panel_rows: int

    @classmethod
    def over(cls, memory: torch.Tensor, num_rows: int, width: int) -> "Panels | None":
        """That memory as a matrix; None where this torch and processor have no such order for its shape."""
        order = _order(num_rows, width)
        if order is None or memory.data_ptr() % _ALIGNMENT_BYTES:
            return None
        panel_rows, description = order
        matrix = _tensor_over(memory, (num_rows, width), description)
        return None if matrix is None else cls(matrix, memory, memory.data_ptr(), panel_rows)


@functools.cache
def _order(num_rows: int, width: int) -> tuple[int, torch.Tensor] | None:
    """Rows of a panel and oneDNN's description of the order, seen on a matrix of numbers."""
    count = num_rows * width
    if not 0 < count <= _EXACT_ELEMENTS or num_rows % _SQUARE or width % _SQUARE:
        return None
    numbers = torch.arange(count, dtype=torch.float32).view(num_rows, width)
    try:
        ordered = torch.ops.mkldnn._reorder_linear_weight(numbers)
        num_bytes, address = torch.ops.mkldnn._nbytes(ordered), torch.ops.mkldnn.data_ptr(ordered)
        description = torch.ops.mkldnn._get_mkldnn_serialized_md(ordered)
    except (AttributeError, RuntimeError):
        return None
    if num_bytes != numbers.nbytes:
        return None
    values: NDArray[np.float32]
    values = np.ctypeslib.as_array(ctypes.cast(address, ctypes.POINTER(ctypes.c_float)), (count,))
    panel_rows = int(np.argmin(values[: num_rows + 1] == width * np.arange(num_rows + 1)))  # rows before column 1
    if panel_rows == 0 or panel_rows % _SQUARE or num_rows % panel_rows:
        return None
    panels = numbers.view(num_rows // panel_rows, panel_rows, width).transpose(1, 2)
    return (panel_rows, description) if np.array_equal(values, panels.reshape(-1).numpy()) else None


@functools.cache
def _torch_library() -> Any:
    """The C interface that torch gives to compiled models; None where it is not to be had."""
    try:
        library = ctypes.CDLL(str(Path(torch.__file__).parent / "lib" / "libtorch_cpu.so"))
        make = library.aoti_torch_create_tensor_from_blob_v2
    except (OSError, AttributeError):
        return None
    number, pointer, code = ctypes.c_int64, ctypes.c_void_p, ctypes.c_int32
    make.argtypes = [pointer, number, pointer, pointer, number, code, code, code, pointer, code, pointer, number]
    make.restype = ctypes.c_int32
    return library


def _tensor_over(memory: torch.Tensor, shape: tuple[int, int], description: torch.Tensor) -> torch.Tensor | None:
    """A tensor in an order of oneDNN's on memory that must outlive it."""
    library = _torch_library()
    if library is None:
        return None
    sizes, strides = (ctypes.c_int64 * 2)(*shape), (ctypes.c_int64 * 2)(shape[1], 1)
    made = ctypes.c_void_p()
    failed = library.aoti_torch_create_tensor_from_blob_v2(
        memory.data_ptr(),
        len(shape),
        sizes,
        strides,
        0,
        library.aoti_torch_dtype_float32(),
        library.aoti_torch_device_type_cpu(),
        0,
        ctypes.byref(made),
        library.aoti_torch_layout__mkldnn(),
        description.data_ptr(),
        description.numel(),
    )
    if failed:
        return None
    capsule = ctypes.pythonapi.PyCapsule_New
    capsule.restype, capsule.argtypes = ctypes.py_object, [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_void_p]
    tensor: torch.Tensor = torch._C._aoti.alloc_tensor_by_stealing_from_void_ptr(capsule(made, None, None))
    return tensor
