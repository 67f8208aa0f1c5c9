"""Masks: how much goes, what goes, and that structured ones are layers of fewer rows."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from learner.config import LoraSettings, ModelConfig
from learner.errors import LearnerError, ModelError
from learner.models.load import load_model
from learner.pruning.masks import kept_weights, mask_of
from learner.pruning.parts import Parts

KINDS = ["structured", "magnitude"]


@given(rows=st.integers(1, 9), columns=st.integers(1, 9), rate=st.floats(0, 0.999), kind=st.sampled_from(KINDS))
@settings(deadline=None)
def test_a_mask_leaves_out_at_most_its_rate_and_what_is_smallest(rows, columns, rate, kind):
    weight = torch.randn(rows, columns, generator=torch.Generator().manual_seed(rows * 10 + columns))
    mask = mask_of(weight, rate, kind).expand(rows, columns)
    kept = int(mask.sum())
    assert kept == kept_weights(weight.shape, rate, kind)
    assert 1 - kept / weight.numel() <= rate + 1e-8
    removed = weight[~mask]
    if kind == "magnitude" and removed.numel():
        assert removed.abs().max() <= weight[mask].abs().min()
    assert float(removed.square().sum()) <= (rate + 1e-6) * float(weight.square().sum()) + 1e-6


def test_a_rate_that_is_a_whole_share_is_not_lost_to_rounding():
    assert kept_weights(torch.Size((10, 4)), 0.3, "structured") == 28


def test_a_rate_of_one_is_refused():
    with pytest.raises(LearnerError, match="pruning rate is 1; allowed 0 or more and below 1"):
        mask_of(torch.ones(2, 2), 1.0, "magnitude")


def test_a_structured_client_computes_the_same_with_the_rows_that_it_kept_alone():
    torch.manual_seed(1)
    layer, inputs = torch.nn.Linear(6, 10), torch.randn(3, 6)
    kept = mask_of(layer.weight, 0.4, "structured")[:, 0]
    small = torch.nn.functional.linear(inputs, layer.weight[kept])  # 6 rows of 10: this is what is spared
    spread = torch.zeros(3, 10).index_copy(1, kept.nonzero()[:, 0], small) + layer.bias
    masked = torch.nn.functional.linear(inputs, layer.weight * kept[:, None], layer.bias)
    torch.testing.assert_close(spread, masked)


@pytest.mark.parametrize("name", ["opt", "llama", "qwen3"])
@pytest.mark.parametrize("kind", KINDS)
def test_parts_are_the_linear_layers_without_the_head(model_dirs, name, kind):
    model, _ = load_model(ModelConfig(path=str(model_dirs[name])))
    parts = Parts(model, kind)
    trained = {n for n, p in model.named_parameters() if p.requires_grad}
    assert trained == {f"{layer.name}.weight" for layer in parts.layers}
    assert not any("embed" in n or "head" in n or "norm" in n for n in trained)
    size = parts.size(0.3)
    assert size.spared == sum(int(m.expand(layer.weight.shape).sum()) for m, layer in
                              zip(parts.masks(0.3), parts.layers, strict=True))  # fmt: skip
    assert 0.2 < parts.realised(0.3) <= 0.3
    assert parts.realised(0.0) == 0


def test_with_adapters_rows_of_b_go_with_the_rows_of_their_matrix(model_dirs):
    model, _ = load_model(ModelConfig(path=str(model_dirs["opt"]), lora=LoraSettings(rank=2)))
    parts = Parts(model, "structured")
    assert all(".lora_" in n for n, p in model.named_parameters() if p.requires_grad)
    whole, left = parts.size(), parts.size(0.5)
    assert left.sent == whole.sent / 2
    assert left.sent_always == whole.sent_always > 0
    assert Parts(model, "magnitude").size(0.5).sent == 0


def test_a_model_without_linear_layers_is_refused(model_dirs):
    model, _ = load_model(ModelConfig(path=str(model_dirs["gpt2"])))
    with pytest.raises(ModelError, match=r"no torch.nn.Linear layer that could be pruned; use one"):
        Parts(model, "structured")


def test_magnitudes_of_the_embedded_model_obey_the_bound_that_the_limit_is_derived_from():
    model, _ = load_model(ModelConfig())
    parts = Parts(model, "magnitude")
    for rate in (0.1, 0.3, 0.5, 0.7):
        lost = sum(
            float(layer.weight.detach()[~mask].square().sum())
            for layer, mask in zip(parts.layers, parts.masks(rate), strict=True)
        )
        whole = sum(float(layer.weight.detach().square().sum()) for layer in parts.layers)
        assert lost <= rate**2 * whole
