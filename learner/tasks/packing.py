"""Rows of tokens that a batch is computed in, with next to no padding.

Examples stand behind one another in a row, behind what all of them begin with, which is there once; a mask lets each
see the common beginning and itself, and positions restart. What mixes no tokens (nearly all of the work) is done for
one long row as for many short ones. A model without such masks gets rows of nearly one length instead.
"""

import heapq
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from learner.tasks.batches import AnyBatch, Batch
from learner.tasks.words import Words

_ATTENTION_LENGTH = 4.0  # rows so many times as long as the model is wide double the work, by attention
_FORWARD_TOKENS = 32  # what one more forward costs: so much padding is cheaper than perturbing the weights again


@dataclass(frozen=True, slots=True)
class Rows:
    """Some examples of a batch as one forward."""

    input_ids: torch.Tensor
    """int64 [R, L]"""
    places: torch.Tensor
    """int64 [B, W], where token w of example b lies in the R · L; −1 where it is not among these"""
    position_ids: torch.Tensor | None = None
    """int64 [R, L] where examples share a row"""
    mask: torch.Tensor | None = None
    """bool [R, 1, L, L] where examples share a row: True where the first position sees the second"""

    def to(self, device: torch.device) -> "Rows":
        """The same on another device."""
        parts = (self.input_ids, self.places, self.position_ids, self.mask)
        return Rows(*(None if part is None else part.to(device) for part in parts))  # type: ignore[arg-type]


@dataclass(frozen=True, slots=True)
class Packed:
    """A batch, and the forwards that compute it."""

    batch: AnyBatch
    forwards: tuple[Rows, ...]

    @property
    def num_examples(self) -> int:
        """B"""
        return self.batch.num_examples

    @property
    def num_tokens(self) -> int:
        """Computed, padding included."""
        return sum(rows.input_ids.numel() for rows in self.forwards)


def needed_tokens(batch: AnyBatch) -> torch.Tensor:
    """int64 [B], tokens of each example that a loss depends on: nothing is predicted from the last one of a text."""
    if not isinstance(batch, Batch):
        return batch.stops - 1
    return batch.last_positions + 1 + (batch.words.num_nodes if batch.words else 0)


def longest_text(batch: AnyBatch) -> int:
    """Positions that a model needs for the longest example."""
    if not isinstance(batch, Batch):
        return int(batch.stops.max()) - 1
    return int(batch.last_positions.max()) + 1 + (batch.words.depth if batch.words else 0)


def pack(batch: AnyBatch, *, shares_rows_up_to: int, model_width: int) -> Packed:
    """Lay a batch out as is least work for a model with hidden states of `model_width`.

    Rows are shared where no example is longer than `shares_rows_up_to` tokens.
    """
    if isinstance(batch, Batch) and batch.words is not None and batch.words.num_nodes:
        shares = longest_text(batch) <= shares_rows_up_to
        return Packed(batch, (_tree(batch, batch.words),) if shares else tuple(_lines(batch, batch.words)))
    counts = needed_tokens(batch)
    lengths: list[int] = counts.tolist()
    ids = batch.input_ids[:, : max(lengths)].cpu()
    if len(lengths) > 1 and max(lengths) <= shares_rows_up_to:
        shared = _shared(ids, lengths, _common(ids, min(lengths)), model_width)
        return Packed(batch, (shared or _plain(ids, list(range(len(lengths))), lengths),))
    return Packed(batch, tuple(_plain(ids, members, lengths) for members in _alike(lengths)))


def _tree(batch: Batch, words: Words) -> Rows:
    """A row for each example: its prompt, and behind it the tree of words, of which each node sees its own beginning.

    Token T + n of an example [T] is node n.
    """
    num_tokens = batch.input_ids.shape[1]
    lengths = batch.last_positions.cpu() + 1
    longest, nodes = int(lengths.max()), words.num_nodes
    above = words.above()
    width = longest + nodes
    ids = torch.cat([batch.input_ids[:, :longest].cpu(), words.tokens.cpu().expand(len(lengths), -1)], dim=1)
    positions = torch.arange(longest).expand(len(lengths), -1)
    deeper = above.sum(dim=1) - 1  # of a node, below the first ones
    positions = torch.cat([positions, lengths[:, None] + deeper], dim=1)
    sees = torch.ones(width, width, dtype=torch.bool).tril().repeat(len(lengths), 1, 1)
    sees[:, longest:, :longest] = (torch.arange(longest) < lengths[:, None])[:, None]
    sees[:, longest:, longest:] = above
    starts = torch.arange(len(lengths))[:, None] * width
    places = torch.full((len(lengths), num_tokens + nodes), -1)
    places[:, :longest] = starts + torch.arange(longest)
    places[:, num_tokens:] = starts + longest + torch.arange(nodes)
    return Rows(ids, places, positions, sees[:, None])


def _lines(batch: Batch, words: Words) -> Iterator[Rows]:
    """For a model whose rows cannot be shared: of each example, its prompt with each line of the tree behind it."""
    num_tokens = batch.input_ids.shape[1]
    tokens, lines = words.tokens.cpu(), words.lines()
    for example, last in enumerate(batch.last_positions.tolist()):
        prompt = batch.input_ids[example, : last + 1].cpu()
        width = len(prompt) + max(map(len, lines))
        ids = prompt[:1].repeat(len(lines), width)  # padding on the right, which nothing sees
        places = torch.full((batch.num_examples, num_tokens + words.num_nodes), -1)
        places[example, : len(prompt)] = torch.arange(len(prompt))
        for row, line in enumerate(lines):
            ids[row, : len(prompt)], ids[row, len(prompt) : len(prompt) + len(line)] = prompt, tokens[line]
            places[example, [num_tokens + node for node in line]] = row * width + len(prompt) + torch.arange(len(line))
        yield Rows(ids, places)


def _common(ids: torch.Tensor, shortest: int) -> int:
    """Tokens that all rows begin with; at least the last one of each stays its own."""
    agree = (ids[:, : shortest - 1] == ids[:1, : shortest - 1]).all(dim=0)
    return int(agree.cumprod(dim=0).sum())


def _shared(ids: torch.Tensor, lengths: Sequence[int], common: int, model_width: int) -> Rows | None:
    """Examples behind one another, in rows of nearly one length; None where a row for each is less work."""

    def work(num_rows: int, width: int) -> float:
        return num_rows * width * (1 + width / (_ATTENTION_LENGTH * model_width))

    own = [length - common for length in lengths]
    best, least = None, work(len(lengths), max(lengths))
    for num_rows in range(max(1, sum(own) // max(own)), 0, -1):
        if work(num_rows, common + math.ceil(sum(own) / num_rows)) >= least:
            continue  # even if filled to the last token
        filled = _filled(own, num_rows)
        if (found := work(num_rows, common + filled[2])) < least:
            best, least = (num_rows, *filled), found
    if best is None:
        return None
    num_rows, row_of, offsets, width = best
    width += common
    steps = np.arange(ids.shape[1])
    starts = np.array(row_of) * width + np.array(offsets)  # [B]
    places = np.where(steps < common, np.array(row_of)[:, None] * width + steps, starts[:, None] + steps)  # [B, W]
    is_real = steps < np.array(lengths)[:, None]
    held = places[is_real]
    tokens, positions = np.zeros((2, num_rows * width), np.int64)
    owners = np.full(num_rows * width, -1, np.int32)  # of padding, which sees the common beginning and itself
    tokens[held], positions[held] = ids.numpy()[is_real], np.broadcast_to(steps, places.shape)[is_real]
    owners[held] = np.broadcast_to(np.arange(1, len(own) + 1)[:, None], places.shape)[is_real]
    owner = owners.reshape(num_rows, width)
    owner[:, :common] = 0
    sees = (owner[:, :, None] == owner[:, None, :]) | (owner[:, None, :] == 0)
    sees &= np.tri(width, dtype=bool)
    input_ids, position_ids = (torch.from_numpy(array.reshape(num_rows, width)) for array in (tokens, positions))
    return Rows(input_ids, torch.from_numpy(places), position_ids, torch.from_numpy(sees[:, None]))


def _filled(own: Sequence[int], num_rows: int) -> tuple[list[int], list[int], int]:
    """Row and place of each example, and the longest row: the longest example first, into the emptiest row."""
    rows = [(0, number) for number in range(num_rows)]
    row_of, starts = [0] * len(own), [0] * len(own)
    for example in sorted(range(len(own)), key=lambda n: -own[n]):
        filled, row = rows[0]
        row_of[example], starts[example] = row, filled
        heapq.heapreplace(rows, (filled + own[example], row))
    return row_of, starts, max(filled for filled, _ in rows)


def _plain(ids: torch.Tensor, members: Sequence[int], lengths: Sequence[int]) -> Rows:
    """A row for each example."""
    width = max(lengths[member] for member in members)
    places = torch.full(ids.shape, -1)
    places[members, :width] = torch.arange(len(members) * width).view(-1, width)
    return Rows(ids[members, :width], places)


def _alike(lengths: Sequence[int]) -> Iterator[list[int]]:
    """Examples of nearly one length: a group's padding is cheaper than one forward more."""
    group: list[int] = []
    padding = 0
    for example in sorted(range(len(lengths)), key=lambda n: -lengths[n]):
        padding += lengths[group[0]] - lengths[example] if group else 0
        if padding > _FORWARD_TOKENS:
            yield group
            group, padding = [], 0
        group.append(example)
    yield group
