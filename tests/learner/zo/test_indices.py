"""A token or a position beyond its table is an error by name, never the memory behind the table."""

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import AutoTokenizer

from learner.config import LoraSettings, ModelConfig
from learner.errors import ModelError
from learner.kernels import directions_torch
from learner.tasks.batches import Batch, TextBatch
from learner.zo import directions, example_losses
from learner.zo.directions import Direction, Shift
from learner.zo.products import perturbed_products
from learner.zo.replica import Replica

SETTINGS = {"seed": 1, "num_queries": 1, "perturbation_scale": 1e-3}


def batch_with(token: int) -> Batch:
    ids = torch.tensor([[1, 2, token, 3]])
    return Batch(ids, torch.tensor([3]), torch.tensor([0]), torch.tensor([4, 5]))


@pytest.mark.parametrize("token", [50, 10**6, -1])
@pytest.mark.parametrize("kind", ["small", "swept", "adapters"])
def test_a_token_beyond_the_embeddings_is_refused_however_the_model_is_probed(
    model_dirs: dict[str, Path], monkeypatch: pytest.MonkeyPatch, token: int, kind: str
) -> None:
    if kind != "small":
        monkeypatch.setattr(example_losses, "is_small", lambda *_: False)
    lora = LoraSettings(rank=2) if kind == "adapters" else None
    replica = Replica.load(ModelConfig(path=str(model_dirs["llama"]), lora=lora))
    with pytest.raises(ModelError, match=rf"index {token} into a table of 50 rows; allowed 0 to 49; use the model's"):
        replica.scalars([batch_with(token)], **SETTINGS)
    with pytest.raises(ModelError, match=rf"index {token} into a table"):
        replica.class_logits([batch_with(token)])


@pytest.mark.parametrize("kind", ["small", "swept"])
def test_a_class_beyond_the_head_is_refused(
    model_dirs: dict[str, Path], monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    if kind != "small":
        monkeypatch.setattr(example_losses, "is_small", lambda *_: False)
    replica = Replica.load(ModelConfig(path=str(model_dirs["opt"])))
    for token in (-2, 50):
        batch = Batch(torch.tensor([[1, 2]]), torch.tensor([1]), torch.tensor([0]), torch.tensor([4, token]))
        with pytest.raises(ModelError, match=f"index {token} into a table of 50 rows"):
            replica.scalars([batch], **SETTINGS)


def test_a_target_beyond_the_head_is_refused_though_the_embeddings_have_it(model_dirs: dict[str, Path]) -> None:
    replica = Replica.load(ModelConfig(path=str(model_dirs["llama"])))
    head = replica.model.get_output_embeddings()
    head.weight = torch.nn.Parameter(head.weight[:40].clone(), requires_grad=False)
    text = TextBatch(torch.tensor([[1, 2, 45, 3]]), torch.tensor([1]), torch.tensor([4]))
    with pytest.raises(ModelError, match="index 45 into a table of 40 rows"):
        replica.losses([text])


@pytest.mark.parametrize("way", ["compiled", "torch"])
def test_no_kernel_reads_a_row_that_is_not_there(monkeypatch: pytest.MonkeyPatch, way: str) -> None:
    if way == "torch":
        monkeypatch.setattr(directions, "_is_compiled", lambda _: False)
        monkeypatch.setattr(directions, "_on_torch", lambda _: directions_torch)
    memory = torch.full((20, 8), 7.0)
    table = memory[5:15]  # what is behind it is readable
    shift = Shift(Direction(3, 0), 1e-3)
    made = shift.both_rows(table, torch.tensor([0, 9]), 0)
    np.testing.assert_allclose(made.numpy(), 7.0, atol=2e-3)
    for row in (-1, 10):
        with pytest.raises(ModelError, match=f"index {row} into a table of 10 rows"):
            shift.both_rows(table, torch.tensor([[0, row]]), 0)
    assert shift.both_rows(table, torch.zeros((0,), dtype=torch.int64), 0).shape == (2, 0, 8)


def test_products_of_sides_of_different_shapes_are_left_to_others() -> None:
    weight = torch.zeros((512, 512))
    xs = [torch.zeros((64, 512)), torch.zeros((32, 512))]
    assert perturbed_products(Shift(Direction(3, 0), 1e-3), weight, 0, xs, [None, None], (0, 1)) is None


def test_a_tokenizer_with_added_tokens_and_a_model_of_its_former_size_are_refused_when_loaded(
    model_dirs: dict[str, Path], tmp_path: Path, make_task: Callable[..., object]
) -> None:
    directory = Path(shutil.copytree(model_dirs["opt"], tmp_path / "added"))
    tokenizer = AutoTokenizer.from_pretrained(directory)
    tokenizer.add_tokens([f"<new{n}>" for n in range(40)])
    tokenizer.save_pretrained(directory)
    assert tokenizer.vocab_size < 50 < len(tokenizer)
    with pytest.raises(ModelError, match=r"has \d+ tokens, its model only 50 embeddings; .*resize_token_embeddings"):
        Replica.load(ModelConfig(path=str(directory)))
