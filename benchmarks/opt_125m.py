"""The OPT-125M shape with random weights, batches of random tokens, and plain references to compare with."""

from collections.abc import Callable, Iterator
from typing import Any

import torch
from transformers import OPTConfig, OPTForCausalLM

from learner.tasks.batches import Batch, TextBatch

VOCABULARY_SIZE = 50272
CLASS_TOKENS = torch.tensor([6587, 372])


def make_model(dtype: torch.dtype = torch.float32) -> Any:
    """12 layers, width 768, tied head: 125.24 million weights."""
    torch.manual_seed(0)
    config = OPTConfig(
        vocab_size=VOCABULARY_SIZE,
        hidden_size=768,
        num_hidden_layers=12,
        ffn_dim=3072,
        num_attention_heads=12,
        max_position_embeddings=2048,
        word_embed_proj_dim=768,
        dropout=0.0,
        attention_dropout=0.0,
    )
    return OPTForCausalLM(config).to(dtype).eval()


def make_batch(num_examples: int, num_tokens: int, seed: int = 0) -> Batch:
    """Random tokens, scored at the last position over two classes."""
    generator = torch.Generator().manual_seed(seed)
    ids = torch.randint(0, VOCABULARY_SIZE, (num_examples, num_tokens), generator=generator)
    labels = torch.randint(0, 2, (num_examples,), generator=generator)
    return Batch(ids, torch.full((num_examples,), num_tokens - 1), labels, CLASS_TOKENS)


def as_text(batch: Batch) -> TextBatch:
    """The same tokens, each predicted from those before it."""
    num_examples, num_tokens = batch.input_ids.shape
    return TextBatch(
        batch.input_ids,
        torch.ones(num_examples, dtype=torch.int64),
        torch.full((num_examples,), num_tokens, dtype=torch.int64),
    )


class MezoReference:
    """The published procedure, plainly: in-place +μ, −2μ, +μ and the update, each redrawing torch normals."""

    def __init__(self, model: Any, *, perturbation_scale: float = 1e-3, learning_rate: float = 1e-6) -> None:
        self._model = model
        self._scale = perturbation_scale
        self._learning_rate = learning_rate

    def _normals(self, seed: int) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        torch.manual_seed(seed)
        for parameter in self._model.parameters():
            kind = {"dtype": parameter.dtype, "device": parameter.device}
            yield parameter, torch.normal(0.0, 1.0, size=parameter.shape, **kind)

    def _perturb(self, seed: int, amplitude: float) -> None:
        for parameter, z in self._normals(seed):
            parameter.data.add_(z * amplitude)

    def _loss(self, input_ids: torch.Tensor) -> float:
        return float(self._model(input_ids=input_ids, labels=input_ids).loss)

    @torch.inference_mode()
    def step(self, input_ids: torch.Tensor, seed: int) -> float:
        """One step with the usual full-logits loss; returns the projected gradient."""
        self._perturb(seed, self._scale)
        plus = self._loss(input_ids)
        self._perturb(seed, -2 * self._scale)
        minus = self._loss(input_ids)
        self._perturb(seed, self._scale)
        projected = (plus - minus) / (2 * self._scale)
        for parameter, z in self._normals(seed):
            parameter.data.sub_(self._learning_rate * projected * z)
        return projected


def adamw_step(model: Any) -> Callable[[torch.Tensor], None]:
    """A step of AdamW with the usual full-logits loss."""
    for parameter in model.parameters():
        parameter.requires_grad_(True)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-6)

    def step(input_ids: torch.Tensor) -> None:
        model(input_ids=input_ids, labels=input_ids).loss.backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

    return step
