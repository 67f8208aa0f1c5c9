"""Values at w + μz and at w − μz that go through a model together."""

from collections.abc import Callable, Iterable
from typing import Any

import torch

from learner.errors import ModelError

Sides = tuple[int, ...]
BOTH: Sides = (0, 1)


class UnpairableError(ModelError):
    """A model's control flow depends on the sign; its forward passes are made one sign after the other."""


class Pair(torch.Tensor):
    """Tensors at w + μz and w − μz that travel through a model as one; as a tensor it is the first."""

    sides: tuple[torch.Tensor, ...]
    __torch_function__ = torch._C._disabled_torch_function_impl  # type: ignore[assignment]

    @staticmethod
    def of(sides: Iterable[torch.Tensor]) -> "Pair":
        """Join one tensor per sign."""
        tensors = tuple(sides)
        pair = tensors[0].as_subclass(Pair)
        pair.sides = tensors
        return pair


def side(value: Any, number: int) -> Any:
    """The tensor of one sign; whatever is no Pair is the same for both."""
    if type(value) is Pair:
        return value.sides[number]
    if type(value) in (list, tuple) and any(type(item) is Pair for item in value):
        return type(value)(side(item, number) for item in value)
    return value


def check_target(func: Callable[..., Any], args: tuple[Any, ...]) -> None:
    """Refuse to write both signs into one tensor."""
    name = getattr(func, "__name__", "")
    writes = name == "__setitem__" or (name.endswith("_") and not name.endswith("__"))
    if writes and type(args[0]) is not Pair:
        raise UnpairableError(f"{name} writes values that depend on the sign into a tensor that does not")


def joined(func: Callable[..., Any], results: list[Any]) -> Any:
    """The results of one call for both signs as one: Pairs of tensors, everything else if it is the same."""
    first, second = results
    if isinstance(first, torch.Tensor):
        return Pair.of((first, second))
    if isinstance(first, list | tuple) and len(first) == len(second):
        parts = [joined(func, [a, b]) for a, b in zip(first, second, strict=True)]
        return type(first)(parts) if type(first) in (list, tuple) else tuple(parts)
    if first != second:
        raise UnpairableError(f"{getattr(func, '__name__', func)} gives {first!r} and {second!r} for the two signs")
    return first
