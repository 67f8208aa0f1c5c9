"""Models of many architectures are probed exactly or refused with a reason, compared with copies that really moved."""

import warnings

import pytest
import torch

from benchmarks import causal_models
from benchmarks.causal_models import EXACT, TYPES, expected_losses, row, small_model, verdict

FAST = ("bloom", "falcon", "gemma2", "gpt2", "gpt_oss", "mamba", "mixtral", "qwen3")
"""Biased attention, fused heads, soft caps, Conv1D layers, topk by name, a scan, routed experts, normalised heads."""
MORE = (
    *("afmoe", "apertus", "bamba", "biogpt", "codegen", "cohere", "cohere2", "ctrl", "deepseek_v2", "deepseek_v3"),
    *("deepseek_v4", "doge", "ernie4_5_moe", "gemma", "glm", "gpt_bigcode", "gpt_neo", "gpt_neox", "gptj", "granite"),
    *("granitemoehybrid", "helium", "lfm2_moe", "llama", "mamba2", "mistral", "mpt", "nemotron", "olmo", "olmo2"),
    *("olmoe", "opt", "persimmon", "phi", "phi3", "qwen2", "qwen2_moe", "qwen3_moe", "stablelm", "starcoder2", "xglm"),
)


@pytest.fixture(autouse=True)
def other_peoples_warnings():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


@pytest.mark.parametrize("kind", FAST)
def test_an_architecture_is_probed_exactly_in_float32_and_in_bfloat16(kind):
    expected = expected_losses(small_model(kind))
    for dtype in (torch.float32, torch.bfloat16):
        assert verdict(small_model(kind), expected, dtype) == EXACT


@pytest.mark.long
@pytest.mark.parametrize("kind", [kind for kind in MORE if kind in TYPES])
def test_more_architectures_are_probed_exactly(kind):
    assert row(kind) == (EXACT, EXACT)


@pytest.mark.long
@pytest.mark.parametrize("kind", [kind for kind in TYPES if kind not in (*FAST, *MORE)])
def test_no_architecture_is_wrong_in_silence_or_crashes(kind):
    assert not any(found.startswith(("WRONG", "CRASHED")) for found in row(kind))


def test_a_wrong_probe_would_be_found():
    model = small_model("gpt2")
    expected = expected_losses(model)
    model.transformer.h[0].mlp.c_fc.weight.requires_grad_(False)  # as if it had met no perturbation
    assert verdict(model, expected).startswith("WRONG: losses of 2 × 12 tokens are off by")


def test_a_model_that_sees_later_tokens_is_refused_in_the_table():
    assert all(found.startswith("refused: model type 'bert' lets a token see later") for found in row("bert"))


def test_the_page_counts_what_it_lists():
    text = causal_models.page({"opt": (EXACT, "refused: a|b\n c"), "xx": ("not built small (KeyError)", "")})
    assert "float32: 1 exact, 0 refused, 0 wrong, 0 crashed, 1 not built small" in text
    assert "bfloat16 arithmetic: 0 exact, 1 refused" in text
    assert "| `opt` | exact | refused: a/b c |" in text
