"""The loss of every example on either side of the weights, by the way that suits the model and the batch."""

from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from learner.tasks.batches import AnyBatch, examples, merge
from learner.tasks.packing import Packed, needed_tokens
from learner.zo.directions import Shift
from learner.zo.flat_weights import FlatWeights
from learner.zo.guards.covers import Covers
from learner.zo.pairs import BOTH, Sides, UnpairableError
from learner.zo.perturbed_forward import Sweep
from learner.zo.residents import Residents
from learner.zo.scoring import AnySweep, Scorer
from learner.zo.scratch import Scratch
from learner.zo.small_models import AsTheyAre, Copies, is_small

_SWEEP_TOKENS = 4096  # devices share a forward up to so many tokens, so that memory does not grow with them
_LONG_BATCH_TOKENS = 640  # from here on one sign after the other: two activations weigh more than a second draw


class ExampleLosses:
    """Losses at w + μz and w − μz of batches; the weights are only read."""

    def __init__(
        self, model: Any, weights: FlatWeights, scorer: Scorer, dtype: torch.dtype, *, batch_devices: bool
    ) -> None:
        """dtype: of the arithmetic. batch_devices: neighbouring batches share a forward."""
        self._weights = weights
        self._scorer = scorer
        self._dtype = dtype
        self._batch_devices = batch_devices
        self._residents = Residents(weights)
        self._scratch = Scratch()
        self._covers = Covers(weights.parameters)
        self._copies = Copies(model, weights) if is_small(weights, dtype) else None
        self._is_pairable = True

    def at_weights(self) -> AnySweep:
        """What a scorer needs for losses at w itself."""
        return AsTheyAre() if self._copies else Sweep(self._weights, None, self._dtype)

    def around_weights(
        self, batches: Sequence[AnyBatch], shifts: Sequence[Shift], sides: Sides = BOTH
    ) -> list[NDArray[np.float64]]:
        """[Q, S, B_k] of each batch, for Q shifts and S sides; batches without examples cost nothing."""
        filled = [batch for batch in batches if batch.num_examples]
        groups = [self._packed(group) for group in self._groups(filled)] if filled else []
        sizes = [batch.num_examples for batch in filled]
        made = self._weights.in_step([partial(self._of_query, groups, shift, sides) for shift in shifts if filled])
        queries = [torch.split(losses, sizes, dim=1) for losses in made]
        found = iter(torch.stack(losses).cpu().numpy() for losses in zip(*queries, strict=True))
        return [next(found) if batch.num_examples else np.zeros((len(shifts), len(sides), 0)) for batch in batches]

    def of_each_alone(
        self, batches: Sequence[AnyBatch], shifts: Sequence[Shift], sides: Sides = BOTH
    ) -> list[NDArray[np.float64]]:
        """The same, each loss a function of its own example: whatever else is drawn, its bits stay.

        Every example is a forward of its own, at its own length. Rows of a batch do not have this property: shapes
        choose kernels, and the order of additions with them; in 16-bit arithmetic projections then move by percents.
        """
        alone = [[self._scorer.pack(single) for single in examples(batch)] for batch in batches]
        losses: list[list[torch.Tensor]] = [[] for _ in batches]  # of each batch, [S, B_k] a query
        together = [single for singles in alone for single in singles]
        jobs = [partial(self._of_singles, together, shift, sides) for shift in shifts if together]
        for each in self._weights.in_step(jobs):
            found = iter(each)
            for singles, own in zip(alone, losses, strict=True):
                own.append(torch.cat([next(found) for _ in singles], dim=1) if singles else torch.zeros(len(sides), 0))
        return [torch.stack(own).cpu().numpy() if own else np.zeros((len(shifts), len(sides), 0)) for own in losses]

    def _of_singles(self, singles: Sequence[Packed], shift: Shift, sides: Sides) -> list[torch.Tensor]:
        """float64 [S, 1] of each; which way it goes depends on the model and on that example's length alone."""
        if self._copies:
            as_they_are = AsTheyAre()
            with self._copies.each(shift, sides) as signs:
                found = [[self._scorer.losses(as_they_are, single)[0] for single in singles] for _ in signs]
            return [torch.stack(both) for both in zip(*found, strict=True)]
        sweeps = self._sweeps(shift)
        return self._weights.in_step([partial(self._of_single, single, sweeps, sides) for single in singles])

    def _of_single(self, single: Packed, sweeps: dict[Sides, Sweep], sides: Sides) -> torch.Tensor:
        """Both signs together where this example can be; that another could not is not remembered."""
        if sides == BOTH and single.num_tokens < _LONG_BATCH_TOKENS:
            try:
                return torch.stack(self._scorer.losses(sweeps[BOTH], single))
            except UnpairableError:
                pass
        return self._one_by_one(single, sweeps, sides)

    def _of_query(self, groups: Sequence[Packed], shift: Shift, sides: Sides) -> torch.Tensor:
        """float64 [S, B] of all batches in order."""
        if self._copies:
            as_they_are = AsTheyAre()
            with self._copies.each(shift, sides) as signs:
                found = [torch.cat([self._scorer.losses(as_they_are, group)[0] for group in groups]) for _ in signs]
            return torch.stack(found)
        sweeps = self._sweeps(shift)
        jobs = [partial(self._of_group, group, sweeps, sides) for group in groups]
        return torch.cat(self._weights.in_step(jobs), dim=1)

    def _sweeps(self, shift: Shift) -> dict[Sides, Sweep]:
        residents = self._residents.shifted(shift)
        return {sides: self._sweep(shift, residents, sides) for sides in (BOTH, (0,), (1,))}

    def _sweep(self, shift: Shift, residents: dict[str, torch.Tensor], sides: Sides) -> Sweep:
        scratch, covers = self._scratch, self._covers
        return Sweep(
            self._weights, shift, self._dtype, residents=residents, scratch=scratch, covers=covers, sides=sides
        )

    def _of_group(self, group: Packed, sweeps: dict[Sides, Sweep], sides: Sides) -> torch.Tensor:
        """The same for batches that were packed together."""
        if sides == BOTH and self._is_pairable and group.num_tokens < _LONG_BATCH_TOKENS:
            try:
                return torch.stack(self._scorer.losses(sweeps[BOTH], group))
            except UnpairableError:
                self._is_pairable = False
        return self._one_by_one(group, sweeps, sides)

    def _one_by_one(self, packed: Packed, sweeps: dict[Sides, Sweep], sides: Sides) -> torch.Tensor:
        """float64 [S, B], a forward for each side."""
        found = self._weights.in_step([partial(self._scorer.losses, sweeps[(number,)], packed) for number in sides])
        return torch.stack([losses for (losses,) in found])

    def _packed(self, group: Sequence[AnyBatch]) -> Packed:
        return self._scorer.pack(merge(group) if len(group) > 1 else group[0])

    def _groups(self, batches: Sequence[AnyBatch]) -> Iterator[list[AnyBatch]]:
        """Batches that share a forward: each by itself, unless devices are batched."""
        return _neighbours(batches) if self._batch_devices else ([batch] for batch in batches)


def _neighbours(batches: Sequence[AnyBatch]) -> Iterator[list[AnyBatch]]:
    """Neighbours that share one forward of at most `_SWEEP_TOKENS` needed tokens."""
    group: list[AnyBatch] = []
    num_tokens = 0
    for batch in batches:
        wanted = int(needed_tokens(batch).sum())
        if group and num_tokens + wanted > _SWEEP_TOKENS:
            yield group
            group, num_tokens = [], 0
        group.append(batch)
        num_tokens += wanted
    yield group
