"""What is no model of ours is refused for what it is, and RWKV stays as it was saved."""

import json
import shutil
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch
from transformers import (
    BartConfig,
    BartForConditionalGeneration,
    LlamaForCausalLM,
    PreTrainedTokenizerFast,
    RwkvConfig,
    RwkvForCausalLM,
    T5Config,
    T5ForConditionalGeneration,
)

from learner.config import ModelConfig
from learner.errors import ModelError
from learner.zo.replica import Replica


def error_of(path: Path, **settings: object) -> str:
    with pytest.raises(ModelError) as caught:
        Replica.load(ModelConfig(path=str(path), **settings))  # type: ignore[arg-type]
    return str(caught.value)


@pytest.fixture
def llama(model_dirs: dict[str, Path], tmp_path: Path) -> Path:
    """A directory to spoil."""
    return Path(shutil.copytree(model_dirs["llama"], tmp_path / "llama"))


def _encoder_decoder(kind: str) -> torch.nn.Module:
    if kind == "t5":
        sizes = {"d_model": 16, "d_kv": 8, "d_ff": 16, "num_layers": 1, "num_heads": 2}
        return T5ForConditionalGeneration(T5Config(vocab_size=50, decoder_start_token_id=0, **sizes))
    both = {f"{part}_{key}": n for part in ("encoder", "decoder") for key, n in (("layers", 1), ("attention_heads", 2))}
    return BartForConditionalGeneration(
        BartConfig(vocab_size=50, d_model=16, encoder_ffn_dim=16, decoder_ffn_dim=16, **both)
    )


@pytest.mark.parametrize("kind", ["t5", "bart"])
def test_an_encoder_decoder_is_called_one(kind: str, tmp_path: Path, word_tokenizer: PreTrainedTokenizerFast) -> None:
    _encoder_decoder(kind).save_pretrained(tmp_path / kind)
    word_tokenizer.save_pretrained(tmp_path / kind)
    assert f"is of type '{kind}', an encoder-decoder; only causal (decoder) language models" in error_of(
        tmp_path / kind
    )


@pytest.mark.skipif(find_spec("sentencepiece") is not None, reason="sentencepiece is here")
def test_a_tokenizer_for_sentencepiece_alone_says_what_it_takes(llama: Path) -> None:
    (llama / "tokenizer.json").unlink()
    (llama / "tokenizer.model").write_bytes(b"\x0a\x0e\x0a\x05<unk>\x15\0\0\0\0\x18\x02")
    (llama / "tokenizer_config.json").write_text('{"tokenizer_class": "LlamaTokenizer"}')
    assert "run pip install sentencepiece protobuf, or put the model's tokenizer.json there" in error_of(llama)


@pytest.mark.parametrize(("method", "cause"), [("foo", "transformers knows no such method"), ("gptq", "")])
def test_quantised_weights_are_called_so(llama: Path, method: str, cause: str) -> None:
    file = llama / "config.json"
    settings = {"quant_method": method, "bits": 4}
    file.write_text(json.dumps({**json.loads(file.read_text()), "quantization_config": settings}))
    text = error_of(llama)
    assert f"are quantised (quant_method '{method}'), and cannot be loaded: {cause}" in text
    assert "save it again" not in text


@pytest.mark.parametrize("settings", [{"dtype": "float16"}, {"compute_dtype": "float16"}], ids=str)
@pytest.mark.parametrize("factor", [3e4, 1e9])
def test_what_float16_cannot_hold_is_no_damage(llama: Path, settings: dict[str, str], factor: float) -> None:
    model = LlamaForCausalLM.from_pretrained(llama)
    with torch.no_grad():
        model.model.layers[0].mlp.up_proj.weight.mul_(3e3)
        model.model.layers[0].mlp.down_proj.weight.mul_(factor)
    model.save_pretrained(llama)
    Replica.load(ModelConfig(path=str(llama)))
    text = error_of(llama, **settings)
    assert "the arithmetic in float16 may exceed 65504" in text
    assert "damaged" not in text


def test_rwkv_is_computed_as_it_was_saved(tmp_path: Path, word_tokenizer: PreTrainedTokenizerFast) -> None:
    torch.manual_seed(0)
    sizes = {"hidden_size": 16, "attention_hidden_size": 16, "num_hidden_layers": 4, "context_length": 64}
    model = RwkvForCausalLM(RwkvConfig(vocab_size=50, rescale_every=2, **sizes))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.2 * torch.randn_like(parameter))
    before = {name: parameter.detach().clone().numpy() for name, parameter in model.named_parameters()}
    ids = torch.arange(2, 16).view(2, 7)
    with torch.no_grad():
        expected = model.train()(input_ids=ids, use_cache=False).logits  # transformers rescales in evaluation mode only
    model.save_pretrained(tmp_path / "rwkv")
    word_tokenizer.save_pretrained(tmp_path / "rwkv")
    replica = Replica.load(ModelConfig(path=str(tmp_path / "rwkv")))
    with torch.no_grad():
        assert torch.equal(replica.model(input_ids=ids, use_cache=False).logits, expected)
    replica.update(1, [0.0])
    assert all((values == before[name]).all() for name, values in replica.weights().items())
    replica.update(1, [2.0**-6])
    replica.save_model(tmp_path / "saved")
    again = Replica.load(ModelConfig(path=str(tmp_path / "saved")))
    assert again.fingerprint() == replica.fingerprint()
    with torch.no_grad():
        for each in (again, replica):
            each.model(input_ids=ids, use_cache=False)
    assert again.fingerprint() == replica.fingerprint()
