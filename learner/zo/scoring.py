"""Losses of a causal language model, with logits only where a loss needs them.

Labels need the verbalizer's rows of the head at one position; text needs all rows at the scored positions, which are
made in chunks of the vocabulary. The logits [B, T, V] of a 50k vocabulary would be the largest tensor of a forward.
Examples share rows (`learner.tasks.packing`) if the model was seen to keep them apart.
"""

import inspect
from typing import Any, Literal

import torch

from learner.errors import ModelError
from learner.tasks.batches import AnyBatch, Batch, TextBatch
from learner.tasks.packing import Packed, Rows, longest_text, pack
from learner.tasks.words import Words
from learner.zo.directions import check_rows
from learner.zo.guards.overflow import not_finite
from learner.zo.pairs import side
from learner.zo.perturbed_forward import Sweep
from learner.zo.products import product
from learner.zo.small_models import AsTheyAre

AnySweep = Sweep | AsTheyAre

_PROBE_LENGTH = 8
_VOCABULARY_CHUNK = 2048
_NO_LIMIT = 1 << 62
MaskKind = Literal["bool", "added"]
_MASKS: tuple[MaskKind, ...] = ("bool", "added")  # what torch's attention takes, and what is added to scores
_WINDOWS = ("window", "window_size", "chunk_size")  # as configurations call them
_REFUSALS = (TypeError, ValueError, IndexError, AttributeError, RuntimeError)  # what unexpected arguments lead to


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
        self.device = model.get_input_embeddings().weight.device
        """Where batches are computed."""
        text_config = model.config.get_text_config()
        self._soft_cap: float | None = getattr(text_config, "final_logit_softcapping", None)
        self.max_tokens: int | None = getattr(text_config, "max_position_embeddings", None)
        self._takes_rows = isinstance(self._head, torch.nn.Linear) and self._base is not model
        self._check_model()
        self._masks = self._keep_apart()
        self._shares_rows_up_to = 0 if self._masks is None else _window(text_config)

    def pack(self, batch: AnyBatch) -> Packed:
        """Lay a batch out for this model, on its device; ModelError if it is longer than the model's positions."""
        weight = self._model.get_input_embeddings().weight
        packed = pack(batch, shares_rows_up_to=self._shares_rows_up_to, model_width=weight.shape[1])
        longest = longest_text(batch)
        if self.max_tokens is not None and longest > self.max_tokens:
            raise ModelError(
                f"a batch is {longest} tokens long, the model has {self.max_tokens} positions; "
                f"set task.max_tokens to {self.max_tokens} or less"
            )
        return self._placed(packed)

    def class_logits(self, sweep: AnySweep, packed: Packed) -> list[torch.Tensor]:
        """float32 [B, C] per side, of a batch with classes; of words of several tokens, float64 log p of each word."""
        batch = packed.batch
        assert isinstance(batch, Batch)
        if batch.words is not None:
            return self._word_scores(sweep, packed, batch, batch.words)
        rows = torch.arange(batch.num_examples, device=batch.labels.device)
        hidden = self._at(sweep, packed, rows, batch.last_positions)
        if not self._takes_rows:
            return [logits[:, batch.class_tokens].float() for logits in hidden]
        rows_of_head = sweep.gather(self._head.weight, batch.class_tokens, dtype=torch.float32)  # few: exact is cheap
        weights = [side(rows_of_head, n).to(h.device) for n, h in enumerate(hidden)]
        logits = [product(h.to(w.dtype), w, None) for h, w in zip(hidden, weights, strict=True)]
        return self._finished(logits, sweep, batch.class_tokens)

    def _word_scores(self, sweep: AnySweep, packed: Packed, batch: Batch, words: Words) -> list[torch.Tensor]:
        """float64 [B, C] per side: log p of each word after each prompt, over the whole vocabulary."""
        num_examples, num_places, num_edges = batch.num_examples, words.num_nodes + 1, len(words.edge_tokens)
        device = batch.labels.device
        nodes = batch.input_ids.shape[1] + torch.arange(words.num_nodes, device=device)
        positions = torch.cat([batch.last_positions[:, None], nodes.expand(num_examples, -1)], dim=1)
        examples = torch.arange(num_examples, device=device)
        hidden = self._at(sweep, packed, examples.repeat_interleave(num_places), positions.flatten())
        at = (examples[:, None] * num_places + words.edge_places).flatten()
        losses = self._token_losses(sweep, hidden, words.edge_tokens.repeat(num_examples), at)
        return [words.scores(-each.view(num_examples, num_edges)) for each in losses]

    def losses(self, sweep: AnySweep, packed: Packed) -> list[torch.Tensor]:
        """float64 [B] per side: the cross-entropy of each example, over its classes or as the mean of its tokens."""
        batch = packed.batch
        if isinstance(batch, Batch):
            return [label_losses(logits, batch.labels) for logits in self.class_logits(sweep, packed)]
        rows, positions, targets = batch.scored()
        counts = torch.bincount(rows, minlength=batch.num_examples)
        places = torch.arange(len(targets), device=targets.device)
        per_token = self._token_losses(sweep, self._at(sweep, packed, rows, positions), targets, places)
        sums = [torch.segment_reduce(nll, "sum", lengths=counts) for nll in per_token]  # in order, on CUDA too
        return [total / counts for total in sums]

    def _token_losses(
        self, sweep: AnySweep, hidden: list[torch.Tensor], targets: torch.Tensor, places: torch.Tensor
    ) -> list[torch.Tensor]:
        """float64 [N] per side, over the whole vocabulary: N targets, each predicted at one of the hidden places."""
        if not self._takes_rows:
            made = [torch.log_softmax(logits.double(), dim=1) for logits in hidden]
            return [-each[places.to(each.device), targets.to(each.device)] for each in made]
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
                wanted[n][inside] = logits[places[inside], targets[inside] - start]
                total = torch.logsumexp(logits, dim=1)
                totals[n] = total if totals[n] is None else torch.logaddexp(totals[n], total)
        return [(total[places] - logit).double() for total, logit in zip(totals, wanted, strict=True)]

    def _at(
        self, sweep: AnySweep, packed: Packed, examples: torch.Tensor, positions: torch.Tensor
    ) -> list[torch.Tensor]:
        """Per side, [N, H] (or [N, V], as `_forward`) at N positions of examples."""
        found: list[list[torch.Tensor]] = [[] for _ in sweep.sides]
        order = []
        for rows in packed.forwards:
            places = rows.places[examples, positions]
            (inside,) = (places >= 0).nonzero(as_tuple=True)
            order.append(inside)
            hidden = self._forward(sweep, rows)
            for n, parts in enumerate(found):
                made = side(hidden, n).flatten(0, 1)
                parts.append(made[places[inside].to(made.device)])
            del hidden, made  # before the next forward begins
        if len(order) == 1:
            return [parts[0] for parts in found]
        back = torch.cat(order).argsort()
        return [torch.cat(parts)[back.to(parts[0].device)] for parts in found]

    def _forward(self, sweep: AnySweep, rows: Rows) -> Any:
        """Last hidden states [R, L, H], or logits [R, L, V] of a model that needs the slow way."""
        check_rows(rows.input_ids, len(self._model.get_input_embeddings().weight))
        shared = {}
        if rows.mask is not None:
            mask = rows.mask if self._masks == "bool" else rows.mask.float().log()  # 0 and −∞
            shared = {"position_ids": rows.position_ids, "attention_mask": mask}
        with sweep:
            if self._takes_rows:
                return self._base(input_ids=rows.input_ids, use_cache=False, **shared).last_hidden_state
            return self._model(input_ids=rows.input_ids, use_cache=False, **shared).logits

    def _placed(self, packed: Packed) -> Packed:
        return Packed(packed.batch.to(self.device), tuple(rows.to(self.device) for rows in packed.forwards))

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
            raise not_finite(self._model, weight.dtype)
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

    @torch.inference_mode()
    def _keep_apart(self) -> MaskKind | None:
        """The masks by which examples may share rows: each comes out as alone, no bit of it changes with the others.

        Seen from short examples, for many models would take a mask that they do not obey; None if these do not.
        """
        weight = self._model.get_input_embeddings().weight
        texts = [_strangers(weight.shape[0], first) for first in (0, 1)]
        examples, positions, _ = (index.to(weight.device) for index in texts[0].scored())
        takes = inspect.signature((self._base if self._takes_rows else self._model).forward).parameters
        if "position_ids" not in takes or (self.max_tokens or _NO_LIMIT) < texts[0].input_ids.shape[1]:
            return None

        def hidden(batch: TextBatch, limit: int) -> torch.Tensor:
            packed = self._placed(pack(batch, shares_rows_up_to=limit, model_width=_NO_LIMIT))
            return self._at(AsTheyAre(), packed, examples, positions)[0].double()

        alone, kept = hidden(texts[0], 0), examples > 0
        rounding = max(1e-4, 8 * torch.finfo(weight.dtype).eps)
        for self._masks in _MASKS:
            try:
                together, beside = (hidden(batch, _NO_LIMIT) for batch in texts)
            except _REFUSALS:
                continue
            distance = (together - alone).norm(dim=1) / alone.norm(dim=1)
            if torch.equal(together[kept], beside[kept]) and bool((distance < rounding).all()):
                return self._masks
        return None


def _strangers(vocabulary_size: int, first: int) -> TextBatch:
    """Three texts that begin alike; the longest one comes first in a row, and goes on with other tokens for `first`."""
    ids = (torch.arange(36) * 7 + 3).view(3, 12)
    ids[0] += first
    ids[:, :2] = 1
    return TextBatch(ids % vocabulary_size, torch.ones(3, dtype=torch.int64), torch.tensor([12, 7, 10]))


def _window(config: Any) -> int:
    """Tokens up to which attention of every layer reaches; our masks would widen what is narrower."""
    values = [value for name, value in config.to_dict().items() if name.endswith(_WINDOWS)]
    return min([value for value in values if isinstance(value, int) and value > 0], default=_NO_LIMIT)


def label_losses(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Cross-entropy of each row, float64 [B], from float32 logits [B, C] and indices [B]."""
    return torch.nn.functional.cross_entropy(logits.double(), labels, reduction="none")
