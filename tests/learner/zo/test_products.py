"""Products with perturbed matrices: exact bits, whatever the vectors, threads and batch; nothing else is touched."""

import os
import subprocess
import sys
from itertools import product as every
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from transformers import OPTConfig, OPTForCausalLM

from learner.kernels import products_numba
from learner.kernels.openmp import runs_on
from learner.kernels.products_numba import Side, Tile, host_tiles, least_padded, multiply
from learner.tasks.batches import Batch
from learner.zo import example_losses, products
from learner.zo.directions import Direction, Shift
from learner.zo.products import perturbed_products, product
from learner.zo.replica import Replica

TILES = [Tile(16, 4, 6), Tile(8, 2, 6), Tile(4, 4, 6), Tile(16, 3, 8)]
BOTH = (0, 1)
GUARD = 12345.0


def fused(a: NDArray[np.float32], b: NDArray[np.float32], c: NDArray[np.float32]) -> NDArray[np.float32]:
    """a · b + c with one rounding: the product is exact in float64, and the sum there is rounded to odd."""
    term, total = a.astype(np.float64) * b, c.astype(np.float64)
    found = term + total
    back = found - term
    lost = (term - (found - back)) + (total - back)
    bits = found.view(np.int64)
    towards = np.where((lost > 0) == (found > 0), 1, -1)
    odd = np.where((lost != 0) & (bits % 2 == 0), bits + towards, bits)
    return np.asarray(odd.view(np.float64), np.float32)


def expected(x: NDArray[np.float32], rows: NDArray[np.float32], bias: NDArray[np.float32]) -> NDArray[np.float32]:
    """x · rowsᵀ + bias, term by term."""
    total = np.tile(bias, (len(x), 1))
    for k in range(x.shape[1]):
        total = fused(x[:, k : k + 1], rows[None, :, k], total)
    return total


def test_the_oracle_rounds_once() -> None:
    rounded = fused(*(np.array([value], np.float32) for value in (1 + 2**-12, 1 + 2**-12, 2**-40)))
    assert rounded[0] == np.float32(1 + 2**-11 + 2**-23)  # twice rounded, the tie would have gone to even


def draw(generator: np.random.Generator, *shape: int) -> torch.Tensor:
    return torch.from_numpy(generator.normal(size=shape).astype(np.float32))


@given(
    tile=st.sampled_from(TILES),
    num_inputs=st.integers(1, 20),
    squares=st.integers(1, 5),
    num_rows=st.integers(1, 150),
    block=st.integers(0, 2**40),
    seed=st.integers(0, 2**64 - 1),
    way=st.sampled_from([(), (0,), (1,), BOTH]),
    has_bias=st.booleans(),
    num_threads=st.integers(1, 3),
    depth=st.sampled_from([16, 48, 768]),
)
@settings(max_examples=80, deadline=None)  # the first examples compile
def test_every_bit_is_that_of_one_fused_sum_in_order(
    tile: Tile,
    num_inputs: int,
    squares: int,
    num_rows: int,
    block: int,
    seed: int,
    way: tuple[int, ...],
    has_bias: bool,
    num_threads: int,
    depth: int,
) -> None:
    generator, width, first = np.random.default_rng(seed), 16 * squares, 128 * block
    weights, bias = draw(generator, num_rows, width), draw(generator, num_rows)
    before = weights.clone()
    shift = Shift(Direction(seed, 3), 1e-2)
    rows = shift.both(weights.view(-1), first).view(2, num_rows, width) if way else weights[None]
    xs = [draw(generator, num_inputs, width) for _ in way or (0,)]
    guarded = [torch.full((num_inputs + 2, num_rows), GUARD) for _ in xs]
    sides = [
        Side(x.data_ptr(), y[1:].data_ptr(), bias.data_ptr() if has_bias else 0)
        for x, y in zip(xs, guarded, strict=True)
    ]
    amplitude = 0.0 if not way else -1e-2 if way == (1,) else 1e-2
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(products_numba, "_DEPTH", depth)
        multiply(
            weights.data_ptr(),
            sides,
            (num_inputs, width, num_rows),
            first=first,
            key=shift.direction.key,
            amplitude=amplitude,
            num_threads=num_threads,
            tiles=[tile],
        )
    begin = bias.numpy() if has_bias else np.zeros(num_rows, np.float32)
    for n, (x, y) in enumerate(zip(xs, guarded, strict=True)):
        wanted = expected(x.numpy(), rows[way[n] if way else 0].numpy(), begin)
        np.testing.assert_array_equal(y[1:-1].numpy(), wanted)
        assert (y[[0, -1]] == GUARD).all()
    assert torch.equal(weights, before)


def test_panels_are_chosen_that_leave_least_over() -> None:
    wide, narrow = TILES[0], TILES[3]
    rows = (768, 3072, 64, 48, 96, 100, 10)
    assert [least_padded((wide, narrow), n) for n in rows] == [wide, wide, wide, narrow, narrow, wide, narrow]


def on_this_processor() -> None:
    if not host_tiles():
        pytest.skip("this processor has no fused multiply-add on vectors")


def test_a_row_of_a_product_does_not_depend_on_its_neighbours_or_on_threads() -> None:
    on_this_processor()
    generator = np.random.default_rng(0)
    x, weights = draw(generator, 203, 784), draw(generator, 1000, 784)
    shift = Shift(Direction(1, 0), 1e-3)
    made = {}
    for num_threads, count in every((1, 2), (203, 50)):
        if not runs_on(num_threads):
            pytest.skip("kernels do not share torch's threads here")
        torch.set_num_threads(num_threads)
        found = perturbed_products(shift, weights, 0, [x[:count], x[:count]], [None, None], BOTH)
        assert found is not None
        made[num_threads, count] = [y[:50].numpy() for y in (*found, product(x[:count], weights, None))]
    torch.set_num_threads(1)
    for values in made.values():
        for value, reference in zip(values, made[1, 203], strict=True):
            np.testing.assert_array_equal(value, reference)


AT_THE_EDGE = """
import ctypes, mmap
import numpy as np
from learner.kernels.products_numba import Side, multiply

page, libc, held = mmap.PAGESIZE, ctypes.CDLL(None, use_errno=True), []


def at_the_edge(count):
    # float32 values whose last byte is followed by memory that nobody may touch
    size = -(-4 * count // page) * page
    memory = mmap.mmap(-1, size + page)
    held.append(memory)
    base = ctypes.addressof(ctypes.c_char.from_buffer(memory))
    assert libc.mprotect(ctypes.c_void_p(base + size), ctypes.c_size_t(page), 0) == 0
    values = np.frombuffer(memory, np.float32, count, size - 4 * count)
    values[:] = np.linspace(-1, 1, count)
    return values


for num_inputs, width, num_rows in ((7, 48, 37), (1, 16, 1), (13, 784, 100)):
    sides = []
    for _ in range(2):
        operands = [at_the_edge(count) for count in (num_inputs * width, num_inputs * num_rows, num_rows)]
        sides.append(Side(*(values.ctypes.data for values in operands)))
    weights = at_the_edge(num_rows * width)
    settings = {"first": 0, "key": (1, 2, 3), "amplitude": 1e-3, "num_threads": 1}
    multiply(weights.ctypes.data, sides, (num_inputs, width, num_rows), **settings)
    x, y, bias = operands
    wanted = x.reshape(num_inputs, width) @ weights.reshape(num_rows, width).T + bias
    assert np.abs(y.reshape(num_inputs, num_rows) - wanted).max() < 1e-3 * width
print("whole")
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="mprotect of Linux")
def test_nothing_is_read_or_written_past_the_end_of_an_operand() -> None:
    """In a process of its own, which a touched page would end."""
    root = str(Path(__file__).parents[3])
    found = subprocess.run(
        [sys.executable, "-c", AT_THE_EDGE],
        env={**os.environ, "PYTHONPATH": root},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert (found.returncode, found.stdout) == (0, "whole\n"), found.stderr


def large() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    generator = np.random.default_rng(2)
    return draw(generator, 4, 50, 64), draw(generator, 96, 64), draw(generator, 96)


@pytest.mark.parametrize(
    "operands",
    [
        lambda x, w, b: (x[..., :40], w[:, :40].contiguous(), b),
        lambda x, w, b: (x[..., :32], w.t()[:32].contiguous().t(), b),
        lambda x, w, b: (x[0, :3], w, b),
        lambda x, w, b: (x.bfloat16(), w.bfloat16(), b.bfloat16()),
        lambda x, w, b: (x, w, b.repeat_interleave(2)[::2]),
        lambda x, w, b: (x, w.clone().requires_grad_(True), b),
    ],
    ids=["width", "columns", "few inputs", "bfloat16", "strided bias", "derivative"],
)
def test_what_the_kernel_does_not_take_goes_to_torch(operands: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    x, weight, bias = operands(*large())
    exact = x.double() @ weight.double().t() + bias.double()
    monkeypatch.setattr(products_numba, "multiply", lambda *_, **__: pytest.fail("the kernel was called"))
    assert perturbed_products(Shift(Direction(0, 0), 1e-3), weight, 0, [x, x], [bias, bias], BOTH) is None
    found = product(x, weight, bias)
    assert torch.allclose(found.double(), exact, atol=1e-4 if x.dtype == torch.float32 else 0.2)
    if weight.requires_grad:
        found.sum().backward()
        assert torch.allclose(weight.grad, x.sum(dim=(0, 1)).expand_as(weight), atol=1e-4)


@pytest.mark.parametrize(
    "operands", [lambda x, w, b: (x.view(4, 25, 128), w, b), lambda x, w, b: (x, w, b[:48])], ids=["width", "bias"]
)
def test_operands_that_do_not_fit_are_refused_as_torch_refuses_them(operands: Any) -> None:
    x, weight, bias = operands(*large())
    with pytest.raises(RuntimeError, match=r"shape|size|multiplied"):
        product(x, weight, bias)


def test_products_of_any_shape_are_taken_where_the_kernel_runs() -> None:
    on_this_processor()
    x, weight, bias = large()
    strided = torch.stack((x, x), dim=-1)[..., 0]
    assert not strided.is_contiguous()
    found = perturbed_products(Shift(Direction(0, 0), 1e-3), weight, 128, [strided, x], [bias, None], BOTH)
    assert found is not None
    rows = Shift(Direction(0, 0), 1e-3).both(weight.view(-1), 128).view(2, 96, 64).double()
    for y, row, b in zip(found, rows, (bias, torch.zeros(96)), strict=True):
        assert y.shape == (4, 50, 96)
        assert torch.allclose(y.double(), x.double() @ row.t() + b, atol=1e-5)


@pytest.fixture
def replica(monkeypatch: pytest.MonkeyPatch) -> Replica:
    monkeypatch.setattr(example_losses, "is_small", lambda *_: False)
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


SETTINGS = {"seed": 5, "num_queries": 1, "perturbation_scale": 1e-2}
NUM_MATRICES = 6 * 2


@pytest.mark.parametrize("num_examples", [2, 6])  # both signs at once; one after the other
def test_a_step_reads_every_matrix_once_for_both_signs_and_stores_no_perturbed_one(
    replica: Replica, num_examples: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the speed of `benchmarks.zo_step` rests on."""
    on_this_processor()
    calls: list[int] = []
    kernel = products_numba.multiply
    monkeypatch.setattr(
        products_numba, "multiply", lambda w, sides, *a, **k: (calls.append(len(sides)), kernel(w, sides, *a, **k))
    )
    found = replica.scalars([batch_of(num_examples)], **SETTINGS)
    assert calls == ([2] * NUM_MATRICES if num_examples == 2 else [1] * 2 * NUM_MATRICES)
    assert not replica._losses._scratch._held
    monkeypatch.setattr(products_numba, "host_tiles", lambda: ())
    as_rows = replica.scalars([batch_of(num_examples)], **SETTINGS)
    assert len(calls) == (NUM_MATRICES if num_examples == 2 else 2 * NUM_MATRICES)
    assert replica._losses._scratch._held
    np.testing.assert_allclose(found.projected_gradients, as_rows.projected_gradients, atol=2e-3)
    np.testing.assert_allclose(found.loss, as_rows.loss, rtol=1e-6)


def test_a_torch_without_those_names_of_onednn_multiplies_by_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.ops, "mkldnn", object())
    monkeypatch.setattr(products, "_onednn_types", products._onednn_types.__wrapped__)  # without its memory
    monkeypatch.setattr(products, "_numba", None)
    x, weight, bias = large()
    assert torch.allclose(product(x, weight, bias), torch.nn.functional.linear(x, weight, bias))


def test_inference_multiplies_by_the_same_kernel(replica: Replica, monkeypatch: pytest.MonkeyPatch) -> None:
    on_this_processor()
    plain: list[float] = []
    kernel = products_numba.multiply
    monkeypatch.setattr(products_numba, "multiply", lambda *a, **k: (plain.append(k["amplitude"]), kernel(*a, **k)))
    whole = replica.losses([batch_of(6)])[0]
    assert plain == [0.0] * NUM_MATRICES
    monkeypatch.setattr(products, "_numba", None)
    np.testing.assert_allclose(replica.losses([batch_of(6)])[0], whole, rtol=1e-5)
