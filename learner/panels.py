"""Matrices in the order of elements in which oneDNN multiplies them, for products with perturbed weights.

oneDNN copies a matrix that lies row by row into panels, for each product anew. A perturbed matrix is written anyway:
written as panels at once, it needs no copy, and a product with it is 5 % faster (20 % with few tokens).
"""

import ctypes
import functools
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

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
        make, order = _maker(), _order(num_rows, width)
        if make is None or order is None or memory.data_ptr() % _ALIGNMENT_BYTES:
            return None
        panel_rows, description = order
        matrix = make(memory, (num_rows, width), description)
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


_NUMBER, _POINTER, _CODE = ctypes.c_int64, ctypes.c_void_p, ctypes.c_int32
_Make = Callable[[torch.Tensor, tuple[int, int], torch.Tensor], torch.Tensor | None]


@functools.cache
def _maker() -> _Make | None:
    """What lays a tensor over memory, by torch's C interface for compiled models; None where that is not to be had."""
    try:
        library = ctypes.CDLL(str(Path(torch.__file__).parent / "lib" / "libtorch_cpu.so"))
        make = library.aoti_torch_create_tensor_from_blob_v2
        float32, cpu = library.aoti_torch_dtype_float32(), library.aoti_torch_device_type_cpu()
        layout = library.aoti_torch_layout__mkldnn()
        adopt = torch._C._aoti.alloc_tensor_by_stealing_from_void_ptr
    except (OSError, AttributeError):
        return None
    make.argtypes = [
        *(_POINTER, _NUMBER, _POINTER, _POINTER, _NUMBER),  # memory, number of dimensions, sizes, strides, offset
        *(_CODE, _CODE, _CODE, _POINTER),  # dtype, device and its number, the tensor made
        *(_CODE, _POINTER, _NUMBER),  # layout, description and its length
    ]
    make.restype = _CODE
    capsule = ctypes.PYFUNCTYPE(ctypes.py_object, _POINTER, ctypes.c_char_p, _POINTER)(
        ("PyCapsule_New", ctypes.pythonapi)
    )

    def over(memory: torch.Tensor, shape: tuple[int, int], description: torch.Tensor) -> torch.Tensor | None:
        sizes, strides, made = (_NUMBER * 2)(*shape), (_NUMBER * 2)(shape[1], 1), _POINTER()
        order = layout, description.data_ptr(), description.numel()
        if make(memory.data_ptr(), 2, sizes, strides, 0, float32, cpu, 0, ctypes.byref(made), *order):
            return None
        tensor: torch.Tensor = adopt(capsule(made, None, None))
        return tensor

    return over
