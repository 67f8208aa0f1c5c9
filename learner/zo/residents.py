"""The many short parameters of a model (biases, norms), perturbed together."""

import torch

from learner.zo.directions import Shift, Spans
from learner.zo.flat_weights import FlatWeights

RESIDENT_ELEMENTS = 1 << 16
"""Parameters up to this length are perturbed in float32, whatever the arithmetic, once per query and kept."""
_RESIDENT_TOTAL = 1 << 20


class Residents:
    """The many short parameters (biases, norms), perturbed by one call per query for all forward passes of it."""

    def __init__(self, weights: FlatWeights) -> None:
        self._weights = weights
        self._runs = []
        self._total = 0
        for run in weights.runs:
            slots = [slot for slot in weights.slots if run.first <= slot.offset < run.first + len(run.values)]
            short = []
            for slot in sorted(slots, key=lambda slot: slot.count):
                if slot.count <= RESIDENT_ELEMENTS and self._total + slot.count <= _RESIDENT_TOTAL:
                    short.append(slot)
                    self._total += slot.count
            if short:
                short.sort(key=lambda slot: slot.offset)
                self._runs.append((run, short, Spans([s.offset for s in short], [s.count for s in short])))

    def shifted(self, shift: Shift) -> dict[str, torch.Tensor]:
        """float32 [2, *shape] by name."""
        made = {}
        for run, slots, spans in self._runs:
            self._weights.settle(slots)
            values = shift.both_spans(run.values, spans, run.first)
            values = values.to(self._weights.device_of(self._weights.parameters[slots[0].name]))
            for slot, place in zip(slots, spans.places, strict=True):
                made[slot.name] = values[:, place : place + slot.count].view(2, *slot.shape)
        return made
