"""Probing reads weights and never writes them: in every type, for every loss, for models of any kind."""

import weakref
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM, MixtralConfig, MixtralForCausalLM

from learner.config import ModelConfig
from learner.errors import ModelError
from learner.tasks.batches import Batch, TextBatch, merge
from learner.tasks.task import Task
from learner.zo import example_losses, residents
from learner.zo import perturbed_forward as sweeps
from learner.zo.directions import Direction, Shift
from learner.zo.flat_weights import FlatWeights
from learner.zo.guards.resolution import check_resolution
from learner.zo.pairs import Pair, UnpairableError
from learner.zo.perturbed_forward import Sweep
from learner.zo.replica import Replica
from learner.zo.small_models import is_small

MakeTask = Callable[..., Task]
SETTINGS = {"seed": 123, "num_queries": 2, "perturbation_scale": 1e-3}
SIXTEEN = ("bfloat16", "float16")


@pytest.fixture(autouse=True)
def swept(monkeypatch: pytest.MonkeyPatch) -> None:
    """The models of these tests are tiny; sweep them as if they were large."""
    monkeypatch.setattr(example_losses, "is_small", lambda *_: False)


def class_batch(num_examples: int = 4, num_tokens: int = 16) -> Batch:
    ids = torch.arange(num_examples * num_tokens).reshape(num_examples, num_tokens) * 7 % 47
    last = torch.full((num_examples,), num_tokens - 1)
    return Batch(ids, last, torch.arange(num_examples) % 2, torch.tensor([4, 5]))


def text_batch() -> TextBatch:
    return TextBatch(class_batch().input_ids, torch.tensor([1, 5, 1, 15]), torch.tensor([16, 9, 2, 16]))


def moved(model_dir: Path, seed: int, amplitude: float) -> torch.nn.Module:
    """A copy of the model whose weights really are w + amplitude · z."""
    model = AutoModelForCausalLM.from_pretrained(model_dir, dtype=torch.float32).eval()
    offset = 0
    for _, parameter in sorted(model.named_parameters()):
        z = Direction(seed, 0).values(parameter.numel(), first=offset).view(parameter.shape)
        parameter.data.add_(amplitude * z)
        offset += -(-parameter.numel() // 128) * 128
    return model


def test_token_losses_equal_full_logits_of_really_moved_weights(any_model_dir: Path) -> None:
    replica, batch, scale = Replica.load(ModelConfig(path=str(any_model_dir))), text_batch(), 1e-2
    found = replica.scalars([batch], seed=3, num_queries=1, perturbation_scale=scale)
    sides = []
    for sign in (1, -1):
        logits = moved(any_model_dir, 3, sign * scale)(input_ids=batch.input_ids).logits
        nll = torch.nn.functional.cross_entropy(logits[:, :-1].mT, batch.input_ids[:, 1:], reduction="none")
        spans = [nll[n, start - 1 : stop - 1].mean() for n, (start, stop) in enumerate(zip(*spans_of(batch)))]  # noqa: B905
        sides.append(torch.stack(spans).detach().double().numpy())
    np.testing.assert_allclose(found.example_projections[0][:, 0], (sides[0] - sides[1]) / (2 * scale), atol=2e-3)
    np.testing.assert_allclose(found.loss, np.mean(sides), atol=1e-5)


def spans_of(batch: TextBatch) -> tuple[list[int], list[int]]:
    return batch.starts.tolist(), batch.stops.tolist()


def test_small_models_take_a_short_way_to_the_same_scalars_and_point_at_their_weights_again(
    any_model_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    batches = [class_batch(), text_batch(), class_batch(7, 8)]
    swept = Replica.load(ModelConfig(path=str(any_model_dir)))
    monkeypatch.setattr(example_losses, "is_small", is_small)
    small = Replica.load(ModelConfig(path=str(any_model_dir)))
    assert small._losses._copies is not None
    assert swept._losses._copies is None
    before = [(parameter.data_ptr(), parameter.clone()) for parameter in small.model.parameters()]
    first, second = (r.scalars(batches, **SETTINGS) for r in (small, swept))
    np.testing.assert_allclose(first.projected_gradients, second.projected_gradients, atol=2e-3)
    for parameter, (place, values) in zip(small.model.parameters(), before, strict=True):
        assert parameter.data_ptr() == place
        assert torch.equal(parameter, values)
    monkeypatch.setattr(small._scorer, "losses", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        small.scalars(batches, **SETTINGS)
    assert [parameter.data_ptr() for parameter in small.model.parameters()] == [place for place, _ in before]


def test_the_vocabulary_is_scored_the_same_in_chunks_of_any_size(
    replica: Replica, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = replica.losses([text_batch()])[0]
    monkeypatch.setattr("learner.zo.scoring._VOCABULARY_CHUNK", 7)
    np.testing.assert_allclose(replica.losses([text_batch()])[0], whole, rtol=1e-6)


def test_matrices_are_perturbed_the_same_in_chunks_of_any_size(
    any_model_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    replica = Replica.load(ModelConfig(path=str(any_model_dir)))
    monkeypatch.setattr(residents, "_RESIDENT_TOTAL", 0)
    streamed = Replica.load(ModelConfig(path=str(any_model_dir)))
    whole = replica.scalars([class_batch()], **SETTINGS).projected_gradients
    np.testing.assert_allclose(streamed.scalars([class_batch()], **SETTINGS).projected_gradients, whole, atol=2e-3)
    monkeypatch.setattr(sweeps, "CHUNK_ELEMENTS", 130)
    chunked = streamed.scalars([class_batch()], **SETTINGS).projected_gradients
    np.testing.assert_allclose(chunked, whole, atol=2e-3)


def test_both_signs_together_equal_one_after_the_other(any_model_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    replica = Replica.load(ModelConfig(path=str(any_model_dir)))
    together = replica.scalars([class_batch(), text_batch()], **SETTINGS)
    monkeypatch.setattr(example_losses, "_LONG_BATCH_TOKENS", 0)
    apart = replica.scalars([class_batch(), text_batch()], **SETTINGS)
    np.testing.assert_array_equal(together.projected_gradients, apart.projected_gradients)


def test_per_example_projections_average_to_the_scalar(replica: Replica) -> None:
    batches = [class_batch(), class_batch(7, 8), text_batch()]
    found = replica.scalars(batches, **SETTINGS)
    for k, (batch, each) in enumerate(zip(batches, found.example_projections, strict=True)):
        assert each.shape == (batch.num_examples, 2)
        np.testing.assert_allclose(each.mean(axis=0), found.projected_gradients[k], rtol=1e-6, atol=1e-9)
    assert (found.votes == np.where(found.projected_gradients >= 0, 1, -1)).all()


@pytest.mark.parametrize("dtype", ["float32", *SIXTEEN])
@pytest.mark.parametrize("compute_dtype", ["float32", "bfloat16"])
def test_probes_leave_every_bit_of_weights_of_any_type(any_model_dir: Path, dtype: str, compute_dtype: str) -> None:
    config = ModelConfig(path=str(any_model_dir), dtype=dtype, compute_dtype=compute_dtype)  # type: ignore[arg-type]
    replica = Replica.load(config)
    before, values = replica.fingerprint(), replica.weights()
    for seed in range(3):
        found = replica.scalars([class_batch(), text_batch()], seed=seed, num_queries=2, perturbation_scale=0.1)
        assert np.isfinite(found.projected_gradients).all()
    assert replica.fingerprint() == before
    assert all(np.array_equal(values[name], after) for name, after in replica.weights().items())


def test_bfloat16_arithmetic_beside_float32_weights_agrees_with_float32(any_model_dir: Path) -> None:
    path = str(any_model_dir)
    exact = Replica.load(ModelConfig(path=path))
    rough = Replica.load(ModelConfig(path=path, compute_dtype="bfloat16"))
    seeds, scale = range(40), 1e-2
    pairs = [
        [
            r.scalars([class_batch(16)], seed=s, num_queries=1, perturbation_scale=scale).projected_gradients[0, 0]
            for s in seeds
        ]
        for r in (exact, rough)
    ]
    assert np.corrcoef(pairs)[0, 1] > 0.9
    assert exact.fingerprint() == rough.fingerprint()


@pytest.mark.parametrize("dtype", SIXTEEN)
def test_16_bit_weights_replay_to_the_same_bits_and_survive_a_checkpoint(
    model_dirs: dict[str, Path], dtype: str, tmp_path: Path
) -> None:
    config = ModelConfig(path=str(model_dirs["llama"]), dtype=dtype)  # type: ignore[arg-type]
    live, late = Replica.load(config), Replica.load(config)
    journal = [(seed, [float(np.float32(1e-5 * (seed - 150))), float(np.float32(2e-6))]) for seed in range(300)]
    for n, (seed, coefficients) in enumerate(journal):
        live.update(seed, coefficients)
        if n == 9:
            live.save_weights(tmp_path / "w.safetensors")
    late.replay(journal)
    assert late.fingerprint() == live.fingerprint()
    late.load_weights(tmp_path / "w.safetensors")
    late.replay(journal[10:])
    assert late.fingerprint() == live.fingerprint()
    assert live.fingerprint() != Replica.load(config).fingerprint()


def test_devices_in_one_forward_are_grouped_so_that_memory_stays_bounded(
    model_dirs: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    config = ModelConfig(path=str(model_dirs["opt"]))
    replica = Replica.load(config, batch_devices=True)
    batches = [class_batch(3, 8), class_batch(5, 16), class_batch(2, 8), class_batch(4, 16)]
    together = replica.scalars(batches, **SETTINGS)
    monkeypatch.setattr(example_losses, "_SWEEP_TOKENS", 130)
    seen: list[int] = []
    score = replica._scorer.losses
    monkeypatch.setattr(replica._scorer, "losses", lambda sweep, b: seen.append(b.num_examples) or score(sweep, b))
    grouped = replica.scalars(batches, **SETTINGS)
    assert seen == [10, 4] * 2  # 120 and 64 tokens; two queries
    np.testing.assert_allclose(grouped.projected_gradients, together.projected_gradients, atol=2e-3)


def test_nothing_of_one_devices_forward_is_alive_when_the_next_begins(
    replica: Replica, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So a hundred devices need no more tensor memory than one."""
    forward, made, alive = replica._scorer._forward, [], []

    def watched(sweep: Sweep, ids: torch.Tensor) -> object:
        alive.append(sum(reference() is not None for reference in made))
        hidden = forward(sweep, ids)
        made.extend(weakref.ref(side) for side in hidden.sides)
        return hidden

    monkeypatch.setattr(replica._scorer, "_forward", watched)
    replica.scalars([class_batch()] * 100, seed=1, num_queries=1, perturbation_scale=1e-3)
    assert alive == [0] * 100
    assert len(made) == 200


def test_models_that_route_tokens_are_probed_one_sign_after_the_other() -> None:
    torch.manual_seed(0)
    config = MixtralConfig(
        vocab_size=50,
        hidden_size=24,
        intermediate_size=40,
        num_hidden_layers=1,
        num_attention_heads=2,
        num_key_value_heads=2,
        num_local_experts=4,
        max_position_embeddings=64,
    )
    replica = Replica(MixtralForCausalLM(config).eval(), None)
    before = replica.fingerprint()
    found = replica.scalars([class_batch()], seed=1, num_queries=1, perturbation_scale=1e-2)
    weights = replica.weights()
    sides = []
    for sign in (1, -1):
        copy = MixtralForCausalLM(config).eval()
        parameters, offset = dict(copy.named_parameters()), 0
        for name, values in sorted(weights.items()):
            z = Direction(1, 0).values(values.size, first=offset).view(values.shape)
            parameters[name].data.copy_(torch.from_numpy(values) + sign * np.float32(1e-2) * z)
            offset += -(-values.size // 128) * 128
        sides.append(Replica(copy, None).losses([class_batch()])[0].mean())
    assert found.projected_gradients[0, 0] == pytest.approx((sides[0] - sides[1]) / 2e-2, abs=2e-3)
    assert replica.fingerprint() == before


def test_writing_both_signs_into_one_tensor_is_refused(replica: Replica) -> None:
    shift = Shift(Direction(0, 0), 1e-3)
    with Sweep(replica._weights, shift, torch.float32):
        pair = torch.nn.functional.embedding(torch.tensor([1]), replica.model.get_input_embeddings().weight)
        assert type(pair) is Pair
        assert type(pair * 2 + torch.ones(1)) is Pair
        with pytest.raises(UnpairableError, match="add_ writes values that depend on the sign"):
            torch.zeros(pair.shape).add_(pair)
        with pytest.raises(UnpairableError, match=r"gives .* for the two signs"):
            pair.sum().item()


def test_merged_texts_keep_their_spans() -> None:
    merged = merge(
        [text_batch(), TextBatch(torch.ones((1, 20), dtype=torch.int64), torch.tensor([2]), torch.tensor([20]))]
    )
    assert isinstance(merged, TextBatch)
    assert merged.input_ids.shape == (5, 20)
    rows, positions, targets = merged.scored()
    assert torch.equal(rows.bincount(), torch.tensor([15, 4, 1, 1, 18]))
    assert torch.equal(targets, merged.input_ids[rows, positions + 1])


@pytest.mark.parametrize("dtype", SIXTEEN)
def test_a_perturbation_below_the_resolution_of_the_arithmetic_is_refused(
    model_dirs: dict[str, Path], dtype: str
) -> None:
    path = str(model_dirs["llama"])
    replica = Replica.load(ModelConfig(path=path, dtype=dtype))  # type: ignore[arg-type]
    settings = {"seed": 1, "num_queries": 1}
    replica.scalars([class_batch()], perturbation_scale=0.1, **settings)
    with pytest.raises(ModelError, match=rf"below the resolution of {dtype}: (9\d|100)% of the weights are the same"):
        replica.scalars([class_batch()], perturbation_scale=1e-6, **settings)
    wide = Replica.load(ModelConfig(path=path, dtype=dtype, compute_dtype="float32"))  # type: ignore[arg-type]
    found = wide.scalars([class_batch()], perturbation_scale=1e-4, **settings)
    assert np.isfinite(found.projected_gradients).all()


def test_the_share_of_weights_that_do_not_move_is_measured() -> None:
    weights = FlatWeights(torch.nn.Linear(100, 10, bias=False))
    weights.parameters["weight"].fill_(1.0)
    weights.parameters["weight"][:2] = 2.0**-8  # a fifth has a finer grid
    check_resolution(weights, 2.0**-6, torch.bfloat16)
    with pytest.raises(ModelError, match=r"80% of the weights are the same at \+ and -.* raise it to 0.008, or set"):
        check_resolution(weights, 2.0**-10, torch.bfloat16)
    weights.parameters["weight"][:7] = 2.0**-8
    with pytest.warns(RuntimeWarning, match="30% of the weights"):
        check_resolution(weights, 2.0**-10, torch.bfloat16)
