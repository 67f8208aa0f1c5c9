"""One copy of the weights serves every device of a learner host: zeroth-order scalars, updates, replay."""

import hashlib
import json
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError
from transformers import GenerationConfig

from learner.config import DirectionKind, Estimator, ModelConfig
from learner.errors import LearnerError, ModelError
from learner.models.adapters import save_adapters, scalings
from learner.models.kinds import keep_unscaled
from learner.models.load import compute_dtype_of, device_of, is_streamed, load_model
from learner.tasks.batches import AnyBatch, Batch, examples
from learner.tasks.packing import Packed
from learner.zo.directions import Direction, Shift, Update
from learner.zo.example_losses import ExampleLosses
from learner.zo.flat_weights import FlatWeights
from learner.zo.guards.interception import check_interception
from learner.zo.guards.resolution import check_resolution
from learner.zo.memory import keep_freed_memory
from learner.zo.scoring import Scorer
from learner.zo.streaming.weights import StreamedWeights

_REPLAY_UPDATES = 256
_NO_CONTENT = ("transformers_version", "torch_dtype", "dtype")


@dataclass(frozen=True, slots=True)
class Scalars:
    """What K devices computed in one round with Q queries."""

    projected_gradients: NDArray[np.float64]
    """[K, Q], p_k before clipping"""
    loss: NDArray[np.float64]
    """[K], the loss at w; two-sided up to O(μ²), as the mean over queries and both signs"""
    example_projections: tuple[NDArray[np.float64], ...]
    """K arrays [B_k, Q]: the same of every example by itself; their mean over B_k is p_k, up to rounding"""

    @property
    def votes(self) -> NDArray[np.int8]:
        """[K, Q], the sign of p_k; +1 where it is 0"""
        return np.where(self.projected_gradients >= 0, 1, -1).astype(np.int8)


class Replica:
    """A model whose weights only `update` and `load_weights` write; probes read them and perturb layer by layer.

    Not for concurrent use from several threads.
    """

    def __init__(
        self,
        model: Any,
        tokenizer: Any,
        *,
        device: str | torch.device = "cpu",
        is_streamed: bool = False,
        compute_dtype: torch.dtype | None = None,
        direction: DirectionKind = "rademacher",
        num_threads: int = 1,
        batch_devices: bool = False,
    ) -> None:
        """Take over `model` (its parameters are moved); prefer `Replica.load`.

        Parameters that require no gradient stay as they are. A model that accelerate spread over devices stays there.
        is_streamed: weights stay in host memory and pass through `device` (`learner/zo/streaming`).
        """
        keep_freed_memory()
        self.tokenizer = tokenizer
        self.model = model
        self._kind: DirectionKind = direction
        if num_threads < 1:
            raise LearnerError(f"num_threads is {num_threads}; allowed 1 or more; use 1 for a small model")
        self._num_threads = num_threads
        torch.set_num_threads(num_threads)  # of this process: torch has one such number for all replicas
        if is_streamed:
            model.to("cpu")
        elif not getattr(model, "hf_device_map", None):
            model.to(torch.device(device))
        dtype = compute_dtype or model.get_input_embeddings().weight.dtype
        self._dtype = dtype
        self._resolved_scales: set[float] = set()
        keep_unscaled(model)
        self._weights = FlatWeights(model)
        check_interception(model, self._weights, dtype)
        self._scorer = Scorer(model)
        if is_streamed:
            self._weights = StreamedWeights(model, torch.device(device), self._weights)
        self._device = self._scorer.device = self._weights.device_of(model.get_input_embeddings().weight)
        self._losses = ExampleLosses(model, self._weights, self._scorer, dtype, batch_devices=batch_devices)

    @classmethod
    def load(
        cls,
        config: ModelConfig,
        *,
        direction: DirectionKind = "rademacher",
        num_threads: int = 1,
        batch_devices: bool = False,
    ) -> "Replica":
        """Load model and tokenizer; ModelError says what is wrong with them."""
        model, tokenizer = load_model(config)
        return cls(
            model,
            tokenizer,
            device=device_of(config),
            is_streamed=is_streamed(config),
            compute_dtype=compute_dtype_of(config),
            direction=direction,
            num_threads=num_threads,
            batch_devices=batch_devices,
        )

    @property
    def num_parameters(self) -> int:
        """Number of trained weights, tied ones once."""
        return self._weights.num_parameters

    @property
    def max_tokens(self) -> int | None:
        """Longest sequence that the model takes, if it has a limit."""
        return self._scorer.max_tokens

    @torch.inference_mode()
    def scalars(
        self,
        batches: Sequence[AnyBatch],
        *,
        seed: int,
        num_queries: int,
        perturbation_scale: float,
        estimator: Estimator = "two_sided",
        example_clip: float | None = None,
        normaliser: int | None = None,
        stops_on_infinity: bool = True,
    ) -> Scalars:
        """p_k = [F_k(w + μz) − F_k(w − μz)] / (2μ) for one batch per device (arXiv 2604.12401 eq 7).

        One-sided, p_k = [F_k(w + μz) − F_k(w)] / μ, with one F_k(w) for all queries (arXiv 2506.09034 eq 4): Q + 1
        forwards in place of 2Q, and a bias of μ·zᵀHz/2, of which the mean over z is the same for all queries.

        F is the mean over examples of the cross-entropy, over the verbalizer's words or over the example's tokens.
        With `example_clip` C, p_k = Σ_i clip(p_i, ±C)/`normaliser`, a fixed number however many examples there are
        (arXiv 2310.09639), and each p_i depends on example i alone, bit for bit. An empty batch has p_k = 0 and loss
        NaN. ModelError if a loss is not finite; without `stops_on_infinity` that example, or without a clip that
        batch, counts as 0 instead: where data are private, a run that ends on them would tell.
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
        scale = float(np.float32(perturbation_scale))  # what the weights are really moved by
        if scale not in self._resolved_scales:
            check_resolution(self._weights, scale, self._dtype)
            self._resolved_scales.add(scale)
        shifts = [Shift(Direction(seed, query, self._kind), scale, self._num_threads) for query in range(num_queries)]
        per_example, width = self._on_both_sides(batches, shifts, estimator, alone=example_clip is not None)
        for device, losses in enumerate(per_example):
            if stops_on_infinity and not np.isfinite(losses).all():
                raise ModelError(
                    f"loss of hosted device {device} is not finite (seed {seed}); the weights have diverged; "
                    "lower learner.learning_rate or learner.perturbation_scale and restart from a checkpoint"
                )
        with np.errstate(invalid="ignore"):  # ∞ − ∞
            projections = tuple(np.ascontiguousarray((x[:, 0] - x[:, 1]).T) / width for x in per_example)
        if example_clip is None or normaliser is None:
            means = [x.mean(axis=2) if x.size else np.zeros((num_queries, 2)) for x in per_example]  # K times [Q, 2]
            table = np.stack(means)
            with np.errstate(invalid="ignore"):
                projected = _finite_or_zero((table[:, :, 0] - table[:, :, 1]) / width)
        else:
            bounded = [np.clip(_finite_or_zero(p), -example_clip, example_clip) for p in projections]
            projected = np.stack([each.sum(axis=0) for each in bounded]) / normaliser
        at_weights = slice(None) if estimator == "two_sided" else slice(1, None)
        loss = np.array([x[:, at_weights].mean(axis=2).mean() if x.size else math.nan for x in per_example])
        return Scalars(projected, loss, projections)

    def _on_both_sides(
        self, batches: Sequence[AnyBatch], shifts: Sequence[Shift], estimator: Estimator, *, alone: bool
    ) -> tuple[list[NDArray[np.float64]], float]:
        """Losses [Q, 2, B_k] of each batch at two points of each direction, and how far these are apart."""
        losses = self._losses.of_each_alone if alone else self._losses.around_weights
        scale = shifts[0].scale
        if estimator == "two_sided":
            return losses(batches, shifts), 2 * scale
        moved = losses(batches, shifts, (0,))  # [Q, 1, B_k]
        parts = [examples(batch) if alone else [batch] if batch.num_examples else [] for batch in batches]
        base = [np.concatenate([np.zeros(0), *self.losses(part)]) for part in parts]  # [B_k], one for all queries
        return [
            np.concatenate([x, np.broadcast_to(b, x.shape)], axis=1) for x, b in zip(moved, base, strict=True)
        ], scale

    def update(self, seed: int, coefficients: Sequence[float]) -> None:
        """w ← w − coefficient_q · z(seed, q) in query order; zero leaves every bit.

        coefficients: float32 values as they travelled, with learning rate, sign, shrinkage; else ModelError.
        """
        self._weights.update(self._updates(seed, coefficients), num_threads=self._num_threads)

    def replay(self, results: Iterable[tuple[int, Sequence[float]]]) -> None:
        """Apply recorded (seed, coefficients) in order, many in one pass over the weights; bits as by `update`."""
        updates = (update for seed, coefficients in results for update in self._updates(seed, coefficients))
        while chunk := list(islice(updates, _REPLAY_UPDATES)):
            self._weights.update(chunk, num_threads=self._num_threads)

    def packed(self, batch: AnyBatch) -> Packed:
        """How a batch is computed: the forwards, their rows, and so the number of tokens."""
        return self._scorer.pack(batch)

    @torch.inference_mode()
    def class_logits(self, batches: Iterable[Batch]) -> list[NDArray[np.float32]]:
        """Class logits [B, C] of each batch at the weights themselves."""
        plain = self._losses.at_weights()
        jobs = [partial(self._scorer.class_logits, plain, self.packed(batch)) for batch in batches]
        return [logits.cpu().numpy() for (logits,) in self._weights.in_step(jobs)]

    @torch.inference_mode()
    def losses(self, batches: Iterable[AnyBatch]) -> list[NDArray[np.float64]]:
        """The loss of every example [B] of each batch at the weights themselves."""
        plain = self._losses.at_weights()
        jobs = [partial(self._scorer.losses, plain, self.packed(batch)) for batch in batches]
        return [losses.cpu().numpy() for (losses,) in self._weights.in_step(jobs)]

    @torch.inference_mode()
    def generate(self, prompts: Sequence[Sequence[int]], *, max_new_tokens: int) -> list[list[int]]:
        """Continue each prompt greedily at the weights themselves, up to the model's end token; new tokens only."""
        own = self.model.generation_config
        # what an explicit configuration leaves open, `generate` takes from the model's own: beams, penalties, bans
        plain = GenerationConfig(
            max_new_tokens=max_new_tokens,
            do_sample=False,
            num_beams=1,
            pad_token_id=0,
            eos_token_id=own.eos_token_id,
        )
        try:
            self.model.generation_config = plain
            return [self._continued(prompt, plain) for prompt in prompts]
        finally:
            self.model.generation_config = own

    def _continued(self, prompt: Sequence[int], plain: GenerationConfig) -> list[int]:
        ids = torch.tensor([list(prompt)], device=self._device)
        with self._losses.at_weights():
            whole = self.model.generate(
                input_ids=ids,
                attention_mask=torch.ones_like(ids),
                generation_config=plain,
            )
        new: list[int] = whole[0, len(prompt) :].tolist()
        return new

    def fingerprint(self) -> str:
        """SHA-256 (hex) over names, shapes and bytes of all weights."""
        return self._weights.fingerprint()

    def architecture(self) -> str:
        """SHA-256 (hex) over what turns the weights into outputs: the model's configuration and that of generation.

        Only what differs from the defaults, so that other versions of transformers agree; without paths and dtypes.
        """
        parts = [self.model.config, getattr(self.model, "generation_config", None)]
        plain = [{} if part is None else _content(part.to_diff_dict()) for part in parts]
        if factors := scalings(self.model):
            plain.append(factors)
        return hashlib.sha256(json.dumps(plain, sort_keys=True, default=str).encode()).hexdigest()

    def save_weights(self, path: Path) -> None:
        """Write the trained weights as safetensors; the file appears whole or not at all."""
        self._weights.save(Path(path))

    def load_weights(self, path: Path) -> None:
        """Read weights that `save_weights` wrote; on a ModelError the present ones stay."""
        self._weights.load(Path(path))

    def save_model(self, directory: Path) -> None:
        """Write model (safetensors) and tokenizer as a Hugging Face directory, which `model.path` takes again.

        Of a model with LoRA adapters, the adapters as `peft` writes them, with the name or path of the base model.
        """
        directory = Path(directory)
        if directory.exists() and (not directory.is_dir() or any(directory.iterdir())):
            raise ModelError(f"cannot save a model to {directory}: it is not an empty directory; choose another")
        self._weights.settle()
        try:
            if not save_adapters(self.model, directory):
                self.model.save_pretrained(directory)
            if self.tokenizer is not None:
                self.tokenizer.save_pretrained(directory)
        except (OSError, SafetensorError) as err:
            raise ModelError(f"cannot save a model to {directory}: {err}; choose a writable folder with space") from err

    def weights(self) -> dict[str, NDArray[Any]]:
        """Copies of all trained parameters by Hugging Face name; bfloat16, which numpy lacks, as float32."""
        self._weights.settle()
        copies = {name: parameter.detach().cpu() for name, parameter in self._weights.parameters.items()}
        return {n: (c.float() if c.dtype == torch.bfloat16 else c).numpy().copy() for n, c in copies.items()}

    def _updates(self, seed: int, coefficients: Sequence[float]) -> list[Update]:
        with np.errstate(over="ignore"):  # becomes infinite, and is refused below
            rounded = [np.float32(value) for value in coefficients]
        for query, (value, exact) in enumerate(zip(rounded, coefficients, strict=True)):
            if not np.isfinite(value) or float(value) != float(exact):
                raise ModelError(
                    f"coefficient {query} of seed {seed} is {exact!r}; allowed finite float32 values; "
                    "round it once, where it is made, with numpy.float32"
                )
        return [(Direction(seed, query, self._kind), float(value)) for query, value in enumerate(rounded)]


def _content(table: dict[str, Any]) -> dict[str, Any]:
    """Without what says where a model came from and how it is held."""
    return {key: value for key, value in table.items() if not key.startswith("_") and key not in _NO_CONTENT}


def _finite_or_zero(values: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.where(np.isfinite(values), values, 0.0)


def replay(replica: Replica, results: Iterable[tuple[int, Sequence[float]]]) -> None:
    """Apply recorded (seed, coefficients) in order: initial weights + journal = final weights."""
    replica.replay(results)
