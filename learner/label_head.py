"""Class logits of a causal language model: the verbalizer's rows of the head, at the label position only.

A task needs [B, C]; all logits [B, T, V] of a 50k vocabulary would be the largest tensor of the forward.
"""

from typing import Any

import torch

from learner.batches import Batch
from learner.errors import ModelError

_PROBE_LENGTH = 8


class LabelHead:
    """Scores batches with a model whose parameters may point anywhere, and may move between calls."""

    def __init__(self, model: Any) -> None:
        """Check on a short sequence that the model is causal, and that the short way to its logits is exact.

        A model with another head (scaled logits, layers after the base) is scored through its full logits.
        ModelError if padding on the right, or weights that are not finite, would spoil the scores.
        """
        self._model = model
        self._base = model.base_model
        self._head = model.get_output_embeddings()
        text_config = model.config.get_text_config()
        self._soft_cap: float | None = getattr(text_config, "final_logit_softcapping", None)
        self.max_tokens: int | None = getattr(text_config, "max_position_embeddings", None)
        self._takes_rows = isinstance(self._head, torch.nn.Linear) and self._base is not model
        self._check_model()

    @property
    def uses_full_logits(self) -> bool:
        """Whether this model needs the slow way, all logits at all positions."""
        return not self._takes_rows

    def logits(self, batch: Batch) -> torch.Tensor:
        """float32 [B, C]; ModelError if the batch is longer than the model's positions."""
        length = batch.input_ids.shape[1]
        if self.max_tokens is not None and length > self.max_tokens:
            raise ModelError(
                f"a batch is {length} tokens long, the model has {self.max_tokens} positions; "
                f"set task.max_tokens to {self.max_tokens} or less"
            )
        rows = torch.arange(batch.num_examples, device=batch.labels.device)
        if not self._takes_rows:
            logits = self._model(input_ids=batch.input_ids, use_cache=False).logits  # [B, T, V]
            return logits[rows, batch.last_positions][:, batch.class_tokens]
        hidden = self._base(input_ids=batch.input_ids, use_cache=False).last_hidden_state  # [B, T, H]
        weight = self._head.weight[batch.class_tokens]  # [C, H]
        bias = None if self._head.bias is None else self._head.bias[batch.class_tokens]
        logits = torch.nn.functional.linear(hidden[rows, batch.last_positions], weight, bias)
        return logits if self._soft_cap is None else torch.tanh(logits / self._soft_cap) * self._soft_cap

    @torch.inference_mode()
    def _check_model(self) -> None:
        device = next(self._model.parameters()).device
        num_tokens = self._model.get_input_embeddings().weight.shape[0]
        length = min(_PROBE_LENGTH, self.max_tokens or _PROBE_LENGTH)
        ids = torch.arange(length, device=device).repeat(2, 1) % num_tokens
        ids[1, length // 2 :] = (ids[1, length // 2 :] + 1) % num_tokens  # another ending
        full = self._model(input_ids=ids, use_cache=False).logits
        if not bool(torch.isfinite(full).all()):
            raise ModelError("the model's logits are not finite; its weights are damaged; fetch or save them again")
        before = length // 2 - 1
        if not torch.allclose(full[0, before], full[1, before], rtol=1e-4, atol=1e-4):
            raise ModelError(
                f"model type {self._model.config.model_type!r} lets a token see later ones; "
                "only causal (decoder) "
                "language models can be scored; choose one such as OPT, GPT-2 or Llama"
            )
        if self._takes_rows:
            last = torch.full((2,), length - 1, device=device)
            classes = torch.arange(num_tokens, device=device)[: full.shape[-1]]
            short = self.logits(Batch(ids, last, torch.zeros_like(last), classes))
            self._takes_rows = torch.allclose(short, full[:, -1, : len(classes)], rtol=1e-3, atol=1e-4)
