from pathlib import Path

import gguf
import numpy as np
import pytest
import torch
from tokenizers.pre_tokenizers import ByteLevel
from transformers import LlamaConfig, LlamaForCausalLM

HEADS, KEY_HEADS, HIDDEN = 4, 2, 32


def _interleaved(weight: torch.Tensor, num_heads: int) -> torch.Tensor:
    """Rows of queries and keys as GGUF orders them for its rotation."""
    return weight.view(num_heads, 2, -1, weight.shape[1]).swapaxes(1, 2).reshape(weight.shape)


def write_gguf(file: Path) -> LlamaForCausalLM:
    """A Llama of two layers that reads bytes, unquantised; returns what was written."""
    merges = ["t h", "th e"]
    tokens = ["<|endoftext|>", *sorted(ByteLevel.alphabet()), *(merge.replace(" ", "") for merge in merges)]
    torch.manual_seed(1)
    config = LlamaConfig(
        vocab_size=len(tokens), hidden_size=HIDDEN, intermediate_size=48, num_hidden_layers=2, tie_word_embeddings=True,
        num_attention_heads=HEADS, num_key_value_heads=KEY_HEADS, max_position_embeddings=128, initializer_range=0.2,
    )  # fmt: skip
    model = LlamaForCausalLM(config).eval()
    writer = gguf.GGUFWriter(file, "llama")
    writer.add_context_length(128)
    writer.add_embedding_length(HIDDEN)
    writer.add_block_count(2)
    writer.add_feed_forward_length(48)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(KEY_HEADS)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_rope_freq_base(10000.0)
    writer.add_rope_dimension_count(HIDDEN // HEADS)
    writer.add_vocab_size(len(tokens))
    writer.add_tokenizer_model("gpt2")
    writer.add_token_list(tokens)
    writer.add_token_merges(merges)
    for token in (writer.add_bos_token_id, writer.add_eos_token_id, writer.add_unk_token_id):
        token(0)
    state = model.state_dict()
    names = gguf.get_tensor_name_map(gguf.MODEL_ARCH.LLAMA, 2)
    for name, value in state.items():
        if name == "lm_head.weight":
            continue
        heads = {"q_proj": HEADS, "k_proj": KEY_HEADS}.get(name.split(".")[-2])
        values = _interleaved(value, heads) if heads else value
        stem, _, kind = name.rpartition(".")
        writer.add_tensor(f"{names.get_name(stem)}.{kind}", np.ascontiguousarray(values.numpy()))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return model


@pytest.fixture
def store(tmp_path, monkeypatch):
    """An empty cache of models."""
    monkeypatch.setenv("AIRZERO_MODELS", str(tmp_path / "models"))
    return tmp_path / "models"
