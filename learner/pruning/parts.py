"""What of a model is pruned, trained and sent: the matrices of its linear layers, or their adapters."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch

from learner.errors import ModelError
from learner.pruning.masks import MaskKind, kept_weights, mask_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Layer:
    """One linear layer: y = W x, or with an adapter (W + s B A) x."""

    name: str
    weight: torch.nn.Parameter
    """W [O, I], which is pruned"""
    adapter: tuple[torch.nn.Parameter, torch.nn.Parameter] | None
    """A [r, I] and B [O, r]; W is frozen beside them"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """Weights by what becomes of them when a client prunes; the latency model counts with them."""

    spared: int
    """In W: what pruning leaves out is neither computed with nor, without adapters, sent"""
    sent: int
    """Trained and sent, of which pruning spares its share"""
    sent_always: int
    """Trained and sent whatever is pruned"""
    head: int
    """Of the output layer: computed with, frozen, never pruned"""


class Parts:
    """The layers of a causal model that pruning is about; everything else is frozen and stays with every client.

    Without adapters the matrices W are trained and sent. With them A and B are, and where whole rows of W are pruned,
    so are those of B: their output is gone.
    """

    def __init__(self, model: Any, kind: MaskKind) -> None:
        """Freezes what is not trained. Raises ModelError for a model without linear layers, or with adapters on some
        of another kind."""
        self.kind: MaskKind = kind
        self.layers = list(_layers(model))
        if not self.layers:
            raise ModelError(
                "the model has no torch.nn.Linear layer that could be pruned; use one whose blocks are made of them, "
                "such as OPT, Llama or Qwen"
            )
        head = model.get_output_embeddings().weight
        self.head_size, self.vocabulary_size = head.numel(), head.shape[0]
        self.has_adapters = any(layer.adapter is not None for layer in self.layers)
        self.trained = list(self._trained())
        """Parameters in the order of the layers; of an adapter A, B"""
        self.bits_per_weight = 8 * self.trained[0].element_size()
        chosen = {id(parameter) for parameter in self.trained}
        adapted = [parameter for name, parameter in model.named_parameters() if ".lora_" in name]
        if any(id(parameter) not in chosen for parameter in adapted):
            raise ModelError(
                "some adapters are not on linear layers, so no rows of theirs can be pruned; name linear layers in "
                "model.lora.target_modules"
            )
        for parameter in model.parameters():
            parameter.requires_grad_(id(parameter) in chosen)

    def _trained(self) -> Iterator[torch.nn.Parameter]:
        for layer in self.layers:
            if layer.adapter is not None:
                yield from layer.adapter
            elif not self.has_adapters:
                yield layer.weight

    def size(self, rate: float = 0.0) -> Size:
        """What is left at a pruning rate, in weights."""
        spared = sum(kept_weights(layer.weight.shape, rate, self.kind) for layer in self.layers)
        if not self.has_adapters:
            return Size(spared=spared, sent=spared, sent_always=0, head=self.head_size)
        pairs = [layer.adapter for layer in self.layers if layer.adapter is not None]
        always = sum(a.numel() for a, _ in pairs)
        if self.kind == "magnitude":
            return Size(
                spared=spared, sent=0, sent_always=always + sum(b.numel() for _, b in pairs), head=self.head_size
            )
        sent = sum(kept_weights(b.shape, rate, "structured") for _, b in pairs)
        return Size(spared=spared, sent=sent, sent_always=always, head=self.head_size)

    def realised(self, rate: float) -> float:
        """The share of W that is really left out at that rate: at most the rate, as only whole rows go."""
        return 1 - self.size(rate).spared / self.size().spared

    @contextmanager
    def pruned(self, rate: float) -> Iterator[list[torch.Tensor | None]]:
        """The model pruned at a rate; yields what each trained parameter keeps. Every weight comes back as it was."""
        parameters = [*(layer.weight for layer in self.layers), *self.trained]
        before = [parameter.detach().clone() for parameter in parameters]
        masks = self.masks(rate)
        kept = self.trained_masks(masks)
        try:
            with torch.no_grad():
                for parameter, mask in zip(parameters, [*masks, *kept], strict=True):
                    if mask is not None:
                        parameter.mul_(mask)
            yield kept
        finally:
            with torch.no_grad():
                for parameter, values in zip(parameters, before, strict=True):
                    parameter.copy_(values)

    def masks(self, rate: float) -> list[torch.Tensor]:
        """One for each layer, by its present weights."""
        return [mask_of(layer.weight, rate, self.kind) for layer in self.layers]

    def trained_masks(self, masks: list[torch.Tensor]) -> list[torch.Tensor | None]:
        """What each trained parameter keeps under the layers' masks; None: all."""
        found: list[torch.Tensor | None] = []
        for layer, mask in zip(self.layers, masks, strict=True):
            if layer.adapter is not None:
                found += [None, mask if self.kind == "structured" else None]
            elif not self.has_adapters:
                found.append(mask)
        return found


def _layers(model: Any) -> Iterator[Layer]:
    head = model.get_output_embeddings()
    for name, module in model.named_modules():
        if ".lora_" in name or module is head:
            continue
        base = getattr(module, "base_layer", module)
        if not isinstance(base, torch.nn.Linear) or name.endswith(".base_layer"):
            continue
        adapter = None
        if base is not module:
            adapter = (_only(module.lora_A).weight, _only(module.lora_B).weight)
        yield Layer(name=name, weight=base.weight, adapter=adapter)


def _only(modules: Any) -> Any:
    (module,) = modules.values()
    return module
