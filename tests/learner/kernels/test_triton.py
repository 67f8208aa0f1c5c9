"""Triton's kernels, without a GPU: their bits in its interpreter, and that they compile for real ones."""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.skipif(importlib.util.find_spec("triton") is None, reason="no Triton for this platform")

IN_THE_INTERPRETER = """
import warnings
import numpy as np
import torch
from learner.kernels import directions_torch, directions_triton
from learner.zo.directions import Direction

generator = np.random.default_rng(0)
FLOATS = (torch.float32, torch.bfloat16, torch.float16)


def direction(kind):
    seed, query = generator.integers(0, 2**64, dtype=np.uint64), generator.integers(0, 2**32)
    return Direction(int(seed), int(query), kind)


def normal(*shape, dtype):
    return torch.from_numpy(generator.normal(size=shape).astype(np.float32) * 0.02).to(dtype)


def same(what, make):
    made = [make(way) for way in (directions_torch, directions_triton)]
    numbers = [values.view(torch.int32 if values.itemsize == 4 else torch.int16) for values in made]
    assert torch.equal(*numbers), what


def both(way, weights, first, direction, dtype, has_plus=True):
    out = torch.zeros((2, len(weights)), dtype=dtype)
    way.both(weights, out[0] if has_plus else None, out[1], first, direction.key, direction.amplitudes(1e-3))
    return out


def rows(way, weights, wanted, direction):
    out = torch.empty((2, len(wanted), weights.shape[1]), dtype=weights.dtype)
    way.both_rows(weights, wanted, out, 1280, direction.key, direction.amplitudes(1e-3))
    return out


def swept(way, weights, first, directions):
    weights = weights.clone()
    amplitudes = np.stack([d.amplitudes(a) for d, a in zip(directions, (1e-4, -3e-2, 2e-6))])
    way.sweep(weights, first, [d.key for d in directions], amplitudes)
    return weights


for kind in ("rademacher", "gaussian"):
    for dtype in FLOATS:
        for count, first in ((1, 0), (300, 128), (2500, 2**33 + 77)):
            weights, one, three = normal(count, dtype=dtype), direction(kind), [direction(kind) for _ in range(3)]
            for made in FLOATS:
                same(("both", kind, dtype, made, first), lambda way: both(way, weights, first, one, made))
                same(("one", kind, dtype, made, first), lambda way: both(way, weights, first, one, made, False))
            same(("sweep", kind, dtype, first), lambda way: swept(way, weights, first, three))
        matrix, wanted = normal(9, 200, dtype=dtype), torch.tensor([3, 0, 8, 3])
        same(("rows", kind, dtype), lambda way: rows(way, matrix, wanted, one))
        directions_triton._MOST_ROWS = 3  # a grid of CUDA has 65,535 programs on its second axis
        same(("rows in parts", kind, dtype), lambda way: rows(way, matrix, wanted, one))
        same(("no rows", kind, dtype), lambda way: rows(way, matrix, wanted[:0], one))
    large = torch.tensor([65504.0, -65504.0, 1.0, 0.0, -0.0, 6e-8, -3e38, float("inf")])
    for dtype in FLOATS:
        same(("extremes", kind, dtype), lambda way: swept(way, large.to(dtype), 0, three))

cpu = torch.device("cpu")
assert directions_triton.works_on(cpu)
for change, reason in (
    (lambda *_: 1 / 0, "ZeroDivisionError: division by zero"),
    (lambda *_: None, "their bits are not those of plain torch"),
):
    directions_triton.works_on.cache_clear()
    directions_triton.sweep = change
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        assert not directions_triton.works_on(cpu)
    assert [reason in str(warning.message) for warning in caught] == [True], caught
print("same bits")
"""


def test_the_interpreter_gives_the_bits_of_plain_torch_or_a_warning(tmp_path: Path) -> None:
    """In a process of its own: Triton asks for its interpreter when it is imported."""
    root = str(Path(__file__).parents[3])
    found = subprocess.run(
        [sys.executable, "-W", "error", "-c", IN_THE_INTERPRETER],
        env={**os.environ, "PYTHONPATH": root, "TRITON_CACHE_DIR": str(tmp_path), "TRITON_INTERPRET": "1"},
        capture_output=True,
        text=True,
        timeout=500,
        check=False,
    )
    assert (found.returncode, found.stdout) == (0, "same bits\n"), found.stderr


POINTER = ("*fp32", "*i16", "*i16")


@pytest.mark.parametrize(
    ("capability", "stored", "made", "is_sign"), [(80, 0, 0, True), (90, 1, 1, False), (90, 2, 2, True)]
)
def test_kernels_compile_to_machine_code_in_which_no_rounding_is_fused_away(
    capability: int, stored: int, made: int, is_sign: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """For compute capabilities 8.0 and 9.0, by the assembler that Triton brings."""
    monkeypatch.setenv("TRITON_CACHE_DIR", str(tmp_path))
    from triton import compile as compiled
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource

    from learner.kernels import directions_triton as kernels

    words = dict.fromkeys(("k0", "k1", "query", "count", "num_updates"), "i32")
    held = {"weights": POINTER[stored], "plus": POINTER[made], "minus": POINTER[made], "table": "*fp32", "first": "i64"}
    types = {**words, **held, "rows": "*i64", "keys": "*i64", "tables": "*fp32"}
    kind = {"stored": stored, "num": 16}
    what = {"has_rows": not is_sign, "has_plus": is_sign, "is_sign": is_sign, "made_as": made}
    for kernel, constants in (
        (kernels._both_kernel, {**kind, **what}),
        (kernels._sweep_kernel, {**kind, "entries": 2 if is_sign else 17}),
    ):
        signature = {name: "constexpr" if name in constants else types[name] for name in kernel.arg_names}
        places = {(kernel.arg_names.index(name),): value for name, value in constants.items()}
        source = ASTSource(fn=kernel, signature=signature, constexprs=places, attrs={})
        found = compiled(source, target=GPUTarget("cuda", capability, 32), options={"enable_fp_fusion": False})
        assert found.asm["cubin"]
        assert "fma." not in found.asm["ptx"]
