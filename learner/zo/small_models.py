"""Models so small that both perturbed copies of all weights fit in cache: made once per query, for all devices.

There the interception of every torch call would cost more than the arithmetic. The parameters point at one copy after
the other instead, and at the weights again afterwards; the weights themselves are only read, as in a `Sweep`.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial

import torch

from learner.zo.directions import Shift, check_rows
from learner.zo.flat_weights import FlatWeights
from learner.zo.pairs import BOTH, Sides
from learner.zo.products import product

_SMALL_ELEMENTS = 1 << 20


def is_small(weights: FlatWeights, dtype: torch.dtype) -> bool:
    """Whether a model is small, in one float32 buffer on the CPU, and computes in float32."""
    if weights.is_streamed or len(weights.runs) != 1 or dtype != torch.float32:
        return False
    values = weights.runs[0].values
    return values.dtype == dtype and values.device.type == "cpu" and len(values) <= _SMALL_ELEMENTS


class AsTheyAre:
    """What a `Sweep` is to a scorer, for parameters that already point at the values that are wanted."""

    sides: Sides = (0,)

    def __enter__(self) -> None:
        """Nothing needs to be intercepted."""

    def __exit__(self, *_: object) -> None:
        """Nothing to undo."""

    def times_rows(
        self, xs: Sequence[torch.Tensor], parameter: torch.Tensor, start: int, stop: int
    ) -> list[torch.Tensor]:
        """x Rᵀ, R: rows start … stop−1 of a matrix."""
        return [product(x, parameter[start:stop], None) for x in xs]

    def gather(self, parameter: torch.Tensor, index: torch.Tensor, *, dtype: torch.dtype | None = None) -> torch.Tensor:
        """Rows of a matrix by number; float32 is all there is."""
        check_rows(index, len(parameter))
        return parameter[index]

    def whole(self, parameter: torch.Tensor) -> torch.Tensor:
        """All of a parameter."""
        return parameter


class Copies:
    """w + μz and w − μz of a small model."""

    def __init__(self, model: torch.nn.Module, weights: FlatWeights) -> None:
        """Take over the model; its linear layers multiply by `product` from now on."""
        for module in model.modules():
            if type(module) is torch.nn.Linear:
                module.forward = partial(_linear, module)  # type: ignore[method-assign]
        self._run = weights.runs[0]
        slots = [(weights.parameters[slot.name], slot) for slot in weights.slots]
        self._flat = torch.empty((2, len(self._run.values)))
        cut = [
            (parameter, slice(slot.offset - self._run.first, slot.offset - self._run.first + slot.count), slot.shape)
            for parameter, slot in slots
        ]
        self._own = [(parameter, parameter.data) for parameter, _ in slots]
        self._moved = [[(parameter, side[place].view(shape)) for parameter, place, shape in cut] for side in self._flat]

    @contextmanager
    def each(self, shift: Shift, sides: Sides = BOTH) -> Iterator[Iterator[int]]:
        """Iterate over the signs, the parameters pointing at that sign's copy; afterwards at the weights."""
        shift.both(self._run.values, self._run.first, out=self._flat)
        try:
            yield self._signs(sides)
        finally:
            _point(self._own)

    def _signs(self, sides: Sides) -> Iterator[int]:
        for number in sides:
            _point(self._moved[number])
            yield number


def _linear(module: torch.nn.Linear, x: torch.Tensor) -> torch.Tensor:
    return product(x, module.weight, module.bias)


def _point(pairs: list[tuple[torch.nn.Parameter, torch.Tensor]]) -> None:
    for parameter, values in pairs:
        parameter.data = values
