"""Matrices in oneDNN's order have the bits of those that lie row by row, and products use them."""

import ctypes
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import OPTConfig, OPTForCausalLM

from learner import panels as panels_module
from learner import replica as replica_module
from learner import sweeps
from learner.batches import Batch
from learner.directions import Direction, Shift
from learner.panels import Panels
from learner.replica import Replica
from learner.sweeps import product

BOTH = (0, 1)


def aligned(num_rows: int, width: int, panel_rows: int) -> Panels:
    """Panels on memory of our own, so that the kernel is tested on every processor."""
    memory = torch.empty(num_rows * width + 16)
    memory = memory[-memory.data_ptr() // 4 % 16 :][: num_rows * width]
    return Panels(memory.view(num_rows, width), memory, memory.data_ptr(), panel_rows)


def on_this_processor(num_rows: int, width: int) -> list[Panels]:
    memory = torch.empty(2, num_rows * width)
    made = [found for found in (Panels.over(part, num_rows, width) for part in memory) if found is not None]
    if not made:
        pytest.skip("oneDNN has no panels of 16 rows or a multiple on this processor")
    return made


def as_panels(rows: torch.Tensor, panels: Panels) -> np.ndarray:
    return (
        rows.view(-1, panels.panel_rows, panels.matrix.shape[1]).transpose(1, 2).reshape(-1).view(torch.int32).numpy()
    )


@given(
    seed=st.integers(0, 2**64 - 1),
    query=st.integers(0, 5),
    block=st.integers(0, 2**40),
    num_panels=st.integers(1, 5),
    squares=st.integers(1, 9),
    panel_rows=st.sampled_from([16, 32, 48, 64]),
    past_caches=st.booleans(),
    num_threads=st.integers(1, 3),
)
@settings(max_examples=60, deadline=None)  # the first example compiles
def test_panels_have_the_bits_of_rows(
    seed: int,
    query: int,
    block: int,
    num_panels: int,
    squares: int,
    panel_rows: int,
    past_caches: bool,
    num_threads: int,
) -> None:
    num_rows, width, first = num_panels * panel_rows, 16 * squares, 128 * block
    weights = torch.from_numpy(np.random.default_rng(seed).normal(size=num_rows * width).astype(np.float32))
    before = weights.clone()
    shift = Shift(Direction(seed, query), 1e-3, num_threads)
    up, down = (aligned(num_rows, width, panel_rows) for _ in BOTH)
    shift.panels(weights, first, [up, down], BOTH, past_caches=past_caches)
    rows = shift.both(weights, first)
    for made, expected in zip((up, down), rows, strict=True):
        np.testing.assert_array_equal(made.memory.view(torch.int32).numpy(), as_panels(expected, made))
    for side in BOTH:
        shift.panels(weights, first, [down], (side,), past_caches=past_caches)
        np.testing.assert_array_equal(down.memory.view(torch.int32).numpy(), as_panels(rows[side], down))
    assert torch.equal(weights, before)


@pytest.mark.parametrize(("num_rows", "width"), [(64, 64), (192, 128), (768, 80), (128, 768)])
def test_a_product_with_panels_is_the_product_with_rows(num_rows: int, width: int) -> None:
    panels = on_this_processor(num_rows, width)
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(700, width, generator=generator)
    weights, bias = torch.randn(num_rows * width, generator=generator), torch.randn(num_rows, generator=generator)
    shift = Shift(Direction(3, 0), 1e-2)
    shift.panels(weights, 1280, panels, BOTH, past_caches=True)
    for made, rows in zip(panels, shift.both(weights, 1280), strict=True):
        expected = x.double() @ rows.view(num_rows, width).double().T + bias.double()
        found = product(x, made.matrix, bias).double()
        assert float((found - expected).abs().max()) < 4 * width * torch.finfo(torch.float32).eps * 4


@pytest.mark.parametrize("shape", [(0, 64), (64, 0), (40, 64), (64, 40), (1 << 13, 1 << 12)])
def test_shapes_without_panels_are_left_as_rows(shape: tuple[int, int]) -> None:
    assert Panels.over(torch.empty(math.prod(shape)), *shape) is None


@pytest.mark.parametrize("missing", ["aoti_torch_layout__mkldnn", "no library"])
def test_another_build_of_torch_leaves_matrices_as_rows(missing: str, monkeypatch: pytest.MonkeyPatch) -> None:
    load = ctypes.CDLL

    class Other:
        def __init__(self, path: str) -> None:
            if missing == "no library":
                raise OSError(path)
            self._library = load(path)

        def __getattr__(self, name: str) -> object:
            if name == missing:
                raise AttributeError(name)
            return getattr(self._library, name)

    monkeypatch.setattr(panels_module, "_maker", panels_module._maker.__wrapped__)  # without its memory
    monkeypatch.setattr(ctypes, "CDLL", Other)
    assert Panels.over(torch.empty(64 * 64), 64, 64) is None


@pytest.fixture
def replica(monkeypatch: pytest.MonkeyPatch) -> Replica:
    monkeypatch.setattr(replica_module, "is_small", lambda *_: False)
    torch.manual_seed(0)
    config = OPTConfig(
        vocab_size=64,
        hidden_size=64,
        word_embed_proj_dim=64,
        ffn_dim=320,
        num_hidden_layers=2,
        num_attention_heads=2,
        max_position_embeddings=256,
    )
    return Replica(OPTForCausalLM(config).eval(), None)


def batch_of(num_examples: int, num_tokens: int = 200) -> Batch:
    ids = torch.arange(num_examples * num_tokens).reshape(num_examples, num_tokens) * 7 % 61
    last = torch.full((num_examples,), num_tokens - 1)
    return Batch(ids, last, torch.arange(num_examples) % 2, torch.tensor([4, 5]))


@pytest.mark.parametrize("num_examples", [2, 6])  # both signs at once; one after the other
def test_a_step_writes_every_matrix_once_as_panels_and_gives_the_same_scalars(
    replica: Replica, num_examples: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the speed of `benchmarks.zo_step` rests on: no product copies a matrix, and none is written twice."""
    assert on_this_processor(64, 64)
    written, multiplied = [], []
    make, multiply = Shift.panels, product
    monkeypatch.setattr(Shift, "panels", lambda self, *a, **k: (written.append(a[3]), make(self, *a, **k))[1])
    monkeypatch.setattr(sweeps, "product", lambda x, w, b: (multiplied.append(w.is_mkldnn), multiply(x, w, b))[1])
    settings = {"seed": 5, "num_queries": 1, "perturbation_scale": 1e-2}
    found = replica.scalars([batch_of(num_examples)], **settings)
    num_matrices = 6 * 2
    one_by_one = [(0,)] * num_matrices + [(1,)] * num_matrices
    assert written == ([BOTH] * num_matrices if num_examples == 2 else one_by_one)
    assert multiplied == [True] * (2 * num_matrices)
    held = [panels.address for each in replica._scratch._panels.values() for panels in each]
    memory = sum(tensor.numel() for tensor in replica._scratch._held.values())
    replica.scalars([batch_of(num_examples)], **settings)
    assert [panels.address for each in replica._scratch._panels.values() for panels in each] == held
    assert memory == 320 * 64 * len(written[0])  # that of the largest matrix
    monkeypatch.setattr(Shift, "makes_panels", lambda *_: False)
    as_rows = replica.scalars([batch_of(num_examples)], **settings)
    np.testing.assert_allclose(found.projected_gradients, as_rows.projected_gradients, atol=2e-3)
    np.testing.assert_allclose(found.loss, as_rows.loss, rtol=1e-6)
