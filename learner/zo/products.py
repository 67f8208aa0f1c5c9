"""x Wᵀ + b, for W as it is and for W ± μz.

A compiled kernel makes both for float32 on the CPU (`products_numba`). What it does not take goes to oneDNN, which is
twice as fast as MKL on other CPUs than Intel's, or to torch.
"""

import functools
from collections.abc import Sequence

import torch

from learner.kernels.openmp import runs_on
from learner.zo.directions import Shift

try:
    from learner.kernels import products_numba as _numba
except ImportError:  # no numba for this interpreter or platform: other libraries, slower
    _numba = None  # type: ignore[assignment]

_FAST_PRODUCT = 1 << 20  # multiply-adds from which a call's overhead pays
_FEWEST_INPUTS = 4  # fewer read the matrix once in any case

Bias = torch.Tensor | None


def product(x: torch.Tensor, weight: torch.Tensor, bias: Bias) -> torch.Tensor:
    """x Wᵀ + b for x [..., K], W [N, K], b [N] or None, of one type; or a float32 b beside 16-bit x and W."""
    if _takes(x, weight, bias):
        return _multiplied([x], weight, [bias], first=0, key=(0, 0, 0), amplitude=0.0)[0]
    if _is_plain_and_large(x, weight, bias) and x.dtype in _onednn_types():
        return torch.ops.mkldnn._linear_pointwise.default(x, weight, bias, "none", [], "")  # b is added before rounding
    if bias is not None and bias.dtype != x.dtype:
        return torch.nn.functional.linear(x, weight).add_(bias)
    return torch.nn.functional.linear(x, weight, bias)


def perturbed_products(
    shift: Shift,
    weight: torch.Tensor,
    first: int,
    xs: Sequence[torch.Tensor],
    biases: Sequence[Bias],
    sides: Sequence[int],
) -> list[torch.Tensor] | None:
    """x (W ± scale · z)ᵀ + b for each of `sides`; None where the kernel does not take these operands.

    first: global index of the first weight. The bits of W ± scale · z are those of `Shift.both`.
    """
    if len({x.shape for x in xs}) != 1:  # the kernel is told one shape for all sides
        return None
    if shift.direction.kind != "rademacher" or not all(map(_takes, xs, [weight] * len(xs), biases)):
        return None
    if _numba is None or first % _numba.DEPTH_MULTIPLE:
        return None
    amplitude = -shift.scale if tuple(sides) == (1,) else shift.scale
    return _multiplied(xs, weight, biases, first=first, key=shift.direction.key, amplitude=amplitude)


def _is_plain_and_large(x: torch.Tensor, weight: torch.Tensor, bias: Bias) -> bool:
    """Whether these operands lie on the CPU, fit, and are worth a call; if they do not fit, torch says so."""
    num_rows, width = weight.shape
    if torch.is_grad_enabled() and (x.requires_grad or weight.requires_grad):
        return False  # only torch's own function has a derivative
    return (
        x.device.type == "cpu"
        and x.numel() * num_rows >= _FAST_PRODUCT
        and x.shape[-1] == width
        and (bias is None or (bias.shape == (num_rows,) and bias.is_contiguous()))
    )


@functools.cache
def _onednn_types() -> tuple[torch.dtype, ...]:
    """What oneDNN multiplies on this processor."""
    if not torch.backends.mkldnn.is_available():  # type: ignore[no-untyped-call]
        return ()
    try:
        has_bfloat16 = torch.ops.mkldnn._linear_pointwise and torch.ops.mkldnn._is_mkldnn_bf16_supported()
    except AttributeError:  # neither name is public
        return ()
    return (torch.float32, torch.bfloat16) if has_bfloat16 else (torch.float32,)


def _takes(x: torch.Tensor, weight: torch.Tensor, bias: Bias) -> bool:
    """Whether the kernel is for these operands, this processor and this number of threads."""
    width = weight.shape[1]
    return (
        _numba is not None
        and _is_plain_and_large(x, weight, bias)
        and x.numel() >= _FEWEST_INPUTS * width
        and width % _numba.DEPTH_MULTIPLE == 0
        and x.dtype == weight.dtype == torch.float32
        and (bias is None or bias.dtype == torch.float32)
        and weight.is_contiguous()
        and weight.device.type == "cpu"
        and bool(_numba.host_tiles())
        and runs_on(torch.get_num_threads())
    )


def _multiplied(
    xs: Sequence[torch.Tensor],
    weight: torch.Tensor,
    biases: Sequence[Bias],
    *,
    first: int,
    key: tuple[int, int, int],
    amplitude: float,
) -> list[torch.Tensor]:
    num_rows, width = weight.shape
    flat = [x.reshape(-1, width).contiguous() for x in xs]
    made = [x.new_empty(len(x), num_rows) for x in flat]
    sides = [
        _numba.Side(x.data_ptr(), y.data_ptr(), 0 if bias is None else bias.data_ptr())
        for x, y, bias in zip(flat, made, biases, strict=True)
    ]
    shape = len(flat[0]), width, num_rows
    threads = torch.get_num_threads()
    _numba.multiply(weight.data_ptr(), sides, shape, first=first, key=key, amplitude=amplitude, num_threads=threads)
    return [y.view(*x.shape[:-1], num_rows) for x, y in zip(xs, made, strict=True)]
