"""Losses of a causal language model, with logits only where a loss needs them.

Labels need the verbalizer's rows of the head at one position; text needs all rows at the scored positions, which are
made in chunks of the vocabulary. The logits [B, T, V] of a 50k vocabulary would be the largest tensor of a forward.
"""

from typing import Any

import torch

from learner.errors import ModelError
from learner.tasks.batches import AnyBatch, Batch, TextBatch
from learner.zo.directions import check_rows
from learner.zo.pairs import side
from learner.zo.perturbed_forward import Sweep
from learner.zo.products import product
from learner.zo.small_models import AsTheyAre

AnySweep = Sweep | AsTheyAre

_PROBE_LENGTH = 8
_VOCABULARY_CHUNK = 2048


class Scorer:
    """Scores batches with a causal language model inside a `Sweep`; results come one per side of the sweep."""

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

    def class_logits(self, sweep: AnySweep, batch: Batch) -> list[torch.Tensor]:
        """float32 [B, C] per side; ModelError if the batch is longer than the model's positions."""
        rows = torch.arange(batch.num_examples, device=batch.labels.device)
        hidden = self._forward(sweep, batch.input_ids)
        if not self._takes_rows:
            return [side(hidden, n)[rows, batch.last_positions][:, batch.class_tokens].float() for n in _of(sweep)]
        hidden = [side(hidden, n)[rows, batch.last_positions] for n in _of(sweep)]
        rows_of_head = sweep.gather(self._head.weight, batch.class_tokens, dtype=torch.float32)  # few: exact is cheap
        weights = [side(rows_of_head, n).to(h.device) for n, h in enumerate(hidden)]
        logits = [product(h.to(w.dtype), w, None) for h, w in zip(hidden, weights, strict=True)]
        return self._finished(logits, sweep, batch.class_tokens)

    def losses(self, sweep: AnySweep, batch: AnyBatch) -> list[torch.Tensor]:
        """float64 [B] per side: the cross-entropy of each example, over its classes or as the mean of its tokens."""
        if isinstance(batch, Batch):
            return [label_losses(logits, batch.labels) for logits in self.class_logits(sweep, batch)]
        rows, positions, targets = batch.scored()
        counts = torch.bincount(rows, minlength=batch.num_examples)
        per_token = self._token_losses(sweep, batch, rows, positions, targets)
        sums = [torch.segment_reduce(nll, "sum", lengths=counts) for nll in per_token]  # in order, on CUDA too
        return [total / counts for total in sums]

    def _token_losses(
        self, sweep: AnySweep, batch: TextBatch, rows: torch.Tensor, positions: torch.Tensor, targets: torch.Tensor
    ) -> list[torch.Tensor]:
        """float64 [N] per side, over the whole vocabulary."""
        hidden = self._forward(sweep, batch.input_ids)
        hidden = [side(hidden, n)[rows, positions] for n in _of(sweep)]
        if not self._takes_rows:
            return [label_losses(logits.float(), targets) for logits in hidden]
        check_rows(targets, len(self._head.weight))
        num_rows = len(self._head.weight)
        totals: list[Any] = [None] * len(hidden)  # running log-sum-exp over the vocabulary
        wanted = [torch.empty(len(targets), device=targets.device) for _ in hidden]
        for start in range(0, num_rows, _VOCABULARY_CHUNK):
            stop = min(start + _VOCABULARY_CHUNK, num_rows)
            inside = ((targets >= start) & (targets < stop)).nonzero().squeeze(1)
            numbers = torch.arange(start, stop, device=targets.device)
            made = sweep.times_rows(hidden, self._head.weight, start, stop)
            for n, logits in enumerate(self._finished(made, sweep, numbers)):
                wanted[n][inside] = logits[inside, targets[inside] - start]
                total = torch.logsumexp(logits, dim=1)
                totals[n] = total if totals[n] is None else torch.logaddexp(totals[n], total)
        return [(total - logit).double() for total, logit in zip(totals, wanted, strict=True)]

    def _forward(self, sweep: AnySweep, input_ids: torch.Tensor) -> Any:
        """Last hidden states [B, T, H], or logits [B, T, V] of a model that needs the slow way."""
        length = input_ids.shape[1]
        if self.max_tokens is not None and length > self.max_tokens:
            raise ModelError(
                f"a batch is {length} tokens long, the model has {self.max_tokens} positions; "
                f"set task.max_tokens to {self.max_tokens} or less"
            )
        check_rows(input_ids, len(self._model.get_input_embeddings().weight))
        with sweep:
            if self._takes_rows:
                return self._base(input_ids=input_ids, use_cache=False).last_hidden_state
            return self._model(input_ids=input_ids, use_cache=False).logits

    def _finished(self, made: list[torch.Tensor], sweep: AnySweep, tokens: torch.Tensor) -> list[torch.Tensor]:
        """float32 logits per side from products with the rows of the head that belong to `tokens`."""
        bias = None if self._head.bias is None else sweep.whole(self._head.bias)
        finished = []
        for n, logits in enumerate(made):
            logits = logits.float().to(tokens.device)
            if bias is not None:
                logits = logits + side(bias, n).to(tokens.device)[tokens]
            finished.append(logits if self._soft_cap is None else torch.tanh(logits / self._soft_cap) * self._soft_cap)
        return finished

    @torch.inference_mode()
    def _check_model(self) -> None:
        weight = self._model.get_input_embeddings().weight
        length = min(_PROBE_LENGTH, self.max_tokens or _PROBE_LENGTH)
        ids = torch.arange(length, device=weight.device).repeat(2, 1) % weight.shape[0]
        ids[1, length // 2 :] = (ids[1, length // 2 :] + 1) % weight.shape[0]  # another ending
        full = self._model(input_ids=ids, use_cache=False).logits.float()
        if not bool(torch.isfinite(full).all()):
            raise ModelError("the model's logits are not finite; its weights are damaged; fetch or save them again")
        rounding = 4 * torch.finfo(weight.dtype).eps
        before = length // 2 - 1
        if not torch.allclose(full[0, before], full[1, before], rtol=max(1e-4, rounding), atol=max(1e-4, rounding)):
            raise ModelError(
                f"model type {self._model.config.model_type!r} lets a token see later ones; "
                "only causal (decoder) "
                "language models can be scored; choose one such as OPT, GPT-2 or Llama"
            )
        if self._takes_rows:
            hidden = self._base(input_ids=ids, use_cache=False).last_hidden_state[:, -1]
            short = self._head(hidden).float()
            if self._soft_cap is not None:
                short = torch.tanh(short / self._soft_cap) * self._soft_cap
            self._takes_rows = torch.allclose(
                short, full[:, -1], rtol=max(1e-3, rounding), atol=max(1e-4, rounding * float(full.abs().max()))
            )


def _of(sweep: AnySweep) -> range:
    return range(len(sweep.sides))


def label_losses(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Cross-entropy of each row, float64 [B], from float32 logits [B, C] and indices [B]."""
    return torch.nn.functional.cross_entropy(logits.double(), labels, reduction="none")
