"""One copy of the weights serves every device of a learner host: zeroth-order scalars, updates, replay."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from learner import flat_weights
from learner.batches import Batch, merge
from learner.config import ModelConfig
from learner.directions import Direction
from learner.errors import LearnerError, ModelError
from learner.label_head import LabelHead
from learner.models import device_of, load_model


@dataclass(frozen=True, slots=True)
class Scalars:
    """What K devices computed in one round with Q queries."""

    projected_gradients: NDArray[np.float64]
    """[K, Q], p_k before clipping"""
    loss: NDArray[np.float64]
    """[K], mean over queries and both signs: the loss at w, up to O(μ²)"""


class Replica:
    """Weights in one flat float32 buffer; the model computes on a second one, so probes never write weights.

    Not for concurrent use from several threads.
    """

    def __init__(
        self,
        model: Any,
        tokenizer: Any,
        *,
        device: str | torch.device = "cpu",
        num_threads: int = 1,
        batch_devices: bool = False,
    ) -> None:
        """Take over `model` (its parameters are moved); prefer `Replica.load`."""
        self.tokenizer = tokenizer
        self.batch_devices = batch_devices
        self._device = torch.device(device)
        self.set_num_threads(num_threads)
        self._layout = flat_weights.Layout.of(model)
        self._weights = flat_weights.flatten(model, self._layout, self._device)
        self._probe = self._weights.clone()
        flat_weights.point_parameters_at(model, self._layout, self._probe)
        self._head = LabelHead(model.to(self._device))

    @classmethod
    def load(cls, config: ModelConfig, *, num_threads: int = 1, batch_devices: bool = False) -> "Replica":
        """Load model and tokenizer; ModelError says what is wrong with them."""
        model, tokenizer = load_model(config)
        device = device_of(config)
        return cls(model, tokenizer, device=device, num_threads=num_threads, batch_devices=batch_devices)

    @property
    def num_parameters(self) -> int:
        """Number of weights, tied ones once."""
        return self._layout.num_parameters

    @property
    def max_tokens(self) -> int | None:
        """Longest sequence that the model takes, if it has a limit."""
        return self._head.max_tokens

    def set_num_threads(self, num_threads: int) -> None:
        """Set the CPU threads of this process (torch has one such number for all replicas)."""
        if num_threads < 1:
            raise LearnerError(f"num_threads is {num_threads}; allowed 1 or more; use 1 for a small model")
        self._num_threads = num_threads
        torch.set_num_threads(num_threads)

    @torch.inference_mode()
    def scalars(
        self,
        batches: Sequence[Batch],
        *,
        seed: int,
        num_queries: int,
        perturbation_scale: float,
        example_clip: float | None = None,
        normaliser: int | None = None,
    ) -> Scalars:
        """p_k = [F_k(w + μz) − F_k(w − μz)] / (2μ) for one batch per device (arXiv 2604.12401 eq 7).

        F is the mean cross-entropy over the verbalizer's words. Perturbed weights are made once per query and
        sign for all devices. With `example_clip` C, p_k = Σ_i clip(p_i, ±C)/`normaliser`, a fixed number however many
        examples there are (arXiv 2310.09639); a batch may then be empty: p_k = 0, loss NaN.
        ModelError if a loss is not finite.
        """
        if (example_clip is None) != (normaliser is None):
            raise LearnerError(
                f"example_clip={example_clip}, normaliser={normaliser}; a sum of clipped examples needs both; pass "
                "both or neither"
            )
        if not batches or num_queries < 1 or not perturbation_scale > 0:
            raise LearnerError(
                f"scalars of {len(batches)} batches, num_queries={num_queries}, "
                f"perturbation_scale={perturbation_scale}; each must be positive; pass at "
                "least one batch and query"
            )
        placed = [batch.to(self._device) for batch in batches]
        scale = float(np.float32(perturbation_scale))  # what the weights are really moved by
        losses = []
        for query in range(num_queries):
            direction = self._direction(seed, query)
            for sign in (1.0, -1.0):
                direction.add_to(self._weights, sign * scale, out=self._probe)
                losses.append(torch.cat(self._losses(placed)))
        table = torch.stack(losses).cpu().numpy().reshape(num_queries, 2, -1)  # [Q, 2, examples of all devices]
        parts = np.split(table, np.cumsum([batch.num_examples for batch in placed])[:-1], axis=2)
        for device, part in enumerate(parts):
            if not np.isfinite(part).all():
                raise ModelError(
                    f"loss of hosted device {device} is not finite (seed {seed}); the weights have diverged; "
                    "lower learner.learning_rate or learner.perturbation_scale and restart from a checkpoint"
                )
        if example_clip is None or normaliser is None:
            means = np.stack([part.mean(axis=2) for part in parts])  # [K, Q, 2]
            projected = (means[:, :, 0] - means[:, :, 1]) / (2 * scale)
        else:
            each = [(part[:, 0] - part[:, 1]) / (2 * scale) for part in parts]  # [Q, examples]
            sums = [np.clip(p, -example_clip, example_clip).sum(axis=1) for p in each]
            projected = np.stack(sums) / normaliser
        return Scalars(projected, np.array([part.mean() if part.size else math.nan for part in parts]))

    def update(self, seed: int, coefficients: Sequence[float]) -> None:
        """w ← w − coefficient_q · z(seed, q) in query order, one rounding per weight; zero leaves every bit.

        coefficients: float32 values as they travelled, with learning rate, sign, shrinkage; else ModelError.
        """
        with np.errstate(over="ignore"):  # becomes infinite, and is refused below
            rounded = [np.float32(value) for value in coefficients]
        for query, (value, exact) in enumerate(zip(rounded, coefficients, strict=True)):
            if not np.isfinite(value) or float(value) != float(exact):
                raise ModelError(
                    f"coefficient {query} of seed {seed} is {exact!r}; allowed finite float32 values; "
                    "round it once, where it is made, with numpy.float32"
                )
        for query, value in enumerate(rounded):
            if value != 0:
                self._direction(seed, query).add_to(self._weights, -float(value), out=self._weights)

    @torch.inference_mode()
    def class_logits(self, batches: Iterable[Batch]) -> list[NDArray[np.float32]]:
        """Class logits [B, C] of each batch at the unperturbed weights."""
        self._probe.copy_(self._weights)
        return [self._head.logits(batch.to(self._device)).cpu().numpy() for batch in batches]

    def fingerprint(self) -> str:
        """SHA-256 (hex) over names, shapes and bytes of all weights."""
        return flat_weights.fingerprint(self._layout, self._weights)

    def save_weights(self, path: Path) -> None:
        """Write the weights as safetensors; the file appears whole or not at all."""
        flat_weights.save(self._layout, self._weights, Path(path))

    def load_weights(self, path: Path) -> None:
        """Read weights that `save_weights` wrote; on a ModelError the present ones stay."""
        self._weights.copy_(flat_weights.load(self._layout, Path(path)))

    def weights(self) -> dict[str, NDArray[np.float32]]:
        """Copies of all parameters by Hugging Face name."""
        values = self._weights.cpu()
        return {slot.name: self._layout.view(values, slot).numpy().copy() for slot in self._layout.slots}

    def _direction(self, seed: int, query: int) -> Direction:
        num_elements = self._layout.num_elements
        return Direction(seed, query, num_elements, device=self._device, num_threads=self._num_threads)

    def _losses(self, batches: Sequence[Batch]) -> list[torch.Tensor]:
        """float64 [B_k] of each batch, at the weights that the probe buffer holds."""
        none = torch.zeros(0, dtype=torch.float64, device=self._device)
        if not self.batch_devices:
            return [label_losses(self._head.logits(b), b.labels) if b.num_examples else none for b in batches]
        merged = merge(batches)
        return [label_losses(self._head.logits(merged), merged.labels) if merged.num_examples else none]


def label_losses(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Cross-entropy of each row, float64 [B], from float32 class logits [B, C] and class indices [B]."""
    return torch.nn.functional.cross_entropy(logits.double(), labels, reduction="none")


def replay(replica: Replica, results: Iterable[tuple[int, Sequence[float]]]) -> None:
    """Apply recorded (seed, coefficients) in order: initial weights + journal = final weights."""
    for seed, coefficients in results:
        replica.update(seed, coefficients)
