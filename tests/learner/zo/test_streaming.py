"""Streamed weights give the bits of resident ones; a pass fetches each block once; two blocks are on the device."""

import threading
from itertools import pairwise
from pathlib import Path

import msgspec
import numpy as np
import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from learner.config import ModelConfig
from learner.errors import ModelError
from learner.tasks.batches import Batch, TextBatch
from learner.zo import example_losses
from learner.zo.perturbed_forward import Sweep
from learner.zo.replica import Replica
from learner.zo.streaming.transfers import Block, Place
from learner.zo.streaming.weights import StreamedWeights

SETTINGS = {"seed": 123, "num_queries": 2, "perturbation_scale": 1e-3}
LAYERS = 5
DEVICES = ["cpu", pytest.param("cuda", marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU"))]


@pytest.fixture(autouse=True)
def swept(monkeypatch: pytest.MonkeyPatch) -> None:
    """The models of these tests are tiny; sweep them as if they were large."""
    monkeypatch.setattr(example_losses, "is_small", lambda *_: False)


def batches() -> list[Batch | TextBatch]:
    ids = torch.arange(4 * 16).reshape(4, 16) * 7 % 47
    last = torch.full((4,), 15)
    return [
        Batch(ids, last, torch.arange(4) % 2, torch.tensor([4, 5])),
        TextBatch(ids, torch.tensor([1, 5, 1, 15]), torch.tensor([16, 9, 2, 16])),
    ]


def deep_model(hidden_size: int = 32, num_hidden_layers: int = LAYERS) -> LlamaForCausalLM:
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=50,
        hidden_size=hidden_size,
        intermediate_size=2 * hidden_size,
        num_hidden_layers=num_hidden_layers,
        num_attention_heads=2,
        max_position_embeddings=64,
        tie_word_embeddings=False,
        pad_token_id=0,
        bos_token_id=1,
        eos_token_id=1,
    )
    return LlamaForCausalLM(config).eval()


def streamed(device: str = "cpu") -> tuple[Replica, StreamedWeights]:
    replica = Replica(deep_model(), None, device=device, is_streamed=True)
    assert isinstance(replica._weights, StreamedWeights)
    return replica, replica._weights


def trained(replica: Replica, directory: Path) -> dict[str, object]:
    """Everything that a learner host does, with two rounds of updates in between."""
    made = {}
    for number in range(2):
        found = replica.scalars(batches(), **SETTINGS)
        made[f"scalars {number}"] = [found.projected_gradients.tobytes(), found.loss.tobytes()]
        replica.update(number, [float(np.float32(1e-4 * p)) for p in found.projected_gradients[0]])
    clipped = replica.scalars(batches(), example_clip=1.0, normaliser=4, **SETTINGS)
    made["each alone"] = clipped.projected_gradients.tobytes()
    replica.replay([(seed, [float(np.float32(1e-3))]) for seed in range(300)])
    made["logits"] = replica.class_logits(batches()[:1])[0].tobytes()
    made["losses"] = [each.tobytes() for each in replica.losses(batches())]
    made["generated"] = replica.generate([[3, 4, 5], [7]], max_new_tokens=4)
    replica.update(7, [0.5])
    made["fingerprint"] = replica.fingerprint()
    replica.update(8, [0.5])
    replica.save_weights(directory / "w.safetensors")
    made["saved"] = (directory / "w.safetensors").read_bytes()
    replica.update(9, [0.5])
    made["weights"] = {name: values.tobytes() for name, values in replica.weights().items()}
    replica.update(10, [0.5])
    replica.save_model(directory / "model")
    made["model"] = (directory / "model" / "model.safetensors").read_bytes()
    replica.update(11, [0.5])
    replica.load_weights(directory / "w.safetensors")
    made["after loading"] = [each.tobytes() for each in replica.losses(batches())]
    return made


WAYS = [
    *((name, "float32", None) for name in ("opt", "opt_projected", "gpt2", "llama", "qwen3")),
    ("opt", "float32", "bfloat16"),
    ("gpt2", "bfloat16", None),
]


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize(("name", "dtype", "compute_dtype"), WAYS)
def test_streamed_weights_give_every_bit_of_resident_ones(
    model_dirs: dict[str, Path], tmp_path: Path, device: str, name: str, dtype: str, compute_dtype: str | None
) -> None:
    made = {}
    for way in (device, f"stream:{device}"):
        config = ModelConfig(path=str(model_dirs[name]), device=way, dtype=dtype, compute_dtype=compute_dtype)  # type: ignore[arg-type]
        made[way] = trained(Replica.load(config), tmp_path / way)
    resident, through = made.values()
    assert [name for name in resident if resident[name] != through[name]] == []


def test_a_pass_fetches_each_block_once_for_both_signs_and_generation_once_a_token() -> None:
    replica, weights = streamed()
    layers = {f"model.layers.{number}": 1 for number in range(LAYERS)}
    for seed in range(3):
        weights.transfers.fetches.clear()
        replica.scalars(batches()[:1], seed=seed, num_queries=1, perturbation_scale=1e-3)
        assert weights.transfers.fetches == {**layers, "model.norm": 1}
        replica.update(seed, [0.5])
    replica.update(0, [0.5])
    weights.transfers.fetches.clear()
    made = replica.generate([[3, 4, 5]], max_new_tokens=4)[0]
    assert dict.fromkeys(layers, len(made)).items() <= weights.transfers.fetches.items()


def test_all_devices_and_queries_of_a_round_share_a_fetch_as_far_as_their_activations_fit() -> None:
    replica, weights = streamed()
    layers = [f"model.layers.{number}" for number in range(LAYERS)]
    replica.scalars(batches(), **SETTINGS)
    for most_bytes, num_passes in ((1 << 20, 1), (1, 4), (40_000, 2)):  # one waits with 16 KiB
        replica.update(0, [0.5])
        weights.transfers.fetches.clear()
        weights.steps.most_bytes = most_bytes
        replica.scalars(batches(), **SETTINGS)
        expected = {**dict.fromkeys([*layers, "model.norm"], num_passes), "lm_head.weight[0:50]": min(num_passes, 2)}
        assert weights.transfers.fetches == expected
        assert len(weights.transfers._places) == 2
    replica.update(0, [0.5])
    weights.transfers.fetches.clear()
    weights.steps.most_bytes = 1 << 20
    replica.scalars(batches(), example_clip=1.0, normaliser=4, **SETTINGS)
    assert set(weights.transfers.fetches.values()) == {1}


def test_the_device_holds_two_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    replica, weights = streamed()
    monkeypatch.setattr("learner.zo.scoring._VOCABULARY_CHUNK", 16)
    fetched: list[tuple[str, list[str]]] = []

    def fill(place: Place, block: Block, stream: object) -> None:
        original(place, block, stream)  # type: ignore[arg-type]
        fetched.append((block.name, [each.block.name for each in weights.transfers._places if each.block]))

    original = Place.fill
    monkeypatch.setattr(Place, "fill", fill)
    for seed in range(2):
        replica.scalars(batches(), seed=seed, num_queries=1, perturbation_scale=1e-3)
        replica.update(seed, [0.5])
    layer = list(replica.model.model.layers[0].parameters())
    assert weights.transfers.num_bytes == 2 * sum(max(parameter.nbytes, 256) for parameter in layer)  # norms: 128 bytes
    assert max(len(held) for _, held in fetched) == 2
    order = [name for name, _ in fetched[-LAYERS - 5 :]]
    chunks = [f"lm_head.weight[{start}:{stop}]" for start, stop in ((0, 16), (16, 32), (32, 48), (48, 50))]
    assert order == [*(f"model.layers.{number}" for number in range(LAYERS)), "model.norm", *chunks]


def test_what_is_computed_with_is_what_was_fetched(monkeypatch: pytest.MonkeyPatch) -> None:
    replica, _ = streamed()
    twin = Replica(deep_model(), None)
    for parameter in twin.model.model.layers.parameters():
        parameter.zero_()

    def fill(place: Place, block: Block, stream: object) -> None:
        original(place, block, stream)  # type: ignore[arg-type]
        for values in place.tensors if block.name.startswith("model.layers") else ():
            values.zero_()

    original = Place.fill
    monkeypatch.setattr(Place, "fill", fill)
    for found, expected in zip(replica.losses(batches()), twin.losses(batches()), strict=True):
        np.testing.assert_array_equal(found, expected)


def test_blocks_that_are_still_there_are_fetched_anew_after_an_update(tmp_path: Path) -> None:
    shallow = [Replica(deep_model(num_hidden_layers=1), None, is_streamed=way) for way in (True, False)]
    for change in ("none", "update", "load"):
        for number, replica in enumerate(shallow):
            if change == "update":
                replica.save_weights(tmp_path / f"{number}.safetensors")
                replica.update(1, [0.5])
            if change == "load":
                replica.load_weights(tmp_path / f"{number}.safetensors")
        found, expected = (replica.losses(batches()[:1])[0] for replica in shallow)
        np.testing.assert_array_equal(found, expected)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_gpu_holds_two_blocks_however_far_python_runs_ahead() -> None:
    replica = Replica(deep_model(hidden_size=768, num_hidden_layers=20), None, device="cuda", is_streamed=True)
    assert isinstance(replica._weights, StreamedWeights)
    replica.update(1, [0.5])
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    replica.scalars(batches(), **SETTINGS)
    layer_bytes = sum(parameter.nbytes for parameter in replica.model.model.layers[0].parameters())
    assert torch.cuda.max_memory_allocated() - before < 4 * layer_bytes


def test_the_next_block_is_fetched_before_the_present_one_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    replica, weights = streamed()
    replica.losses(batches()[:1])
    seen = []
    layer = type(replica.model.model.layers[0])
    forward = layer.forward
    monkeypatch.setattr(layer, "forward", lambda *args, **kwargs: (seen.append(held()), forward(*args, **kwargs))[1])

    def held() -> set[str]:
        return {place.block.name for place in weights.transfers._places if place.block}

    replica.update(0, [0.5])
    replica.losses(batches()[:1])
    names = [*(f"model.layers.{number}" for number in range(LAYERS)), "model.norm"]
    assert seen == [set(pair) for pair in pairwise(names)]


@pytest.mark.parametrize("number", [0, LAYERS, LAYERS + 1])
def test_a_fetch_that_fails_ends_the_step_and_leaves_the_weights(monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    replica, _ = streamed()
    twin = Replica(deep_model(), None)
    for each in (replica, twin):
        each.scalars(batches(), **SETTINGS)
        each.update(1, [0.5])
    original, calls = Place.fill, iter(range(100))

    def fill(place: Place, block: Block, stream: object) -> None:
        if next(calls) == number:
            raise RuntimeError("out of memory")
        original(place, block, stream)  # type: ignore[arg-type]

    monkeypatch.setattr(Place, "fill", fill)
    num_threads = threading.active_count()
    home = {name: weight.data_ptr() for name, weight in replica.model.named_parameters()}
    with pytest.raises(ModelError, match=r"cannot bring .* out of memory"):
        replica.scalars(batches(), **SETTINGS)
    assert threading.active_count() == num_threads
    assert {name: weight.data_ptr() for name, weight in replica.model.named_parameters()} == home
    found, expected = (each.scalars(batches(), **SETTINGS) for each in (replica, twin))
    np.testing.assert_array_equal(found.projected_gradients, expected.projected_gradients)
    assert replica.fingerprint() == twin.fingerprint()


def test_frozen_weights_beside_adapters_are_streamed_too(model_dirs: dict[str, Path]) -> None:
    pytest.importorskip("peft")
    settings = {"path": str(model_dirs["llama"]), "lora": {"rank": 2, "target_modules": ["q_proj", "v_proj"]}}
    made = []
    for device in ("cpu", "stream:cpu"):
        replica = Replica.load(msgspec.convert({**settings, "device": device}, ModelConfig))
        replica.update(1, [0.5])
        made.append([replica.scalars(batches(), **SETTINGS).projected_gradients.tobytes(), replica.fingerprint()])
    assert made[0] == made[1]
    assert isinstance(replica._weights, StreamedWeights)
    assert replica._weights.transfers.num_bytes >= 2 * sum(p.nbytes for p in replica.model.model.layers[0].parameters())


def test_models_see_their_weights_on_the_compute_device() -> None:
    replica, weights = streamed()
    weights.device = torch.device("meta")  # a name that no parameter here has
    with Sweep(weights, None, torch.float32):
        assert replica.model.model.embed_tokens.weight.device == replica.model.device == torch.device("meta")
        assert torch.empty(0).device == torch.device("cpu")
    assert replica.model.device == torch.device("cpu")


def test_a_device_that_cannot_be_streamed_to_is_refused(model_dirs: dict[str, Path]) -> None:
    for device in ("stream:", "stream:gpu"):
        with pytest.raises(ModelError, match=r"model\.device is 'stream:"):
            Replica.load(ModelConfig(path=str(model_dirs["opt"]), device=device))
