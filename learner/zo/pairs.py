"""Values at w + μz and at w − μz that go through a model together."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any, NoReturn

import torch

from learner.errors import ModelError

Sides = tuple[int, ...]
BOTH: Sides = (0, 1)

_SCALARS = (type(None), bool, int, float, complex, str, torch.dtype, torch.device, torch.layout, torch.memory_format)

_WHOLE = frozenset((*_SCALARS, torch.Tensor, torch.nn.Parameter, torch.Size, slice))


class UnpairableError(ModelError):
    """A model does what only one sign at a time can do; its forward passes are made one sign after the other."""


class Pair(torch.Tensor):
    """Tensors at w + μz and w − μz that travel through a model as one: shape and type of both, values of neither.

    Whatever takes it for a tensor of its own, unaware of the two sides, ends in an UnpairableError.
    """

    sides: tuple[torch.Tensor, ...]
    __torch_function__ = torch._C._disabled_torch_function_impl  # type: ignore[assignment]

    @staticmethod
    def of(sides: Iterable[torch.Tensor]) -> "Pair":
        """Join one tensor per sign; UnpairableError if they differ in shape, type or device."""
        first, second = tensors = tuple(sides)
        if first.shape != second.shape or first.dtype != second.dtype or first.device != second.device:
            raise UnpairableError(f"the two signs give {_described(first)} and {_described(second)}")
        pair = torch.Tensor._make_wrapper_subclass(
            Pair, first.shape, strides=first.stride(), dtype=first.dtype, device=first.device
        )
        pair.sides = tensors
        return pair

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> NoReturn:  # type: ignore[override]
        """Reached only where both signs would have become one."""
        raise UnpairableError(f"{func} cannot be computed side by side for the two signs")


def side(value: Any, number: int) -> Any:
    """The tensor of one sign, in containers too; whatever is no Pair is the same for both."""
    kind = type(value)
    if kind is Pair:
        return value.sides[number]
    if kind in _WHOLE:
        return value
    return mapped(value, lambda item: item.sides[number] if type(item) is Pair else item)


def mapped(value: Any, change: Callable[[Any], Any]) -> Any:
    """The same containers (lists, tuples, named ones too, dicts) around changed values."""
    kind = type(value)
    if kind is torch.Tensor or kind is Pair:
        return change(value)
    if isinstance(value, list | tuple) and kind is not torch.Size:
        return _rebuilt(value, [mapped(item, change) for item in value])
    if kind is dict:
        return {name: mapped(item, change) for name, item in value.items()}
    return change(value)


def joined(func: Callable[..., Any], results: Sequence[Any]) -> Any:
    """The results of one call for both signs as one: Pairs of tensors, everything else if it is the same."""
    first, second = results
    if isinstance(first, torch.Tensor) and isinstance(second, torch.Tensor):
        return Pair.of((first, second))
    if isinstance(first, list | tuple) and type(first) is type(second) and len(first) == len(second):
        return _rebuilt(first, [joined(func, parts) for parts in zip(first, second, strict=True)])
    if not isinstance(first, _SCALARS) or type(first) is not type(second) or first != second:
        raise UnpairableError(f"{name_of(func)} gives {first!r} and {second!r} for the two signs")
    return first


def name_of(func: Callable[..., Any]) -> str:
    """What a torch function is called."""
    return getattr(func, "__name__", None) or str(func)


def _rebuilt(like: Any, parts: list[Any]) -> Any:
    """A list or tuple of the same type; torch.return_types take a sequence, named tuples their fields."""
    kind = type(like)
    return kind(*parts) if hasattr(kind, "_fields") else kind(parts)


def _described(tensor: torch.Tensor) -> str:
    return f"{tensor.dtype} {list(tensor.shape)} on {tensor.device}"
