"""A forward pass at w + μz and at w − μz together, without writing a weight.

While a Sweep is active, torch hands it every call. Where a trained parameter is an operand, the sweep makes w ± μz for
that call only; what comes out is a Pair, one tensor per sign, and calls on Pairs are made once per sign. So modules run
as they are, of any Hugging Face model; weights are read once for both signs, and scratch memory is that of one layer.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch.overrides import TorchFunctionMode

from learner.zo.directions import Shift
from learner.zo.flat_weights import FlatWeights
from learner.zo.pairs import BOTH, Pair, Sides, check_target, joined, side
from learner.zo.products import Bias, perturbed_products, product
from learner.zo.residents import RESIDENT_ELEMENTS

_SCRATCH_ELEMENTS = 1 << 22  # a longer matrix is perturbed in row chunks
_VIEW_ATTRIBUTES = frozenset(("T", "mT", "H", "mH", "data", "real"))


class Scratch:
    """Memory for the perturbed rows of one chunk, kept from call to call: new pages cost more than filling them."""

    def __init__(self) -> None:
        self._held: dict[tuple[torch.device, torch.dtype], torch.Tensor] = {}

    def take(self, shape: tuple[int, ...], dtype: torch.dtype, device: torch.device) -> torch.Tensor | None:
        """A tensor that is overwritten by the next one taken; None where it would be too long to be kept."""
        count = math.prod(shape)
        if count > 2 * _SCRATCH_ELEMENTS:
            return None
        held = self._held.get((device, dtype))
        if held is None or held.numel() < count:
            held = self._held[device, dtype] = torch.empty(count, dtype=dtype, device=device)
        return held[:count].view(shape)


class Sweep(TorchFunctionMode):
    """Forward passes at w ± μz (`shift`), or at w itself (None), computed in `dtype`.

    sides: (0, 1) for both signs together; (0,) or (1,) for one, which suits models whose control flow depends on
    values, and batches so long that activations weigh more than a second draw of the direction.
    """

    def __init__(
        self,
        weights: FlatWeights,
        shift: Shift | None,
        dtype: torch.dtype,
        *,
        residents: dict[str, torch.Tensor] | None = None,
        scratch: Scratch | None = None,
        sides: Sides = BOTH,
    ) -> None:
        super().__init__()
        self._scratch = scratch or Scratch()
        self._weights = weights
        self._slot_of = weights.slot_of
        self._shift = shift
        self._residents = residents or {}
        self._dtype = dtype
        self.sides: Sides = sides if shift is not None else (0,)

    def __enter__(self) -> Any:
        self._weights.begin_pass()
        return super().__enter__()  # type: ignore[no-untyped-call]

    def __exit__(self, *error: Any) -> None:
        super().__exit__(*error)  # type: ignore[no-untyped-call]
        self._weights.end_pass()

    # ---- parameters

    def times_rows(
        self,
        xs: Sequence[torch.Tensor],
        parameter: torch.Tensor,
        start: int,
        stop: int,
        biases: Sequence[Bias] | None = None,
    ) -> list[torch.Tensor]:
        """x Rᵀ + b of every side, R: rows start … stop−1 of a matrix."""
        biases = biases or [None] * len(xs)
        part, slot = self._weights.rows(parameter, start, stop), self._slot_of.get(id(parameter))
        num_rows, width = part.shape
        xs = [x.to(part.device) for x in xs]
        first = None if slot is None or self._shift is None else slot.offset + start * width
        if first is None and part.dtype == self._dtype:
            return [self._linear(x, part, b) for x, b in zip(xs, biases, strict=True)]
        if first is not None and self._shift is not None and self._dtype == torch.float32:
            made = perturbed_products(self._shift, part, first, xs, biases, self.sides)
            if made is not None:
                return made
        step = math.ceil(num_rows / math.ceil(num_rows * width / _SCRATCH_ELEMENTS))
        if num_rows <= step:
            parts = self._moved(part, first)
            return [self._linear(x, part, b) for x, part, b in zip(xs, parts, biases, strict=True)]
        made = [x.new_empty(*x.shape[:-1], num_rows, dtype=self._dtype) for x in xs]
        for at in range(0, num_rows, step):
            end = min(at + step, num_rows)
            parts = self._moved(part[at:end], None if first is None else first + at * width)
            for x, y, matrix, bias in zip(xs, made, parts, biases, strict=True):
                y[..., at:end] = self._linear(x, matrix, None if bias is None else bias[at:end])
        return made

    def _moved(self, matrix: torch.Tensor, first: int | None) -> list[torch.Tensor]:
        """A matrix in the dtype of the arithmetic, one tensor per side; until the next call.

        first: the global index of its first element; None for one that is not perturbed.
        """
        if first is None or self._shift is None:
            return [matrix.to(self._dtype)]
        flat = matrix.view(-1)
        if len(self.sides) == 1:
            out = self._scratch.take((len(flat),), self._dtype, flat.device)
            return [self._shift.one(flat, first, self.sides[0], dtype=self._dtype, out=out).view(matrix.shape)]
        out = self._scratch.take((2, len(flat)), self._dtype, flat.device)
        made = self._shift.both(flat, first, dtype=self._dtype, out=out)
        return [made[number].view(matrix.shape) for number in self.sides]

    def gather(self, parameter: torch.Tensor, index: torch.Tensor, *, dtype: torch.dtype | None = None) -> torch.Tensor:
        """Rows of a matrix by number, [*index.shape, H]; only these are perturbed."""
        dtype = dtype or self._dtype
        slot, table = self._slot_of.get(id(parameter)), self._weights.stored(parameter)
        place, index = index.device, index.to(table.device)
        if slot is None or self._shift is None:
            return table[index].to(place, dtype)
        made = self._shift.both_rows(table, index, slot.offset, dtype=dtype).to(place)
        return self._join([made[number] for number in self.sides])

    def whole(self, parameter: torch.Tensor) -> torch.Tensor:
        """A parameter for calls that need all of it: short ones in float32, others in the dtype of the arithmetic."""
        slot = self._slot_of[id(parameter)]
        dtype = torch.float32 if slot.count <= RESIDENT_ELEMENTS else self._dtype
        if self._shift is None:
            return self._weights.at_hand(parameter).detach().to(dtype)
        made = self._residents.get(slot.name)
        if made is None:
            values = self._weights.at_hand(parameter).view(-1)
            made = self._shift.both(values, slot.offset, dtype=dtype).view(2, *slot.shape)
        return self._join([made[number] for number in self.sides])

    def _join(self, tensors: list[torch.Tensor]) -> torch.Tensor:
        return Pair.of(tensors) if len(tensors) == 2 else tensors[0]

    # ---- calls

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Called by torch instead of `func`, with the sweep itself out of the way."""
        kwargs = kwargs or {}
        special = _SPECIAL.get(func)
        if special is not None:
            return special(self, *args, **kwargs)
        if getattr(func, "__name__", "") == "__get__" and func.__self__.__name__ not in _VIEW_ATTRIBUTES:  # type: ignore[attr-defined]
            if func.__self__.__name__ == "device":  # type: ignore[attr-defined]
                return self._weights.device_of(args[0])
            return func(*args, **kwargs)  # shape, dtype, device: the same for both signs
        return self._call(func, args, kwargs)

    def _call(self, func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Any function: trained parameters become perturbed ones, and Pairs are computed side by side."""
        touched = paired = False
        for value in (*args, *kwargs.values()):
            kind = type(value)
            if kind is Pair:
                paired = True
            elif kind is torch.nn.Parameter:
                touched = touched or id(value) in self._slot_of
            elif kind is list or kind is tuple:
                paired = paired or any(type(item) is Pair for item in value)
        if touched:
            args = tuple(self._replaced(value) for value in args)
            kwargs = {name: self._replaced(value) for name, value in kwargs.items()}
            paired = paired or len(self.sides) == 2
        if not paired:
            result = func(*args, **kwargs)
        else:
            check_target(func, args)
            result = joined(func, [self._on_side(n, func, args, kwargs) for n in range(len(BOTH))])
        return self._narrowed(result, args) if touched else result

    def _on_side(self, n: int, func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        if kwargs:
            kwargs = {name: side(value, n) for name, value in kwargs.items()}
        return func(*[side(value, n) for value in args], **kwargs)

    def _replaced(self, value: Any) -> Any:
        if type(value) is torch.nn.Parameter and id(value) in self._slot_of:
            return self.whole(value)
        return value

    def _narrowed(self, result: Any, args: tuple[Any, ...]) -> Any:
        """Results of short float32 parameters with 16-bit activations go on in 16 bits."""
        if not isinstance(result, torch.Tensor) or result.dtype != torch.float32 or self._dtype == torch.float32:
            return result
        if not any(isinstance(value, torch.Tensor) and value.dtype == self._dtype for value in args):
            return result
        return self._each(lambda tensor: tensor.to(self._dtype), result)

    def _each(self, function: Callable[..., torch.Tensor], *operands: Any) -> torch.Tensor:
        if any(type(value) is Pair for value in operands):
            return Pair.of(function(*(side(value, n) for value in operands)) for n in range(len(BOTH)))
        return function(*operands)

    # ---- functions that deserve better than the general way

    def linear(self, x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None = None) -> torch.Tensor:
        """y = x Wᵀ + b."""
        bias = bias if bias is None or id(bias) not in self._slot_of else self.whole(bias)
        if type(weight) is Pair or id(weight) not in self._slot_of:
            return self._each(self._linear, x, weight, bias)
        xs, biases = ([side(value, n) for n in range(len(self.sides))] for value in (x, bias))
        return self._join(self.times_rows(xs, weight, 0, len(weight), biases))

    def _linear(self, x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None) -> torch.Tensor:
        if x.dtype != self._dtype:
            x = x.to(self._dtype)
        if weight.dtype != self._dtype:
            weight = weight.to(self._dtype)
        return product(x, weight, bias)

    def addmm(self, bias: torch.Tensor, x: torch.Tensor, weight: torch.Tensor, **options: Any) -> torch.Tensor:
        """y = b + x W, the layer of GPT-2."""
        if options or id(weight) not in self._slot_of:
            return self._call(torch.addmm, (bias, x, weight), options)
        bias = self._replaced(bias)
        first = None if self._shift is None else self._slot_of[id(weight)].offset
        weight = self._join(self._moved(self._weights.rows(weight, 0, len(weight)), first))
        return self._each(lambda x, w, b: self._linear(x, w.t(), b), x, weight, bias)

    def embedding(self, index: torch.Tensor, weight: torch.Tensor, *args: Any, **kwargs: Any) -> torch.Tensor:
        """Rows of a table, only the wanted ones perturbed."""
        if id(weight) not in self._slot_of:
            there = index.to(weight.device)
            return self._call(torch.nn.functional.embedding, (there, weight, *args), kwargs).to(index.device)
        is_wide = torch.float32 in (
            weight.dtype,
            self._dtype,
        )  # what residuals add to stays float32 beside a master copy
        return self.gather(weight, index, dtype=torch.float32 if is_wide else None)

    def attention(self, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, *args: Any, **kwargs: Any) -> Any:
        """Attention wants one type; rotations by float32 angles widen queries and keys."""
        operands = [self._each(lambda x: x.to(self._dtype), x) for x in (query, key, value)]
        return self._call(torch.nn.functional.scaled_dot_product_attention, (*operands, *args), kwargs)

    def layer_norm(
        self,
        x: torch.Tensor,
        shape: list[int],
        weight: torch.Tensor | None = None,
        bias: torch.Tensor | None = None,
        eps: float = 1e-5,
    ) -> torch.Tensor:
        """Normalise in float32, whatever the activations are."""
        dtype = x.dtype
        weight, bias = self._replaced(weight), self._replaced(bias)

        def norm(x: torch.Tensor, weight: torch.Tensor | None, bias: torch.Tensor | None) -> torch.Tensor:
            w, b = (None if values is None else values.float() for values in (weight, bias))
            return torch.nn.functional.layer_norm(x.float(), shape, w, b, eps).to(dtype)

        return self._each(norm, x, weight, bias)


_SPECIAL: dict[Callable[..., Any], Callable[..., torch.Tensor]] = {
    torch.nn.functional.linear: Sweep.linear,
    torch.addmm: Sweep.addmm,
    torch.nn.functional.embedding: Sweep.embedding,
    torch.nn.functional.layer_norm: Sweep.layer_norm,
    torch.nn.functional.scaled_dot_product_attention: Sweep.attention,
}
