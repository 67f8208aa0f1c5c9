"""Pretraining in miniature, and the shipped model."""

import dataclasses
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

import learner.embedded
from learner.embedded.make.corpus import held_out_reviews
from learner.embedded.make.corpus.tokenizer import build_tokenizer
from learner.embedded.make.pretrain import Recipe, last_logits, learning_rate, new_model, pretrain, word_accuracy

EMBEDDED_DIR = Path(learner.embedded.__file__).parent
MAX_FOLDER_BYTES = 4 * 2**20
SMALL = Recipe(num_steps=4, batch_documents=16, hidden_size=16, ffn_size=32, num_heads=2)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("made") / "tiny"
    command = [sys.executable, "-m", "learner.embedded.make.pretrain", "--out", str(out), "--steps", "3", "--seed", "2"]
    subprocess.run(command, check=True, capture_output=True)
    return out


def test_pretraining_writes_a_folder_that_loads(made: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(made)
    model = AutoModelForCausalLM.from_pretrained(made)
    logits = model(**tokenizer("A dull film. It was", return_tensors="pt")).logits
    assert logits.shape == (1, 7, len(tokenizer))
    assert logits.dtype == torch.float32
    assert {"config.json", "model.safetensors", "tokenizer.json", "train.tsv", "test.tsv", "MODEL_CARD.md"} <= {
        path.name for path in made.iterdir()
    }


def test_the_card_says_synthetic_and_how_it_was_made(made: Path) -> None:
    card = (made / "MODEL_CARD.md").read_text(encoding="utf-8")
    assert "synthetic" in card
    assert "python -m learner.embedded.make.pretrain --out DIR --seed 2 --steps 3" in card


def test_one_seed_gives_one_model() -> None:
    tokenizer = build_tokenizer()
    first, second, other = (
        pretrain(recipe, tokenizer).state_dict() for recipe in (SMALL, SMALL, dataclasses.replace(SMALL, seed=2))
    )
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert not all(torch.equal(first[name], other[name]) for name in first)


def test_head_and_embedding_are_tied() -> None:
    model = new_model(SMALL, build_tokenizer())
    assert model.lm_head.weight is model.model.decoder.embed_tokens.weight


def test_learning_rate_warms_up_and_ends_near_zero() -> None:
    recipe = Recipe(num_steps=1_000, warmup_steps=100)
    rates = [learning_rate(recipe, step) for step in range(1_000)]
    assert max(rates) < recipe.learning_rate
    assert rates[0] == pytest.approx(recipe.learning_rate / 100)
    assert rates[-1] < 0.002 * recipe.learning_rate


def test_shipped_folder_is_small() -> None:
    files = [path for path in EMBEDDED_DIR.rglob("*") if path.is_file() and "__pycache__" not in path.parts]
    assert sum(path.stat().st_size for path in files) <= MAX_FOLDER_BYTES


def test_shipped_model_knows_what_reviews_think_but_not_the_tasks_answers() -> None:
    tokenizer = AutoTokenizer.from_pretrained(EMBEDDED_DIR)
    model = AutoModelForCausalLM.from_pretrained(EMBEDDED_DIR).eval()
    reviews = held_out_reviews(1)
    logits = last_logits(model, tokenizer, [item.text for item in reviews])
    assert word_accuracy(logits, tokenizer, reviews, ("awful", "wonderful")) > 0.9
    assert 0.45 <= word_accuracy(logits, tokenizer, reviews, ("terrible", "great")) <= 0.65
