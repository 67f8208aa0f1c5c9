"""Loading models, and what users are told when it fails."""

import copy
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.numpy import load_file, save_file
from transformers import BertConfig, BertLMHeadModel, GraniteConfig, GraniteForCausalLM, PreTrainedTokenizerFast

from learner.config import ModelConfig
from learner.errors import ModelError
from learner.models import load as models
from learner.models.load import load_model
from learner.tasks.batches import Batch
from learner.tasks.task import Task
from learner.zo.replica import Replica
from learner.zo.scoring import Scorer


@pytest.fixture
def broken(model_dirs: dict[str, Path], tmp_path: Path) -> Path:
    """A good model directory to break."""
    return Path(shutil.copytree(model_dirs["opt"], tmp_path / "broken"))


def error_of(path: Path | str) -> str:
    with pytest.raises(ModelError) as caught:
        Replica.load(ModelConfig(path=str(path)))
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_path_that_is_neither_directory_nor_hub_name_is_refused() -> None:
    text = error_of("./no/such/model")
    assert text.startswith("model.path './no/such/model' does not exist; allowed \"embedded\"")


def test_a_hub_name_without_network_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)  # whoever imported it first
    text = error_of("nobody/nothing")
    assert "model.path 'nobody/nothing' is no local directory, and the configuration could not be fetched" in text
    assert "run `hf download nobody/nothing --local-dir DIR`" in text


def test_a_file_is_no_model_directory(broken: Path) -> None:
    assert "is a file; allowed a directory in Hugging Face format" in error_of(broken / "config.json")


def test_a_directory_without_config_is_refused(broken: Path) -> None:
    (broken / "config.json").unlink()
    assert "has no config.json; save the model there with save_pretrained" in error_of(broken)


def test_a_damaged_config_is_refused(broken: Path) -> None:
    (broken / "config.json").write_text("{")
    assert "config.json is not valid JSON" in error_of(broken)


def test_a_config_of_an_unknown_model_type_is_refused(broken: Path) -> None:
    (broken / "config.json").write_text(json.dumps({"model_type": "no_such_type"}))
    assert error_of(broken).startswith("cannot load the ")


def test_a_directory_without_weights_is_refused(broken: Path) -> None:
    (broken / "model.safetensors").unlink()
    assert "has no weights; expected model.safetensors; save the model there" in error_of(broken)


def test_a_directory_without_tokenizer_is_refused(broken: Path) -> None:
    (broken / "tokenizer.json").unlink()
    assert "has no tokenizer; expected tokenizer.json; save the tokenizer there" in error_of(broken)


@pytest.mark.parametrize("content", [b"garbage that is long enough to be read as a header", b"", b"\xff" * 100])
def test_garbage_weights_are_refused(broken: Path, content: bytes) -> None:
    (broken / "model.safetensors").write_bytes(content)
    text = error_of(broken)
    assert text.startswith(f"cannot load the model from {broken}: ")
    assert text.endswith("save it again with save_pretrained, or fetch it anew")


def test_a_garbage_tokenizer_is_refused(broken: Path) -> None:
    (broken / "tokenizer.json").write_text("{}")
    assert f"cannot load the tokenizer from {broken}: " in error_of(broken)


def test_weights_that_lack_a_tensor_are_refused_instead_of_drawn_at_random(broken: Path) -> None:
    tensors = load_file(broken / "model.safetensors")
    tensors.pop("model.decoder.layers.1.fc1.weight")
    save_file(tensors, broken / "model.safetensors", metadata={"format": "pt"})
    text = error_of(broken)
    assert "are incomplete: 1 tensors missing, 0 of another shape" in text
    assert "first model.decoder.layers.1.fc1.weight" in text


def test_weights_that_are_not_finite_are_refused(broken: Path) -> None:
    tensors = load_file(broken / "model.safetensors")
    tensors["model.decoder.layers.1.fc1.weight"] = tensors["model.decoder.layers.1.fc1.weight"] * float("nan")
    save_file(tensors, broken / "model.safetensors", metadata={"format": "pt"})
    assert "logits are not finite; its weights are damaged" in error_of(broken)


def test_half_precision_checkpoints_become_float32(broken: Path) -> None:
    tensors = {name: values.astype("float16") for name, values in load_file(broken / "model.safetensors").items()}
    save_file(tensors, broken / "model.safetensors", metadata={"format": "pt"})
    weights = Replica.load(ModelConfig(path=str(broken))).weights()
    for name, values in weights.items():
        assert values.dtype == "float32"
        assert (values == tensors[name].astype("float32")).all()


def test_a_tokenizer_larger_than_the_model_is_refused(
    model_dirs: dict[str, Path], word_tokenizer: PreTrainedTokenizerFast
) -> None:
    model, _ = load_model(ModelConfig(path=str(model_dirs["opt"])))
    large = copy.copy(word_tokenizer)
    model.resize_token_embeddings(10)
    with pytest.raises(ModelError, match=r"tokenizer of x has \d+ tokens, its model only 10 embeddings"):
        models._check_vocabulary("x", model, large)


def test_an_unknown_device_is_refused(model_dirs: dict[str, Path]) -> None:
    with pytest.raises(ModelError, match=r"model\.device is 'gpu7', which torch .* cannot use"):
        load_model(ModelConfig(path=str(model_dirs["opt"]), device="gpu7"))


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without CUDA")
def test_cuda_without_a_gpu_is_refused(model_dirs: dict[str, Path]) -> None:
    with pytest.raises(ModelError, match=r'model\.device is \'cuda\'.* set model\.device = "cpu"'):
        load_model(ModelConfig(path=str(model_dirs["opt"]), device="cuda"))


def test_a_model_that_sees_later_tokens_is_refused() -> None:
    config = BertConfig(vocab_size=50, hidden_size=24, num_hidden_layers=2, num_attention_heads=2, intermediate_size=40)
    torch.manual_seed(1)
    model = BertLMHeadModel(config).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.2 * torch.randn_like(parameter))
    with pytest.raises(ModelError, match="model type 'bert' lets a token see later ones; only causal"):
        Scorer(model)


def test_models_that_scale_their_logits_are_scored_through_all_logits() -> None:
    config = GraniteConfig(
        vocab_size=50,
        hidden_size=24,
        intermediate_size=40,
        num_hidden_layers=1,
        num_attention_heads=2,
        logits_scaling=5.0,
    )
    torch.manual_seed(1)
    model = GraniteForCausalLM(config).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.2 * torch.randn_like(parameter))
    assert not Scorer(model)._takes_rows
    batch = Batch(torch.tensor([[1, 2, 3, 0]]), torch.tensor([2]), torch.tensor([0]), torch.tensor([4, 5]))
    with torch.inference_mode():
        expected = model(input_ids=torch.tensor([[1, 2, 3]])).logits[:, -1, [4, 5]]
    (got,) = Replica(model, None).class_logits([batch])
    torch.testing.assert_close(torch.from_numpy(got), expected, rtol=1e-4, atol=1e-4)


def test_ordinary_models_are_scored_through_few_rows(any_model_dir: Path) -> None:
    model, _ = load_model(ModelConfig(path=str(any_model_dir)))
    assert Scorer(model)._takes_rows


def test_a_batch_longer_than_the_model_is_refused(replica: Replica) -> None:
    ids = torch.zeros((1, 72), dtype=torch.int64)
    batch = Batch(ids, torch.tensor([71]), torch.tensor([0]), torch.tensor([4, 5]))
    with pytest.raises(
        ModelError, match=r"a batch is 72 tokens long, the model has 64 positions; set task\.max_tokens"
    ):
        replica.class_logits([batch])


def test_loading_and_scoring_write_nothing_to_stderr(
    model_dirs: dict[str, Path], make_task: Callable[..., Task], capfd: pytest.CaptureFixture[str]
) -> None:
    replica = Replica.load(ModelConfig(path=str(model_dirs["opt"])))
    replica.scalars([make_task().batch(0, 0, 4)], seed=0, num_queries=1, perturbation_scale=1e-3)
    captured = capfd.readouterr()
    assert captured.out == captured.err == ""


def test_a_hub_that_does_not_answer_is_asked_once(tmp_path: Path) -> None:
    """The library would try six times."""
    code = (
        "import logging; logging.basicConfig(); from learner.config import ModelConfig; "
        "from learner.models.load import load_model; load_model(ModelConfig(path='facebook/opt-125m'))"
    )
    environment = {key: value for key, value in os.environ.items() if key != "HF_HUB_OFFLINE"}
    environment |= {"HF_ENDPOINT": "http://127.0.0.1:1", "HF_HOME": str(tmp_path)}
    found = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=200, check=False
    )
    assert "ModelError: model.path 'facebook/opt-125m' is no local directory" in found.stderr
    assert "check the name and the network" in found.stderr
    assert "Retry" not in found.stderr
