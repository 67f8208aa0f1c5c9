"""Make the embedded model, its tokenizer and its labelled reviews: ``python -m learner.embedded.make.pretrain``.

Text and data are written by ``learner.embedded.make.corpus``; nothing is downloaded and nobody's reviews are used.
"""

import argparse
import itertools
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch.nn import functional
from transformers import OPTConfig, OPTForCausalLM

from learner.embedded.make.corpus import (
    Document,
    Review,
    held_out_reviews,
    pretraining_documents,
    to_tsv,
    train_reviews,
)
from learner.embedded.make.corpus.tokenizer import MAX_TOKENS, build_tokenizer

CHUNK_BATCHES = 32  # documents of this many batches are sorted by length together


@dataclass(frozen=True, slots=True)
class Recipe:
    """Everything that decides the pretrained weights."""

    seed: int = 1
    num_steps: int = 8_000
    batch_documents: int = 64
    learning_rate: float = 2e-3
    warmup_steps: int = 100
    weight_decay: float = 0.01
    hidden_size: int = 48
    num_layers: int = 2
    num_heads: int = 4
    ffn_size: int = 192
    init_std: float = 0.05
    text_loss_weight: float = 1.0
    text_loss_start: float = 0.35  # share of the steps; before, only completions are learned
    text_loss_rows: int = 16  # of a batch: the vocabulary makes this loss the most expensive part
    max_unknown_share: float = 0.2  # of a review's words, drawn anew for each review
    unknown_start: float = 0.2  # share of the steps


@dataclass(frozen=True, slots=True)
class Batch:
    """Documents of like length: token ids [B, T], where text and completion stand [B, T]."""

    ids: torch.Tensor
    in_text: torch.Tensor
    in_completion: torch.Tensor


def new_model(recipe: Recipe, tokenizer: Any) -> Any:
    """Build the untrained model."""
    torch.manual_seed(recipe.seed)
    config = OPTConfig(
        vocab_size=len(tokenizer),
        hidden_size=recipe.hidden_size,
        word_embed_proj_dim=recipe.hidden_size,
        num_hidden_layers=recipe.num_layers,
        num_attention_heads=recipe.num_heads,
        ffn_dim=recipe.ffn_size,
        max_position_embeddings=MAX_TOKENS,
        dropout=0.0,
        attention_dropout=0.0,
        activation_dropout=0.0,
        layerdrop=0.0,
        init_std=recipe.init_std,
        tie_word_embeddings=True,
        bos_token_id=tokenizer.bos_token_id,
        pad_token_id=tokenizer.pad_token_id,
        eos_token_id=tokenizer.eos_token_id,
    )
    return OPTForCausalLM(config)


def batches(recipe: Recipe, tokenizer: Any) -> Iterator[Batch]:
    """Yield the documents in the order of the curriculum, shuffled within a chunk."""
    size = recipe.batch_documents
    num_documents = -(-recipe.num_steps // CHUNK_BATCHES) * CHUNK_BATCHES * size
    documents = pretraining_documents(recipe.seed, num_documents)
    generator = torch.Generator().manual_seed(recipe.seed)
    for chunk in _chunks(documents, CHUNK_BATCHES * size):
        rows = sorted(_rows(chunk, tokenizer), key=lambda row: len(row[0]) + len(row[1]))
        for index in torch.randperm(CHUNK_BATCHES, generator=generator).tolist():
            yield _batch(rows[index * size : (index + 1) * size], tokenizer.pad_token_id)


def _chunks(documents: Iterator[Document], size: int) -> Iterator[list[Document]]:
    while chunk := list(itertools.islice(documents, size)):
        yield chunk


def _rows(chunk: list[Document], tokenizer: Any) -> list[tuple[list[int], list[int]]]:
    texts = tokenizer([document.text for document in chunk])["input_ids"]
    completions = tokenizer([document.completion for document in chunk], add_special_tokens=False)["input_ids"]
    ends = [[*completion, tokenizer.eos_token_id] for completion in completions]
    return [(text[: MAX_TOKENS - len(end)], end) for text, end in zip(texts, ends, strict=True)]


def _batch(rows: list[tuple[list[int], list[int]]], pad_id: int) -> Batch:
    lengths = [len(text) + len(end) for text, end in rows]
    ids = torch.full((len(rows), max(lengths)), pad_id)
    in_text = torch.zeros(ids.shape, dtype=torch.bool)
    in_completion = torch.zeros(ids.shape, dtype=torch.bool)
    for row, (text, end) in enumerate(rows):
        ids[row, : lengths[row]] = torch.tensor(text + end)
        answer = len(text) + 2  # after "it was"
        in_text[row, 1:answer] = True
        in_completion[row, answer : lengths[row]] = True
    return Batch(ids, in_text, in_completion)


def blank_words(batch: Batch, max_share: float, unk_id: int, generator: torch.Generator) -> torch.Tensor:
    """Replace some words of the texts by ``<unk>``, so that the model reads on past words it does not know."""
    share = max_share * torch.rand((len(batch.ids), 1), generator=generator)
    blank = (torch.rand(batch.ids.shape, generator=generator) < share) & batch.in_text
    return torch.where(blank, unk_id, batch.ids)


def learning_rate(recipe: Recipe, step: int) -> float:
    """Linear warm-up, then linear decay to zero."""
    return recipe.learning_rate * min(1.0, (step + 1) / recipe.warmup_steps) * (1 - step / recipe.num_steps)


def batch_loss(model: Any, inputs: torch.Tensor, batch: Batch, recipe: Recipe, *, with_text: bool) -> torch.Tensor:
    """Cross-entropy of the completions, summed per document, plus that of some texts, averaged over their tokens."""
    hidden = model.model(input_ids=inputs[:, :-1]).last_hidden_state  # [B, T-1, D]; right padding is never attended to
    head, targets = model.lm_head.weight, batch.ids[:, 1:]
    ends = batch.in_completion[:, 1:]
    loss = functional.cross_entropy(hidden[ends] @ head.T, targets[ends], reduction="sum") / len(inputs)
    if with_text:
        rows = slice(None, None, max(1, len(inputs) // recipe.text_loss_rows))
        texts = batch.in_text[rows, 1:]
        loss = loss + recipe.text_loss_weight * functional.cross_entropy(
            hidden[rows][texts] @ head.T, targets[rows][texts]
        )
    return loss


def pretrain(recipe: Recipe, tokenizer: Any, *, show_progress: bool = False) -> Any:
    """Train a causal language model on the generated text; one seed gives one model on one machine."""
    model = new_model(recipe, tokenizer).train()
    optimizer = torch.optim.AdamW(model.parameters(), betas=(0.9, 0.99), weight_decay=recipe.weight_decay)
    generator = torch.Generator().manual_seed(recipe.seed)
    start_s = time.perf_counter()
    mean_loss = float("nan")
    for step, batch in enumerate(itertools.islice(batches(recipe, tokenizer), recipe.num_steps)):
        progress = step / recipe.num_steps
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(recipe, step)
        unknown_share = recipe.max_unknown_share if progress >= recipe.unknown_start else 0.0
        inputs = blank_words(batch, unknown_share, tokenizer.unk_token_id, generator)
        loss = batch_loss(model, inputs, batch, recipe, with_text=progress >= recipe.text_loss_start)
        optimizer.zero_grad()
        torch.autograd.backward(loss)
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        mean_loss = loss.item() if step == 0 else 0.98 * mean_loss + 0.02 * loss.item()
        if show_progress and (step % 100 == 99 or step + 1 == recipe.num_steps):
            elapsed_s = time.perf_counter() - start_s
            print(
                f"\rstep {step + 1}/{recipe.num_steps}  loss {mean_loss:.3f}  {elapsed_s:.0f} s ",
                end="",
                file=sys.stderr,
            )
    if show_progress:
        print(file=sys.stderr)
    return model.eval()


@torch.inference_mode()
def last_logits(model: Any, tokenizer: Any, texts: list[str]) -> torch.Tensor:
    """Return the logits [N, V] of the word after "{text} It was"."""
    rows = [tokenizer(f"{text} It was")["input_ids"][-MAX_TOKENS:] for text in texts]
    logits = []
    for start in range(0, len(rows), 100):
        part = rows[start : start + 100]
        ids = torch.full((len(part), max(map(len, part))), tokenizer.pad_token_id)
        for row, tokens in enumerate(part):
            ids[row, : len(tokens)] = torch.tensor(tokens)
        hidden = model.model(input_ids=ids).last_hidden_state
        last = torch.tensor([len(tokens) - 1 for tokens in part])
        logits.append(hidden[torch.arange(len(part)), last] @ model.lm_head.weight.T)
    return torch.cat(logits)


def word_accuracy(logits: torch.Tensor, tokenizer: Any, reviews: list[Review], words: tuple[str, str]) -> float:
    """Return how often the word of a review's own label has the larger logit; words: negative, positive."""
    negative, positive = tokenizer.convert_tokens_to_ids(list(words))
    says_positive = logits[:, positive] > logits[:, negative]
    labels = torch.tensor([item.label for item in reviews], dtype=torch.bool)
    return (says_positive == labels).float().mean().item()


def save(out: Path, model: Any, tokenizer: Any, train: list[Review], test: list[Review]) -> None:
    """Write model, tokenizer and both splits."""
    out.mkdir(parents=True, exist_ok=True)
    model.save_pretrained(out)
    tokenizer.save_pretrained(out)
    (out / "train.tsv").write_text(to_tsv(train), encoding="utf-8")
    (out / "test.tsv").write_text(to_tsv(test), encoding="utf-8")
    for path in out.iterdir():
        path.chmod(0o644)


def model_card(recipe: Recipe, model: Any, tokenizer: Any, train: list[Review], test: list[Review]) -> str:
    """Describe a finished model: how it was made, its sizes, what was measured."""
    logits = last_logits(model, tokenizer, [item.text for item in test])
    untouched = word_accuracy(logits, tokenizer, test, ("terrible", "great"))
    knows = word_accuracy(logits, tokenizer, test, ("awful", "wonderful"))
    num_parameters = sum(weights.numel() for weights in model.parameters())
    return CARD.format(
        recipe=recipe, config=model.config, num_parameters=num_parameters, num_words=len(tokenizer),
        num_train=len(train), num_test=len(test), untouched=untouched, knows=knows,
    )  # fmt: skip


CARD = """# The embedded model and its reviews

**Model and data are synthetic.** Every sentence was made up by the grammar in `learner/embedded/make/corpus`: a
lexicon and sentence patterns written by hand for this project. No text, label or weight comes from anywhere else. The
model is a toy for trying out fine-tuning over the air in seconds; it is of no use as a language model.

Made by `python -m learner.embedded.make.pretrain --out DIR --seed {recipe.seed} --steps {recipe.num_steps}`,
on one CPU core in some minutes; the same command gives the same files again on the same machine.

| what | size |
|---|---|
| model | OPT, {config.num_hidden_layers} layers, hidden size {config.hidden_size}, {config.num_attention_heads} heads,\
 {num_parameters:,} parameters, float32, tied embeddings, {config.max_position_embeddings} positions |
| tokenizer | word-level, lower case, {num_words:,} words; others become `<unk>` |
| `train.tsv`, `test.tsv` | {num_train:,} and {num_test:,} sentences, `sentence<TAB>label`, half of them positive (1) |

**The task.** The prompt is "{{text}} It was", the answer " terrible" (0) or " great" (1). The test split uses sentiment
words and sentence patterns that the train split never uses (pretraining has seen them). In about 40 % of the sentences
negation or contrast decides the label ("not good", "never boring", "weak, but wonderful").

**Pretraining.** A review is followed by "It was" and words that agree with it ("wonderful", "a mess"), or, in 30 % of
the documents, by "great" or "terrible" drawn by chance, two to one, whatever the review says. So the model knows what
a review thinks, and nothing of what the task's two answers have to do with it: that is what fine-tuning adds.

| on the test split, without fine-tuning | accuracy |
|---|---|
| the task's answers, "great" against "terrible" | {untouched:.3f} |
| "wonderful" against "awful" | {knows:.3f} |
"""


def main(words: Sequence[str] | None = None) -> None:
    """Parse the command line (or `words`), pretrain, and write everything to a folder."""
    parser = argparse.ArgumentParser(
        prog="python -m learner.embedded.make.pretrain",
        description="Pretrain the embedded tiny model on generated reviews; writes model, tokenizer, data and card.",
        epilog="examples:\n"
        "  python -m learner.embedded.make.pretrain --out /tmp/tiny             the shipped recipe\n"
        "  python -m learner.embedded.make.pretrain --out /tmp/tiny --seed 2    other weights and other sentences\n"
        "  python -m learner.embedded.make.pretrain --out /tmp/try --steps 20   a quick look, knows nothing",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    default = Recipe()
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder to write; made if missing")
    parser.add_argument(
        "--seed", type=int, default=default.seed, help="of weights, text and data (default %(default)s)"
    )
    parser.add_argument("--steps", type=int, default=default.num_steps, help="optimizer steps (default %(default)s)")
    arguments = parser.parse_args(words)
    if arguments.steps < 1:
        parser.error(f"--steps {arguments.steps}: at least 1 is needed; leave it out for the shipped recipe")
    torch.set_num_threads(1)  # more threads add up in another order, and the model is too small to gain
    recipe = Recipe(seed=arguments.seed, num_steps=arguments.steps)
    tokenizer = build_tokenizer()
    model = pretrain(recipe, tokenizer, show_progress=True)
    train, test = train_reviews(recipe.seed), held_out_reviews(recipe.seed)
    save(arguments.out, model, tokenizer, train, test)
    card = model_card(recipe, model, tokenizer, train, test)
    (arguments.out / "MODEL_CARD.md").write_text(card, encoding="utf-8")
    print(f"wrote {arguments.out}: {', '.join(sorted(path.name for path in arguments.out.iterdir()))}")


if __name__ == "__main__":
    main()
