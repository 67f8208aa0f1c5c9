"""Counter-based directions: element i of direction (seed, query) depends on (seed, query, i) only.

Philox4x32-10 (Salmon et al., SC 2011) with key (seed low 32 bits, seed high 32 bits) and counter (block low,
block high, query, stream).

`rademacher`, stream 0: block = i // 128; element i is bit i % 32, least significant first, of word (i % 128) // 32:
a 0 bit is +1, a 1 bit is −1.
`gaussian`, stream 2: block = i // 8; f is the 16-bit field i % 8 of the block (word (i % 8) // 2, low half first);
element i is (popcount(f) − 8) / 2, binomial steps of ½ from −4 to 4 with mean 0, variance 1, third moment 0 and
fourth moment 2.875 (a Gaussian's: 3).
Stream 1 has, in the same 16-bit fields, the bits that round an update of 16-bit weights up or down.

The amplitude of every value that an element can take is rounded to float32 once, in a table; a step then adds it
with one IEEE rounding. So CPU, CUDA, any chunking and any number of threads agree bit for bit, with or without fused
multiply-add.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from learner.config import DirectionKind
from learner.errors import LearnerError, ModelError
from learner.kernels import directions_torch

try:
    from learner.kernels import directions_numba as _numba
except ImportError:  # no numba for this interpreter or platform: plain torch, slower
    _numba = None  # type: ignore[assignment]

BLOCK_ELEMENTS = 128
"""Elements that one Philox call gives; parameters start at a multiple of it."""
FLOAT_TYPES = (torch.float32, torch.bfloat16, torch.float16)
_AS_INTEGERS = {torch.bfloat16: torch.uint16, torch.float16: torch.int16}
_BINOMIAL = np.arange(-8, 9, dtype=np.float32) / np.float32(2)


@dataclass(frozen=True, slots=True)
class Direction:
    """z(seed, query); seed 0 … 2⁶⁴−1, query 0 … 2³²−1, LearnerError outside."""

    seed: int
    query: int
    kind: DirectionKind = "rademacher"

    def __post_init__(self) -> None:
        if not 0 <= self.seed < 1 << 64:
            raise LearnerError(f"direction seed is {self.seed}; allowed 0 to 2**64 - 1; pass an unsigned 64-bit seed")
        if not 0 <= self.query < 1 << 32:
            raise LearnerError(f"direction query is {self.query}; allowed 0 to 2**32 - 1; number queries from 0")

    @property
    def key(self) -> tuple[int, int, int]:
        """Seed low, seed high, query: 32 bits each."""
        return self.seed & 0xFFFFFFFF, self.seed >> 32, self.query

    def amplitudes(self, amplitude: float) -> NDArray[np.float32]:
        """amplitude · z of every value that z can take, float32 [2] by bit or [17] by popcount."""
        size = np.float32(amplitude)
        return np.array([size, -size], np.float32) if self.kind == "rademacher" else size * _BINOMIAL

    def values(self, num_elements: int, *, first: int = 0) -> torch.Tensor:
        """z itself, float32 [num_elements]; for tests and plots, steps never need it."""
        return Shift(self, 1.0).both(torch.zeros(num_elements), first)[0]


@dataclass(frozen=True, slots=True)
class Shift:
    """±scale · z, to be added to weights that are only read. `first`: global index of the first weight given."""

    direction: Direction
    scale: float
    num_threads: int = 1

    def both(
        self, weights: torch.Tensor, first: int, *, dtype: torch.dtype = torch.float32, out: torch.Tensor | None = None
    ) -> torch.Tensor:
        """[2, n] of `dtype`: flat weights [n] + scale · z, and − scale · z, from one draw."""
        if out is None:
            out = torch.empty((2, len(weights)), dtype=dtype, device=weights.device)
        key, table = self.direction.key, self.direction.amplitudes(self.scale)
        if _is_compiled(weights):
            _numba.both(_array(weights), _array(out[0]), _array(out[1]), first, key, table, self.num_threads)
        else:
            _on_torch(weights).both(weights, out[0], out[1], first, key, table)
        return out

    def one(
        self,
        weights: torch.Tensor,
        first: int,
        side: int,
        *,
        dtype: torch.dtype = torch.float32,
        out: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """[n] of `dtype`: the same bits as `both(…)[side]`, in half the memory."""
        if out is None:
            out = torch.empty(len(weights), dtype=dtype, device=weights.device)
        key, table = self.direction.key, self.direction.amplitudes(self.scale if side else -self.scale)  # w − that
        if _is_compiled(weights):
            _numba.both(_array(weights), None, _array(out), first, key, table, self.num_threads)
        else:
            _on_torch(weights).both(weights, None, out, first, key, table)
        return out

    def both_spans(self, weights: torch.Tensor, spans: "Spans", base: int) -> torch.Tensor:
        """float32 [2, total]: short spans of a flat buffer whose first element has the global index `base`."""
        out = torch.empty((2, spans.total), device=weights.device)
        key, table = self.direction.key, self.direction.amplitudes(self.scale)
        if _is_compiled(weights):
            _numba.both_slots(_array(weights), _array(out), spans.arrays, base, key, table)
        else:
            for first, place, count in zip(*(array.tolist() for array in spans.arrays), strict=True):
                part, held = weights[first - base : first - base + count], slice(place, place + count)
                _on_torch(weights).both(part, out[0, held], out[1, held], first, key, table)
        return out

    def both_rows(
        self, weights: torch.Tensor, rows: torch.Tensor, first: int, *, dtype: torch.dtype = torch.float32
    ) -> torch.Tensor:
        """[2, *rows.shape, H] of `dtype`: only the wanted rows of weights [V, H]."""
        check_rows(rows, len(weights))
        flat = rows.reshape(-1)
        out = torch.empty((2, len(flat), weights.shape[1]), dtype=dtype, device=weights.device)
        key, table = self.direction.key, self.direction.amplitudes(self.scale)
        if _is_compiled(weights):
            _numba.both_rows(_array(weights), flat.numpy(), _array(out), first, key, table)
        else:
            _on_torch(weights).both_rows(weights, flat, out, first, key, table)
        return out.view(2, *rows.shape, weights.shape[1])


def check_rows(rows: torch.Tensor, num_rows: int) -> None:
    """ModelError where a row is not in a table of so many: compiled kernels would read the memory behind it."""
    if not rows.numel():
        return
    lowest, highest = (int(found) for found in torch.aminmax(rows))
    if lowest < 0 or highest >= num_rows:
        raise ModelError(
            f"index {highest if highest >= num_rows else lowest} into a table of {num_rows} rows; allowed 0 to "
            f"{num_rows - 1}; use the model's own tokenizer, or resize the model's embeddings to the tokenizer's tokens"
        )


class Spans:
    """Short runs of a flat buffer, and where each goes in a compact one."""

    def __init__(self, firsts: Sequence[int], counts: Sequence[int]) -> None:
        places = np.cumsum([0, *counts])
        self.total = int(places[-1])
        self.places = places[:-1].tolist()
        self.arrays = (np.array(firsts, np.int64), places[:-1].astype(np.int64), np.array(counts, np.int64))


Update = tuple[Direction, float]
"""A direction and the float32 coefficient that multiplies it: w ← w − coefficient · z."""


def apply_updates(weights: torch.Tensor, first: int, updates: Sequence[Update], *, num_threads: int = 1) -> None:
    """Make all updates in order, in one pass over flat weights [n]; the same bits as one pass for each.

    float32 weights: one rounding per update. 16-bit weights: the float32 sum is rounded up or down at random, from the
    direction's own counters, so that updates far below the spacing of the weights still count, in the mean.
    All directions must be of one kind.
    """
    updates = [update for update in updates if update[1] != 0]
    if not updates:
        return
    tables = np.stack([direction.amplitudes(-coefficient) for direction, coefficient in updates])
    keys = [direction.key for direction, _ in updates]
    if _is_compiled(weights):
        _numba.sweep(_array(weights), first, np.array(keys, np.uint64), tables, num_threads)
    else:
        _on_torch(weights).sweep(weights, first, keys, tables)


def _is_compiled(weights: torch.Tensor) -> bool:
    return _numba is not None and weights.device.type == "cpu"


def _on_torch(weights: torch.Tensor) -> Any:
    """What works on tensors where they lie: kernels on CUDA if Triton came with torch, else plain torch."""
    if weights.device.type != "cuda":
        return directions_torch
    try:
        from learner.kernels import directions_triton
    except ImportError:
        return directions_torch
    return directions_triton if directions_triton.works_on(weights.device) else directions_torch


def _array(tensor: torch.Tensor) -> NDArray[Any]:
    """The same memory for numba, which tells bfloat16 from float16 by the signedness of its integers."""
    return tensor.view(_AS_INTEGERS[tensor.dtype]).numpy() if tensor.dtype in _AS_INTEGERS else tensor.numpy()
