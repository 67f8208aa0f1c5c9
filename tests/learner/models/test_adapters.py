"""Adapters: begun, learnt, saved as peft saves them, and opened again by us and by peft."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import peft
import pytest
import torch
from transformers import AutoModelForCausalLM

from learner.config import LoraSettings, ModelConfig
from learner.errors import ModelError
from learner.tasks.task import Task
from learner.zo.replica import Replica

LORA = LoraSettings(rank=2, alpha=8.0)
IDS = torch.arange(2, 16).view(2, 7)


def error_of(path: Path, **settings: object) -> str:
    with pytest.raises(ModelError) as caught:
        Replica.load(ModelConfig(path=str(path), **settings))  # type: ignore[arg-type]
    return str(caught.value)


@pytest.fixture
def trained(model_dirs: dict[str, Path]) -> Replica:
    replica = Replica.load(ModelConfig(path=str(model_dirs["opt"]), lora=LORA))
    for seed in range(3):
        replica.update(seed, [2.0**-5])
    return replica


@pytest.fixture
def saved(trained: Replica, tmp_path: Path) -> Path:
    trained.save_model(tmp_path / "saved")
    return tmp_path / "saved"


def test_saved_adapters_open_again_and_go_on_learning(trained: Replica, saved: Path) -> None:
    again = Replica.load(ModelConfig(path=str(saved)))
    assert again.num_parameters == trained.num_parameters > 0
    assert again.architecture() == trained.architecture()
    for replica in (trained, again):
        replica.update(9, [2.0**-5])
    assert again.fingerprint() == trained.fingerprint()


def test_saved_twice_they_are_the_same_files(saved: Path, tmp_path: Path) -> None:
    Replica.load(ModelConfig(path=str(saved))).save_model(tmp_path / "again")
    for name in ("adapter_model.safetensors", "tokenizer.json"):
        assert (tmp_path / "again" / name).read_bytes() == (saved / name).read_bytes()


@pytest.mark.filterwarnings("ignore::FutureWarning")  # of transformers, which peft calls
def test_peft_opens_what_we_saved(trained: Replica, saved: Path) -> None:
    base = json.loads((saved / "adapter_config.json").read_text())["base_model_name_or_path"]
    theirs = peft.PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(base), str(saved)).eval()
    with torch.no_grad():
        assert torch.equal(theirs(IDS).logits, trained.model(IDS).logits)
        with theirs.disable_adapter():
            assert not torch.equal(theirs(IDS).logits, trained.model(IDS).logits)


@pytest.mark.filterwarnings("ignore::FutureWarning")  # of transformers, which peft calls
def test_we_open_what_peft_saved(model_dirs: dict[str, Path], tmp_path: Path) -> None:
    torch.manual_seed(4)
    settings = peft.LoraConfig(r=3, target_modules=["fc1", "v_proj"], init_lora_weights=False, use_rslora=True)
    theirs = peft.get_peft_model(AutoModelForCausalLM.from_pretrained(model_dirs["opt"]), settings).eval()
    theirs.save_pretrained(str(tmp_path / "theirs"))
    replica = Replica.load(ModelConfig(path=str(tmp_path / "theirs")))  # with the tokenizer of the base model
    assert replica.num_parameters == sum(p.numel() for n, p in theirs.named_parameters() if ".lora_" in n)
    with torch.no_grad():
        assert torch.equal(theirs(IDS).logits, replica.model(IDS).logits)


def test_adapters_of_the_embedded_model_name_it(tmp_path: Path) -> None:
    replica = Replica.load(ModelConfig(lora=LORA))
    replica.update(1, [2.0**-5])
    replica.save_model(tmp_path / "saved")
    assert json.loads((tmp_path / "saved/adapter_config.json").read_text())["base_model_name_or_path"] == "embedded"
    assert Replica.load(ModelConfig(path=str(tmp_path / "saved"))).fingerprint() == replica.fingerprint()


def test_a_base_beside_the_adapter_moves_with_it(saved: Path, model_dirs: dict[str, Path], trained: Replica) -> None:
    shutil.copytree(model_dirs["opt"], saved / "base")
    change(saved, base_model_name_or_path="base")
    assert Replica.load(ModelConfig(path=str(saved))).fingerprint() == trained.fingerprint()


def test_another_scale_is_another_architecture(saved: Path, trained: Replica) -> None:
    change(saved, lora_alpha=4.0)
    assert Replica.load(ModelConfig(path=str(saved))).architecture() != trained.architecture()


def test_in_bfloat16_frozen_weights_are_bfloat16_and_adapters_are_not(
    model_dirs: dict[str, Path], make_task: Callable[..., Task]
) -> None:
    found = []
    for compute_dtype in ("float32", "bfloat16"):
        replica = Replica.load(ModelConfig(path=str(model_dirs["llama"]), lora=LORA, compute_dtype=compute_dtype))
        for seed in range(20):
            replica.update(seed, [2.0**-3])
        types = {str(p.dtype) for n, p in replica.model.named_parameters() if ".lora_" not in n}
        assert types == {f"torch.{compute_dtype}"}
        assert {str(v.dtype) for v in replica.weights().values()} == {"float32"}
        batches = [make_task().batch(k, 0, 16) for k in range(3)]
        found.append(
            [
                replica.scalars(batches, seed=seed, num_queries=4, perturbation_scale=2.0**-4).projected_gradients
                for seed in range(4)
            ]
        )
    exact, rounded = np.array(found)
    assert np.linalg.norm(rounded - exact) < 0.1 * np.linalg.norm(exact)
    assert (rounded != exact).any()


def change(directory: Path, **settings: object) -> None:
    file = directory / "adapter_config.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), **settings}))


def test_an_adapter_beside_a_whole_model_is_refused(saved: Path, model_dirs: dict[str, Path]) -> None:
    """transformers would load the base that the adapter names, freeze all, and leave nothing to train."""
    shutil.copytree(model_dirs["opt"], saved, dirs_exist_ok=True)
    assert "holds an adapter (adapter_config.json) beside a whole model (model.safetensors)" in error_of(saved)


def test_a_model_of_frozen_weights_is_refused(replica: Replica, model_dirs: dict[str, Path]) -> None:
    model = AutoModelForCausalLM.from_pretrained(model_dirs["opt"]).requires_grad_(False)
    with pytest.raises(ModelError, match=r"no weights to train, all are frozen.*hf download"):
        Replica(model, None)


def test_adapters_upon_adapters_are_refused(saved: Path) -> None:
    assert "leave model.lora out to go on with this one" in error_of(saved, lora=LORA)


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        ({"peft_type": "IA3"}, "has peft_type = 'IA3'; allowed"),
        ({"use_dora": True}, "use_dora = True; allowed"),
        ({"modules_to_save": ["lm_head"]}, "modules_to_save = ['lm_head']; allowed"),
        ({"bias": "all"}, "bias = 'all'; allowed"),
        ({"base_model_name_or_path": None}, "names no base_model_name_or_path"),
        (
            {"base_model_name_or_path": "./gone"},
            "base_model_name_or_path in its adapter_config.json: model.path './gone'",
        ),
        ({"target_modules": ["q_proj"]}, "does not fit its model"),
        ({"r": 3}, "does not fit its model"),
        ({"target_modules": ["nowhere"]}, "cannot load the adapter of"),
    ],
)
def test_an_adapter_that_cannot_be_opened_is_refused_by_name(
    saved: Path, settings: dict[str, object], text: str
) -> None:
    change(saved, **settings)
    assert text in error_of(saved)


def test_an_adapter_of_an_adapter_is_refused(saved: Path) -> None:
    shutil.copytree(saved, saved / "base")
    change(saved, base_model_name_or_path="base")
    assert "itself an adapter" in error_of(saved)


@pytest.mark.parametrize("content", [b"", b"garbage that is long enough to be a header"])
def test_damaged_adapters_are_refused(saved: Path, content: bytes) -> None:
    (saved / "adapter_model.safetensors").write_bytes(content)
    assert error_of(saved).startswith(f"cannot load the adapter of {saved}: ")
