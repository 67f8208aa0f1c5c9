"""Examples that share rows come out as if each were alone, and a model that would mix them never shares rows."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import (
    AutoModelForCausalLM,
    BloomConfig,
    GPTJConfig,
    MambaConfig,
    MistralConfig,
    PretrainedConfig,
)

from learner.config import ModelConfig, TaskConfig
from learner.tasks.batches import AnyBatch, Batch, TextBatch, examples, merge
from learner.tasks.packing import needed_tokens, pack
from learner.tasks.task import Task
from learner.zo import example_losses
from learner.zo.replica import Replica

SST2_DIR = Path(__file__).parents[4] / "shared" / "data" / "sst2"
SIZE = {"vocab_size": 50, "bos_token_id": 1, "eos_token_id": 1, "pad_token_id": 0}
WINDOW = 16
OTHERS: dict[str, PretrainedConfig] = {
    "bloom": BloomConfig(**SIZE, hidden_size=24, n_layer=2, n_head=2),  # distances bias attention
    "mamba": MambaConfig(**SIZE, hidden_size=24, num_hidden_layers=2, state_size=4),  # a state that nothing restarts
    "gptj": GPTJConfig(**SIZE, n_embd=24, n_layer=2, n_head=2, n_positions=64, rotary_dim=8),  # masks are added
    "mistral": MistralConfig(
        **SIZE,
        hidden_size=24,
        intermediate_size=40,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=1,
        max_position_embeddings=64,
        sliding_window=WINDOW,
    ),
}
SHARES = {"llama", "gpt2", "opt", "qwen3", "gptj", "mistral"}


@pytest.fixture(params=["llama", "gpt2", "opt", "qwen3", *OTHERS])
def named_replica(request: pytest.FixtureRequest, model_dirs: dict[str, Path]) -> tuple[str, Replica]:
    if request.param in model_dirs:
        return request.param, Replica.load(ModelConfig(path=str(model_dirs[request.param])))
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(OTHERS[request.param]).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.2 * torch.randn_like(parameter))
    return request.param, Replica(model, None)


def batch_of(lengths: list[int], common: int, *, seed: int, of_texts: bool = False) -> AnyBatch:
    """Random examples that begin alike, with padding of random tokens."""
    draw = torch.Generator().manual_seed(seed)
    ids = torch.randint(2, 50, (len(lengths), max(lengths) + 3), generator=draw)
    ids[:, :common] = torch.randint(2, 50, (common,), generator=draw)
    stops = torch.tensor(lengths)
    if of_texts:
        return TextBatch(ids, 1 + torch.arange(len(lengths)) % (stops - 1), stops)
    return Batch(ids, stops - 1, torch.arange(len(lengths)) % 2, torch.tensor([4, 5]))


def losses(replica: Replica, batch: AnyBatch) -> np.ndarray:
    return replica.losses([batch])[0]


@pytest.mark.parametrize("of_texts", [False, True])
def test_a_batch_equals_each_example_alone(named_replica: tuple[str, Replica], of_texts: bool) -> None:
    name, replica = named_replica
    draw, num_shared = np.random.default_rng(1), 0
    for seed in range(5):
        lengths = draw.integers(2, (12, 40)[seed % 2], size=draw.integers(2, 12)).tolist()
        batch = batch_of(lengths, int(draw.integers(0, 4)), seed=seed, of_texts=of_texts)
        alone = np.concatenate([losses(replica, single) for single in examples(batch)])
        # float32 sums of some hundred terms and logits of size 10
        np.testing.assert_allclose(losses(replica, batch), alone, rtol=1e-5, atol=1e-5)
        num_shared += any(rows.mask is not None for rows in replica.packed(batch).forwards)
    assert (num_shared > 0) == (name in SHARES)


def test_companions_in_a_row_move_no_bit(named_replica: tuple[str, Replica]) -> None:
    name, replica = named_replica
    if name not in SHARES:
        pytest.skip("never shares a row")
    batch = batch_of([9, 5, 7, 8, 3], 2, seed=1)
    assert replica.packed(batch).forwards[0].mask is not None
    whole = losses(replica, batch)
    for changed in range(5):
        batch.input_ids[changed, 2:] = 49 - batch.input_ids[changed, 2:] % 40
        moved = losses(replica, batch)
        assert moved[changed] != whole[changed]
        assert np.array_equal(np.delete(moved, changed), np.delete(whole, changed))
        whole = moved


@pytest.mark.parametrize("name", sorted(SHARES & {"llama", "gpt2", "opt", "qwen3"}))
@pytest.mark.parametrize(("compute_dtype", "tolerance"), [("float32", 2e-3), ("bfloat16", 5.0)])
def test_both_signs_of_large_models_share_rows_too(
    name: str, compute_dtype: str, tolerance: float, model_dirs: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Projections of size 10; bfloat16 moves a loss by 1 %, and 2 scale divides it."""
    monkeypatch.setattr(example_losses, "is_small", lambda *_: False)
    replica = Replica.load(ModelConfig(path=str(model_dirs[name]), compute_dtype=compute_dtype))  # type: ignore[arg-type]
    for batch in (batch_of([9, 5, 7, 8, 3], 2, seed=1), batch_of([9, 5, 7, 8, 3], 2, seed=1, of_texts=True)):
        assert replica.packed(batch).forwards[0].mask is not None
        options = {"seed": 3, "num_queries": 1, "perturbation_scale": 1e-2}
        (together,) = replica.scalars([batch], **options).example_projections
        (alone,) = replica.scalars([batch], **options, example_clip=1.0, normaliser=5).example_projections
        np.testing.assert_allclose(together, alone, atol=tolerance)
        assert np.abs(alone).max() > 0.5


def test_a_window_narrower_than_an_example_is_not_widened(model_dirs: dict[str, Path]) -> None:
    replica = Replica(AutoModelForCausalLM.from_config(OTHERS["mistral"]).eval(), None)
    assert replica.packed(batch_of([WINDOW, 5, 9], 0, seed=1)).forwards[0].mask is not None
    assert all(rows.mask is None for rows in replica.packed(batch_of([WINDOW + 1, 5, 9], 0, seed=1)).forwards)


@given(
    lengths=st.lists(st.integers(2, 60), min_size=2, max_size=30),
    common=st.integers(0, 5),
    width=st.sampled_from([8, 100, 4000]),
)
@settings(max_examples=40, deadline=None)
def test_in_shared_rows_a_token_sees_its_own_example_so_far_and_nothing_else(
    lengths: list[int], common: int, width: int
) -> None:
    batch = batch_of(lengths, common, seed=len(lengths))
    packed = pack(batch, shares_rows_up_to=60, model_width=width)
    (rows,) = packed.forwards
    assert packed.num_tokens <= batch.input_ids.numel()
    tokens = rows.input_ids.flatten()
    for example, length in enumerate(lengths):
        places = rows.places[example, :length]
        assert torch.equal(tokens[places], batch.input_ids[example, :length])
        if rows.mask is None or rows.position_ids is None:
            continue
        assert torch.equal(rows.position_ids.flatten()[places], torch.arange(length))
        row, columns = int(places[0]) // rows.input_ids.shape[1], places % rows.input_ids.shape[1]
        assert bool((places // rows.input_ids.shape[1] == row).all())
        for position, column in enumerate(columns):
            seen = rows.mask[row, 0, column].nonzero().flatten()
            assert torch.equal(seen, columns[: position + 1].sort().values)
    if rows.mask is not None:
        assert bool(rows.mask.diagonal(dim1=2, dim2=3).all())  # padding has something to see: no NaN


@pytest.mark.skipif(not SST2_DIR.exists(), reason="needs ../shared/data/sst2")
def test_the_model_is_run_at_little_more_than_the_tokens_of_real_sentences() -> None:
    replica = Replica.load(ModelConfig())
    config = TaskConfig(path=str(SST2_DIR), prompt="Review: {text}\nSentiment:", num_train=2000)
    task = Task(config, replica.tokenizer, num_devices=5, seed=1)
    batches = [task.batch(device, n, 8) for device in range(5) for n in range(4)]
    batches += [merge(batches[n : n + 5]) for n in range(0, 20, 5)]
    seen: list[int] = []
    hook = replica.model.base_model.register_forward_pre_hook(
        lambda module, args, kwargs: seen.append(kwargs["input_ids"].numel()), with_kwargs=True
    )
    replica.losses(batches)
    hook.remove()
    needed = sum(int(needed_tokens(batch).sum()) for batch in batches)
    assert sum(seen) == sum(replica.packed(batch).num_tokens for batch in batches)
    assert sum(seen) <= 1.1 * needed


def test_rows_are_shared_by_the_bits_of_the_batch_alone(replica: Replica, make_task: Callable[..., Task]) -> None:
    batch = make_task().batch(0, 0, 6)
    first, second = (replica.packed(batch).forwards[0] for _ in range(2))
    assert torch.equal(first.input_ids, second.input_ids)
    assert torch.equal(first.places, second.places)
