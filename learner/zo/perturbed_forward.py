"""A forward pass at w + μz and at w − μz together, without writing a weight.

While a Sweep is active, torch hands it every call. Where a trained parameter is an operand, the sweep makes w ± μz for
that call only; what comes out is a Pair, one tensor per sign, and calls on Pairs are made once per sign. So modules run
as they are, of any Hugging Face model; weights are read once for both signs, and scratch memory is that of one layer.
"""

import inspect
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import lru_cache, partial
from typing import Any

import torch
from torch.overrides import TorchFunctionMode

from learner.errors import ModelError
from learner.zo.directions import Shift, check_rows
from learner.zo.flat_weights import FlatWeights
from learner.zo.guards.covers import Covers
from learner.zo.pairs import BOTH, Pair, Sides, UnpairableError, joined, mapped, name_of, side
from learner.zo.products import Bias, perturbed_products, product
from learner.zo.residents import RESIDENT_ELEMENTS
from learner.zo.scratch import CHUNK_ELEMENTS, Scratch

_ARITHMETIC = [
    "add",
    "sub",
    "mul",
    "truediv",
    "floordiv",
    "mod",
    "pow",
    "matmul",
    "and",
    "or",
    "xor",
    "lshift",
    "rshift",
]
_IN_PLACE_OPERATORS = frozenset(
    ("__setitem__", "__set__", "__delitem__", "__idiv__", *(f"__i{n}__" for n in _ARITHMETIC))
)
_PLAIN = frozenset((torch.Tensor, torch.Size, torch.dtype, torch.device, int, float, bool, str, type(None)))
"""Neither a Pair, nor a parameter, nor a container."""
_T: Any = torch.Tensor
_DESCRIPTIONS: frozenset[Any] = frozenset(
    (
        *(p.__get__ for p in (_T.shape, _T.dtype, _T.ndim, _T.layout, _T.itemsize, _T.nbytes)),
        *(p.__get__ for p in (_T.is_cuda, _T.is_cpu, _T.is_meta, _T.is_mps, _T.is_xpu, _T.is_quantized, _T.is_sparse)),
        *(p.__get__ for p in (_T.is_nested, _T.requires_grad, _T.is_leaf, _T.grad, _T.grad_fn)),
        *(_T.size, _T.dim, _T.ndimension, _T.numel, _T.nelement, _T.__len__, _T.element_size, _T.get_device),
        *(_T.is_floating_point, _T.is_complex, _T.__hash__, torch.numel, torch.is_floating_point, torch.is_complex),
    )
)
"""What says nothing of values: the same for a parameter, covered or not, and for both signs."""
_DEVICE: Any = _T.device.__get__


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
        covers: Covers | None = None,
        sides: Sides = BOTH,
    ) -> None:
        super().__init__()
        self._covers = None if shift is None or weights.is_streamed else covers or Covers(weights.parameters)
        self._values: dict[int, torch.Tensor] = {}  # of covered parameters
        self._scratch = scratch or Scratch()
        self._weights = weights
        self._slot_of = weights.slot_of
        self._shift = shift
        self._residents = residents or {}
        self._dtype = dtype
        self.sides: Sides = sides if shift is not None else (0,)

    def __enter__(self) -> "Sweep":
        """From here on nothing but the sweep itself can read the weights."""
        self._weights.begin_pass()
        if self._covers:
            self._values = self._covers.put()
        super().__enter__()  # type: ignore[no-untyped-call]
        return self

    def __exit__(self, kind: Any, error: Any, trace: Any) -> None:
        """Weights are weights again; what fails for both signs together may be done for one after the other."""
        super().__exit__(kind, error, trace)  # type: ignore[no-untyped-call]
        if self._covers:
            self._covers.take_off(self._values)
            self._values = {}
        self._weights.end_pass()
        if len(self.sides) == 2 and isinstance(error, RuntimeError):
            raise UnpairableError(f"both signs together give {type(error).__name__}: {error}") from error

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
        part, slot = self._rows(parameter, start, stop), self._slot_of.get(id(parameter))
        num_rows, width = part.shape
        xs = [x.to(part.device) for x in xs]
        first = None if slot is None or self._shift is None else slot.offset + start * width
        if first is None and part.dtype == self._dtype:
            return [self._linear(x, part, b) for x, b in zip(xs, biases, strict=True)]
        if first is not None and self._shift is not None and self._dtype == torch.float32:
            made = perturbed_products(self._shift, part, first, xs, biases, self.sides)
            if made is not None:
                return made
        step = math.ceil(num_rows / math.ceil(num_rows * width / CHUNK_ELEMENTS))
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

    def _rows(self, parameter: torch.Tensor, start: int, stop: int) -> torch.Tensor:
        """Rows start … stop−1 of a matrix as they are, covered or not, until rows are asked for again."""
        value = self._values.get(id(parameter))
        return self._weights.rows(parameter, start, stop) if value is None else value[start:stop]

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
        slot, value = self._slot_of.get(id(parameter)), self._values.get(id(parameter))
        table = self._weights.stored(parameter) if value is None else value
        place, index = index.device, index.to(table.device)
        if slot is None or self._shift is None:
            check_rows(index, len(table))
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
            value = self._values.get(id(parameter))
            values = (self._weights.at_hand(parameter) if value is None else value).view(-1)
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
        if func is _DEVICE:
            return self._weights.device_of(args[0])
        if func in _DESCRIPTIONS:
            return func(*args, **kwargs)
        return self._call(func, args, kwargs)

    def _call(self, func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Any function: trained parameters become perturbed ones, and Pairs are computed side by side."""
        touched, paired = self._found((*args, *kwargs.values()))
        if not touched and not paired:
            return self._made(func, args, kwargs)
        targets = _targets(func, args, kwargs)
        if touched:
            if any(id(target) in self._slot_of for target in targets):
                raise _written(name_of(func))
            args, kwargs = mapped(args, self._replaced), mapped(kwargs, self._replaced)
            paired = paired or len(self.sides) == 2
        if not paired:
            result = self._made(func, args, kwargs)
        else:
            if any(type(target) is not Pair for target in targets):
                raise UnpairableError(f"{name_of(func)} writes values that depend on the sign into what does not")
            made = [
                self._made(func, tuple([side(value, n) for value in args]), side(kwargs, n) if kwargs else kwargs)
                for n in range(len(BOTH))
            ]
            if any(target.shape != target.sides[0].shape for target in targets):
                raise UnpairableError(f"{name_of(func)} gives an existing tensor another shape")
            result = joined(func, made)
        return self._narrowed(result, args) if touched else result

    def _made(self, func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """What a function gives; where it does not take float32 beside 16 bits, with one type for all operands."""
        try:
            return func(*args, **kwargs)
        except RuntimeError:
            if self._dtype == torch.float32:
                raise
            change = partial(_in_type, next((t.dtype for t in _targets(func, args, kwargs)), self._dtype))
            return func(*mapped(args, change), **mapped(kwargs, change))

    def _found(self, values: Iterable[Any]) -> tuple[bool, bool]:
        """Whether a trained parameter, and whether a Pair, is among these values or in containers among them."""
        touched = paired = False
        for value in values:
            kind = type(value)
            if kind is Pair:
                paired = True
            elif kind in _PLAIN:
                continue
            elif isinstance(value, torch.nn.Parameter):
                touched = touched or id(value) in self._slot_of
            elif isinstance(value, list | tuple | dict) and kind is not torch.Size:
                inner = self._found(value.values() if isinstance(value, dict) else value)
                touched, paired = touched or inner[0], paired or inner[1]
        return touched, paired

    def _replaced(self, value: Any) -> Any:
        if isinstance(value, torch.nn.Parameter) and id(value) in self._slot_of:
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

    def linear(self, input: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None = None) -> torch.Tensor:
        """y = x Wᵀ + b."""
        x, bias = self._replaced(input), self._replaced(bias)
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

    def addmm(self, input: torch.Tensor, mat1: torch.Tensor, mat2: torch.Tensor, **options: Any) -> torch.Tensor:
        """y = b + x W, the layer of GPT-2."""
        if options or id(mat2) not in self._slot_of:
            return self._call(torch.addmm, (input, mat1, mat2), options)
        bias, x = self._replaced(input), self._replaced(mat1)
        first = None if self._shift is None else self._slot_of[id(mat2)].offset
        weight = self._join(self._moved(self._rows(mat2, 0, len(mat2)), first))
        return self._each(lambda x, w, b: self._linear(x, w.t(), b), x, weight, bias)

    def embedding(self, input: torch.Tensor, weight: torch.Tensor, *args: Any, **kwargs: Any) -> torch.Tensor:
        """Rows of a table, only the wanted ones perturbed."""
        if id(weight) not in self._slot_of:
            there = input.to(weight.device)
            return self._call(torch.nn.functional.embedding, (there, weight, *args), kwargs).to(input.device)
        if (args[1] if len(args) > 1 else kwargs.get("max_norm")) is not None:
            raise _written("embedding with max_norm")
        is_wide = torch.float32 in (weight.dtype, self._dtype)  # residuals stay float32 beside a master copy
        return self.gather(weight, input, dtype=torch.float32 if is_wide else None)

    def attention(self, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, *args: Any, **kwargs: Any) -> Any:
        """Attention wants one type; rotations by float32 angles widen queries and keys."""
        operands = [self._each(lambda x: x.to(self._dtype), self._replaced(x)) for x in (query, key, value)]
        return self._call(torch.nn.functional.scaled_dot_product_attention, (*operands, *args), kwargs)

    def layer_norm(
        self,
        input: torch.Tensor,
        normalized_shape: list[int],
        weight: torch.Tensor | None = None,
        bias: torch.Tensor | None = None,
        eps: float = 1e-5,
    ) -> torch.Tensor:
        """Normalise in float32, whatever the activations are."""
        x, dtype = self._replaced(input), input.dtype
        weight, bias = self._replaced(weight), self._replaced(bias)

        def norm(x: torch.Tensor, weight: torch.Tensor | None, bias: torch.Tensor | None) -> torch.Tensor:
            w, b = (None if values is None else values.float() for values in (weight, bias))
            return torch.nn.functional.layer_norm(x.float(), normalized_shape, w, b, eps).to(dtype)

        return self._each(norm, x, weight, bias)


def _targets(func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> list[Any]:
    """What a call writes to: `out`, or its first operand where its name or an option says in place."""
    writes, place = _way_of_writing(func)
    if not writes and place is None and not kwargs:
        return []
    is_in_place = writes or kwargs.get("inplace", place is not None and len(args) > place and args[place])
    found = list(_leaves(args[:1] or list(kwargs.values())[:1])) if is_in_place else []
    return [*found, *_leaves(kwargs.get("out"))]


@lru_cache(maxsize=4096)
def _way_of_writing(func: Callable[..., Any]) -> tuple[bool, int | None]:
    """Whether a function's name says that it writes to its first operand; which operand is its option `inplace`."""
    name = name_of(func)
    writes = name in _IN_PLACE_OPERATORS or (name.endswith("_") and not name.endswith("__"))
    try:
        return writes, list(inspect.signature(func).parameters).index("inplace")
    except (TypeError, ValueError):  # no signature, or no such option
        return writes, None


def _in_type(dtype: torch.dtype, value: Any) -> Any:
    """An operand in another float type; numbers beyond its range become its largest."""
    if isinstance(value, torch.Tensor) and value.is_floating_point() and dtype.is_floating_point:
        return value.to(dtype)
    if isinstance(value, float) and math.isfinite(value) and dtype.is_floating_point:
        return min(max(value, torch.finfo(dtype).min), torch.finfo(dtype).max)
    return value


def _written(by: str) -> ModelError:
    return ModelError(
        f"the model writes to a trained weight in its forward pass ({by}); weights may change by updates only; choose "
        "another implementation of this model"
    )


def _leaves(value: Any) -> Iterator[Any]:
    if isinstance(value, list | tuple):
        for item in value:
            yield from _leaves(item)
    elif value is not None:
        yield value


_SPECIAL: dict[Callable[..., Any], Callable[..., torch.Tensor]] = {
    torch.nn.functional.linear: Sweep.linear,
    torch.addmm: Sweep.addmm,
    torch.nn.functional.embedding: Sweep.embedding,
    torch.nn.functional.layer_norm: Sweep.layer_norm,
    torch.nn.functional.scaled_dot_product_attention: Sweep.attention,
}
