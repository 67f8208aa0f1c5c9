"""Directions are the same bits everywhere, and 16-bit updates do not vanish."""

import importlib.util
import math
import os
import sys
import time
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from learner.errors import LearnerError
from learner.kernels import directions_torch
from learner.kernels.openmp import shares_torch_threads
from learner.kernels.philox import philox4x32
from learner.zo import directions
from learner.zo.directions import Direction, Shift, Spans, apply_updates

_spec = importlib.util.spec_from_file_location("philox_oracle", Path(__file__).parent / "philox_oracle.py")
assert _spec is not None
assert _spec.loader is not None
oracle = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(oracle)

ONES = 0xFFFFFFFF
KINDS = ("rademacher", "gaussian")
DTYPES = (torch.float32, torch.bfloat16, torch.float16)
PATHS = ["compiled", "torch", *(["cuda"] if torch.cuda.is_available() else [])]


@pytest.fixture(params=PATHS)
def path(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> torch.device:
    """Each way in which a direction is made; yields where its tensors live."""
    assert directions._numba is not None
    if request.param != "compiled":
        monkeypatch.setattr(directions, "_numba", None)
    return torch.device("cuda" if request.param == "cuda" else "cpu")


def bits(tensor: torch.Tensor) -> np.ndarray:
    return tensor.cpu().view(torch.int32 if tensor.dtype == torch.float32 else torch.int16).numpy()


# Random123's kat_vectors for philox4x32-10
@pytest.mark.parametrize(
    ("key", "counter", "expected"),
    [
        ((0, 0), (0, 0, 0, 0), "6627e8d5 e169c58d bc57ac4c 9b00dbd8"),
        ((ONES, ONES), (ONES, ONES, ONES, ONES), "408f276d 41c83b0e a20bc7c6 6d5451fd"),
        (
            (0xA4093822, 0x299F31D0),
            (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344),
            "d16cfe09 94fdcceb 5001e420 24126ea1",
        ),
    ],
)
def test_philox_gives_the_known_answers_of_random123(
    key: tuple[int, int], counter: tuple[int, int, int, int], expected: str
) -> None:
    in_numpy = oracle.philox4x32(key, np.array([counter], np.uint64))
    assert " ".join(f"{word:08x}" for word in in_numpy[0]) == expected
    c0, c1, c2, c3 = counter
    in_torch = philox4x32(key, (torch.tensor([c0]), torch.tensor([c1]), c2, c3))
    assert " ".join(f"{word:08x}" for word in in_torch[0].tolist()) == expected


def test_the_bits_of_a_direction_are_frozen(path: torch.device) -> None:
    """A journal replays only as long as these never change; seed 0, query 0 is Random123's zero vector."""
    words = [0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8]
    expected = [1.0 - 2.0 * ((words[i // 32] >> (i % 32)) & 1) for i in range(128)]
    z = Shift(Direction(0, 0), 1.0).both(torch.zeros(128, device=path), 0).cpu().numpy()
    np.testing.assert_array_equal(z, [expected, np.negative(expected)])
    late = Direction(0x0123456789ABCDEF, 3).values(128, first=128).numpy()
    assert np.packbits(late < 0, bitorder="little").tobytes().hex() == LATE_BITS
    steps = Shift(Direction(0x0123456789ABCDEF, 3, "gaussian"), 1.0).both(torch.zeros(16, device=path), 8).cpu()
    assert (2 * steps[0]).int().tolist() == LATE_STEPS


LATE_BITS = "5041d9efd71c79b63dc29c343ffcad1e"
LATE_STEPS = [0, -2, -4, 1, -1, 0, 2, 1, 1, 0, 0, 0, -2, 1, -1, -1]


@given(
    seed=st.integers(0, 2**64 - 1),
    query=st.integers(0, 2**32 - 1),
    first=st.integers(0, 2**40),
    num=st.integers(1, 5000),
    scale=st.floats(2.0**-20, 4, width=32),
    kind=st.sampled_from(KINDS),
)
def test_every_path_equals_the_numpy_oracle(
    seed: int, query: int, first: int, num: int, scale: float, kind: str
) -> None:
    weights = torch.linspace(-1, 1, num)
    z = oracle.direction(seed, query, np.arange(first, first + num), kind)
    expected = [weights.numpy() + np.float32(scale) * z, weights.numpy() - np.float32(scale) * z]
    direction = Direction(seed, query, kind)  # type: ignore[arg-type]
    compiled = Shift(direction, scale).both(weights, first)
    plain = torch.empty_like(compiled)
    directions_torch.both(weights, plain[0], plain[1], first, direction.key, direction.amplitudes(scale))
    np.testing.assert_array_equal(bits(compiled), np.array(expected).view(np.int32))
    np.testing.assert_array_equal(bits(plain), np.array(expected).view(np.int32))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("dtype", DTYPES)
def test_perturbed_copies_in_any_type_are_the_float32_sum_rounded_to_nearest(
    path: torch.device, dtype: torch.dtype, kind: str
) -> None:
    torch.manual_seed(0)
    weights = (torch.randn(5000) * torch.logspace(-9, 1, 5000)).to(dtype).to(path)  # subnormal float16 too
    shift = Shift(Direction(5, 1, kind), 1e-3)  # type: ignore[arg-type]
    wide = shift.both(weights.float(), 77)
    for made in DTYPES:
        for side in (0, 1):
            np.testing.assert_array_equal(bits(shift.one(weights, 77, side, dtype=made)), bits(wide[side].to(made)))
        np.testing.assert_array_equal(bits(shift.both(weights, 77, dtype=made)), bits(wide.to(made)))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("dtype", DTYPES)
def test_updates_are_the_same_bits_on_every_path_in_one_sweep_or_many(dtype: torch.dtype, kind: str) -> None:
    torch.manual_seed(0)
    weights = (torch.randn(9001) * torch.logspace(-9, 1, 9001)).to(dtype)
    updates = [(Direction(3, query, kind), c) for query, c in enumerate((1e-3, -2e-6, 0.25, 0.0, 1e-9))]  # type: ignore[arg-type]
    swept, one_by_one, plain = weights.clone(), weights.clone(), weights.clone()
    apply_updates(swept, 1234, updates)
    for update in updates:
        apply_updates(one_by_one, 1234, [update])
    some = [update for update in updates if update[1] != 0]
    tables = np.stack([direction.amplitudes(-coefficient) for direction, coefficient in some])
    directions_torch.sweep(plain, 1234, [direction.key for direction, _ in some], tables)
    np.testing.assert_array_equal(bits(swept), bits(one_by_one))
    np.testing.assert_array_equal(bits(swept), bits(plain))
    assert not torch.equal(swept, weights)


@pytest.mark.parametrize(("dtype", "mantissa_bits", "smallest"), [(torch.bfloat16, 7, -126), (torch.float16, 10, -14)])
def test_stochastic_rounding_equals_an_exact_rational_oracle(
    path: torch.device, dtype: torch.dtype, mantissa_bits: int, smallest: int
) -> None:
    """The float32 sum lies between two neighbours; the upper one is taken iff the random bits reach its distance."""
    weights = torch.tensor([1.0, -0.75, 3e-3, 1e-5, -6.1e-5, 0.0, 700.0, 1.996], dtype=dtype).repeat(40).to(path)
    coefficient = float(np.float32(1.7e-5))
    moved = weights.clone()
    apply_updates(moved, 160, [(Direction(9, 2), coefficient)])
    index = np.arange(160, 160 + len(weights))
    random = oracle.fields(9, 2, index, oracle.ROUNDING)
    amplitude = np.float32(-coefficient) * oracle.direction(9, 2, index)
    sums = weights.float().cpu().numpy() + amplitude
    num_bits = 23 - mantissa_bits
    for value, draw, got in zip(sums.tolist(), random.tolist(), moved.float().tolist(), strict=True):
        exponent = max(math.frexp(value)[1] - 1, smallest) if value else smallest
        spacing = Fraction(2) ** (exponent - mantissa_bits)
        steps = abs(Fraction(value)) / spacing
        share = Fraction(draw & ((1 << num_bits) - 1), 1 << num_bits)
        assert abs(Fraction(got)) == int(steps + share) * spacing
        assert got * value >= 0


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_updates_far_below_the_spacing_of_16_bit_weights_count_in_the_mean(dtype: torch.dtype) -> None:
    """To nearest they would all vanish: 1 has neighbours 2^-7 or 2^-10 away, the update is 2^-16."""
    num, rounds, coefficient = 1 << 14, 64, 2.0**-16
    weights, expected = torch.ones(num, dtype=dtype), torch.ones(num)
    updates = [(Direction(seed, 0), coefficient) for seed in range(rounds)]
    apply_updates(weights, 0, updates)
    apply_updates(expected, 0, updates)
    for direction, c in updates[:4]:
        assert torch.equal((torch.ones(num) - c * direction.values(num)).to(dtype), torch.ones(num, dtype=dtype))
    error = weights.double() - expected.double()
    spacing = torch.finfo(dtype).eps
    assert abs(float(error.mean())) < 5 * math.sqrt(rounds * coefficient * spacing / num)  # variance ≤ |update| spacing
    along = float(((weights.double() - 1) * (expected.double() - 1)).sum() / (expected.double() - 1).square().sum())
    assert along == pytest.approx(1, abs=5 * math.sqrt(spacing / coefficient / num))


def test_overflow_and_signs_survive_16_bit_rounding(path: torch.device) -> None:
    big = torch.tensor([65504.0, -65504.0], dtype=torch.float16, device=path)
    apply_updates(big, 0, [(Direction(0, 0), 65504.0)])
    assert set(big.abs().tolist()) <= {0.0, math.inf}
    tiny = torch.full((64,), -(2.0**-24), dtype=torch.float16, device=path)
    apply_updates(tiny, 0, [(Direction(0, 0), 2.0**-40)])
    assert (tiny <= 0).all()


def test_rows_and_spans_are_cut_from_the_same_direction(path: torch.device) -> None:
    shift = Shift(Direction(6, 4), 1e-2)
    weights = torch.randn(50 * 24, device=path)
    whole = shift.both(weights, 384)
    rows = torch.tensor([[3, 49, 3], [0, 17, 20]], device=path)
    gathered = shift.both_rows(weights.view(50, 24), rows, 384)
    assert torch.equal(gathered, whole.view(2, 50, 24)[:, rows])
    spans = shift.both_spans(weights, Spans([384 + 128, 384 + 700], [130, 5]), 384)
    assert torch.equal(spans, torch.cat([whole[:, 128:258], whole[:, 700:705]], dim=1))


@pytest.mark.parametrize("num_threads", [2, 3, 8])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_any_number_of_threads_gives_the_same_bits(num_threads: int, dtype: torch.dtype) -> None:
    weights = torch.linspace(-1, 1, 200_000).to(dtype)
    direction = Direction(11, 0)
    one, many = Shift(direction, 1e-3).both(weights, 7), Shift(direction, 1e-3, num_threads).both(weights, 7)
    np.testing.assert_array_equal(bits(one), bits(many))
    for side, made_as in ((side, made_as) for side in (0, 1) for made_as in DTYPES):
        single = Shift(direction, 1e-3, num_threads).one(weights, 7, side, dtype=made_as)
        both = Shift(direction, 1e-3).both(weights, 7, dtype=made_as)
        np.testing.assert_array_equal(bits(single), bits(both[side]))
    alone, together = weights.clone(), weights.clone()
    apply_updates(alone, 7, [(direction, 1e-3)], num_threads=1)
    apply_updates(together, 7, [(direction, 1e-3)], num_threads=num_threads)
    np.testing.assert_array_equal(bits(alone), bits(together))


@pytest.mark.parametrize("kind", KINDS)
def test_an_element_depends_on_seed_query_and_its_own_index_only(kind: str) -> None:
    direction = Direction(7, 2, kind)  # type: ignore[arg-type]
    assert torch.equal(direction.values(777, first=1_000_003), direction.values(1_010_000)[1_000_003:][:777])


def test_the_moments_of_both_kinds_are_exact_over_all_random_fields() -> None:
    """Every 16-bit field is equally likely: enumerate them all. A Gaussian's fourth moment would be 3."""
    steps = np.array([Fraction(bin(field).count("1") - 8, 2) for field in range(1 << 16)])
    moments = [sum(steps**n) / len(steps) for n in (1, 2, 3, 4)]
    assert moments == [0, 1, 0, Fraction(23, 8)]
    assert Direction(0, 0, "gaussian").amplitudes(1.0).tolist() == [n / 2 for n in range(-8, 9)]
    assert Direction(0, 0, "rademacher").amplitudes(1.0).tolist() == [1.0, -1.0]


@pytest.mark.parametrize(("kind", "fourth"), [("rademacher", 1.0), ("gaussian", 2.875)])
def test_drawn_elements_have_the_stated_moments(kind: str, fourth: float) -> None:
    num = 1 << 20
    z = Direction(3, 0, kind).values(num).double()  # type: ignore[arg-type]
    assert abs(float(z.mean())) < 5 / math.sqrt(num)
    assert abs(float(z.square().mean()) - 1) < 5 * math.sqrt((fourth - 1) / num) + 1e-12
    assert abs(float(z.pow(4).mean()) - fourth) < 5 * math.sqrt(105 / num) + 1e-12
    per_place = z.view(-1, 128).mean(dim=0)  # [128]: no bit of the block is stuck
    assert float(per_place.abs().max()) < 5 / math.sqrt(num / 128)


@pytest.mark.parametrize("other", [(4, 0), (3, 1), (3 + 2**32, 0), (3 + 2**63, 0)])
def test_directions_of_other_seeds_and_queries_are_orthogonal(other: tuple[int, int]) -> None:
    num = 1 << 20
    z, z_other = Direction(3, 0).values(num), Direction(*other).values(num)
    assert abs(float((z * z_other).double().mean())) < 5 / math.sqrt(num)


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ((-1, 0), "direction seed is -1; allowed 0 to 2**64 - 1; pass an unsigned 64-bit seed"),
        ((2**64, 0), "allowed 0 to 2**64 - 1"),
        ((0, 2**32), "direction query is 4294967296; allowed 0 to 2**32 - 1; number queries from 0"),
    ],
)
def test_counters_out_of_range_are_refused(arguments: tuple[int, int], expected: str) -> None:
    with pytest.raises(LearnerError) as caught:
        Direction(*arguments)
    assert expected in str(caught.value)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="threads are shared through GNU OpenMP")
def test_compiled_kernels_run_on_torchs_own_threads() -> None:
    """Two pools of spinning threads would fight for the cores."""
    assert shares_torch_threads()
    torch.randn(300, 300) @ torch.randn(300, 300)
    Shift(Direction(0, 0), 1e-3, 4).both(torch.zeros(1 << 20), 0)
    threads = len(os.listdir("/proc/self/task"))
    for _ in range(20):
        torch.randn(300, 300) @ torch.randn(300, 300)
        apply_updates(torch.zeros(1 << 20), 0, [(Direction(0, 0), 1.0)], num_threads=4)
    while len(os.listdir("/proc/self/task")) > threads:  # some may just be ending, also of earlier tests
        time.sleep(0.01)
    maps = Path("/proc/self/maps").read_text().splitlines()
    assert len({line.split()[-1] for line in maps if "libgomp" in line}) == 1
