"""Words of several tokens are scored by all of their tokens, as by whole forwards of prompt and word."""

import csv
from pathlib import Path

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer, models, pre_tokenizers, trainers
from transformers import AutoModelForCausalLM, LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from learner.baselines import batch_loss
from learner.config import ModelConfig, TaskConfig
from learner.tasks.batches import Batch, examples, merge
from learner.tasks.task import Task
from learner.tasks.words import Words
from learner.zo import example_losses
from learner.zo.evaluation import evaluate
from learner.zo.replica import Replica
from tests.learner.zo.test_packing import OTHERS, SHARES, WINDOW

BANKING_DIR = Path(__file__).parents[4] / "shared" / "data" / "banking77"
WORDS = [[4, 7, 9], [4, 7, 11, 12], [5], [4, 8], [6, 7, 9]]
"""Five words: three begin alike, two end alike, one is short."""


@pytest.fixture(params=["llama", "gpt2", "opt", "opt_projected", "qwen3", *OTHERS])
def named_model(request: pytest.FixtureRequest, model_dirs: dict[str, Path]) -> tuple[str, torch.nn.Module]:
    if request.param in model_dirs:
        return request.param, AutoModelForCausalLM.from_pretrained(model_dirs[request.param]).eval()
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(OTHERS[request.param]).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.2 * torch.randn_like(parameter))
    return request.param, model


def batch_of(lengths: list[int], *, seed: int = 1) -> Batch:
    draw = torch.Generator().manual_seed(seed)
    ids = torch.randint(2, 50, (len(lengths), max(lengths) + 2), generator=draw)
    labels = torch.arange(len(lengths)) % len(WORDS)
    none = torch.tensor([], dtype=torch.int64)
    return Batch(ids, torch.tensor(lengths) - 1, labels, none, Words.of(WORDS))


@torch.no_grad()
def log_likelihoods(model: torch.nn.Module, batch: Batch) -> torch.Tensor:
    """[B, C] the plain way: every word behind every prompt, one forward each."""
    scores = torch.zeros(batch.num_examples, len(WORDS), dtype=torch.float64)
    for example, last in enumerate(batch.last_positions.tolist()):
        for number, word in enumerate(WORDS):
            ids = torch.cat([batch.input_ids[example, : last + 1], torch.tensor(word)])
            log_p = torch.log_softmax(model(input_ids=ids[None], use_cache=False).logits[0].double(), dim=1)
            scores[example, number] = sum(log_p[last + step, token] for step, token in enumerate(word))
    return scores


def test_scores_are_log_likelihoods_of_whole_words(named_model: tuple[str, torch.nn.Module]) -> None:
    name, model = named_model
    batch = batch_of([6, 3, 9, 2])
    wanted = log_likelihoods(model, batch)
    replica = Replica(model, None)
    packed = replica.packed(batch)
    assert (packed.forwards[0].mask is not None) == (name in SHARES | {"opt_projected"})
    (scores,) = replica.class_logits([batch])
    # float32 sums of some hundred terms, up to four of them, and log-likelihoods to −60
    np.testing.assert_allclose(scores, wanted, rtol=2e-5, atol=2e-4)
    losses = torch.nn.functional.cross_entropy(wanted, batch.labels, reduction="none")
    np.testing.assert_allclose(replica.losses([batch])[0], losses, atol=5e-4)
    assert float(batch_loss(model, batch)) == pytest.approx(float(losses.mean()), abs=5e-4)


def test_examples_move_no_bit_of_each_other(model_dirs: dict[str, Path]) -> None:
    replica = Replica.load(ModelConfig(path=str(model_dirs["llama"])))
    batch = batch_of([6, 3, 9, 2])
    whole = replica.losses([batch])[0]
    for changed in range(4):
        batch.input_ids[changed] = 49 - batch.input_ids[changed] % 40
        moved = replica.losses([batch])[0]
        assert moved[changed] != whole[changed]
        assert np.array_equal(np.delete(moved, changed), np.delete(whole, changed))
        whole = moved


def test_a_window_narrower_than_prompt_and_word_is_not_widened(model_dirs: dict[str, Path]) -> None:
    replica = Replica(AutoModelForCausalLM.from_config(OTHERS["mistral"]).eval(), None)
    depth = max(map(len, WORDS)) - 1
    assert replica.packed(batch_of([WINDOW - depth, 5])).forwards[0].mask is not None
    assert all(rows.mask is None for rows in replica.packed(batch_of([WINDOW - depth + 1, 5])).forwards)


def test_batches_of_devices_and_single_examples_keep_their_words(model_dirs: dict[str, Path]) -> None:
    replica = Replica.load(ModelConfig(path=str(model_dirs["gpt2"])))
    first, second = batch_of([6, 3]), batch_of([4, 8, 2], seed=2)
    both = merge([first, second])
    whole = replica.losses([both])[0]
    alone = np.concatenate([replica.losses([each])[0] for batch in (first, second) for each in examples(batch)])
    np.testing.assert_allclose(whole, alone, atol=1e-4)


@pytest.mark.parametrize("is_large", [False, True])
def test_the_projection_is_that_of_the_whole_words(
    is_large: bool, model_dirs: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both ways to the two signs, against a difference of losses at weights that were really moved."""
    if is_large:
        monkeypatch.setattr(example_losses, "is_small", lambda *_: False)
    replica = Replica.load(ModelConfig(path=str(model_dirs["llama"])))
    batch, scale = batch_of([6, 3, 9, 2]), 2.0**-7
    found = replica.scalars([batch], seed=3, num_queries=1, perturbation_scale=scale).projected_gradients[0, 0]
    sides = []
    for sign in (1, -1):
        moved = Replica.load(ModelConfig(path=str(model_dirs["llama"])))
        moved.update(3, [-sign * scale])
        sides.append(moved.losses([batch])[0].mean())
    assert found == pytest.approx((sides[0] - sides[1]) / (2 * scale), rel=1e-3, abs=1e-2)
    assert abs(found) > 0.1


def test_common_beginnings_are_there_once() -> None:
    words = Words.of(WORDS)
    assert (words.num_nodes, words.depth, len(words.edge_tokens)) == (5, 3, 10)
    assert words.above().sum(dim=1).tolist() == [1, 2, 3, 1, 2]
    assert [len(line) for line in words.lines()] == [3, 2]
    edges = torch.arange(10.0).repeat(2, 1) ** 2
    numbers = [[edge for edge in path if edge < 10] for path in words.paths.tolist()]
    assert words.scores(edges)[1].tolist() == [sum(edge**2 for edge in path) for path in numbers]
    assert [[int(words.edge_tokens[edge]) for edge in path] for path in numbers] == WORDS


@pytest.fixture(scope="module")
def byte_tokenizer() -> PreTrainedTokenizerFast:
    """Any text becomes pieces of words, as with tokenizers of pretrained models."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=600, initial_alphabet=alphabet, special_tokens=["<end>"], show_progress=False
    )
    tokenizer.train_from_iterator([(BANKING_DIR / "test.csv").read_text(encoding="utf-8")], trainer)
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="<end>", pad_token="<end>")


def test_banking77_runs_with_the_words_of_its_classes(byte_tokenizer: PreTrainedTokenizerFast) -> None:
    torch.manual_seed(0)
    size = {"hidden_size": 24, "intermediate_size": 40, "num_hidden_layers": 2, "num_attention_heads": 2}
    model = LlamaForCausalLM(LlamaConfig(**size, vocab_size=600, max_position_embeddings=256))
    replica = Replica(model.eval(), byte_tokenizer)
    config = TaskConfig(path=str(BANKING_DIR), template="banking77", num_train=200, num_test=40)
    task = Task(config, replica.tokenizer, num_devices=2, seed=1, max_model_tokens=replica.max_tokens)
    assert task.words is not None
    with (BANKING_DIR / "train.csv").open(encoding="utf-8", newline="") as lines:
        assert set(task.template.verbalizer) == {row["category"] for row in csv.DictReader(lines)}
    found = evaluate(replica, task)
    assert np.isfinite(found.loss)
    assert found.num_examples == 40
    scalars = replica.scalars([task.batch(0, 0, 4)], seed=1, num_queries=1, perturbation_scale=1e-3)
    assert np.isfinite(scalars.projected_gradients).all()
