"""Directions are the same bits everywhere."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from learner.directions import Direction, _add_torch, _words_torch, philox4x32, philox4x32_torch
from learner.errors import LearnerError

ONES = 0xFFFFFFFF


def zeros(value: int = 0) -> np.ndarray:
    return np.array([value], np.uint64)


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
    c0, c1, c2, c3 = counter
    words = philox4x32(key, (zeros(c0), zeros(c1), c2, c3))
    assert " ".join(f"{word:08x}" for word in words[0]) == expected
    in_torch = philox4x32_torch(key, (torch.tensor([c0]), torch.tensor([c1]), c2, c3))
    assert " ".join(f"{word:08x}" for word in in_torch[0].tolist()) == expected


def test_the_bits_of_a_direction_are_frozen() -> None:
    """A journal replays only as long as these never change; seed 0, query 0 is Random123's zero vector."""
    z = Direction(0, 0, 128).as_tensor().numpy()
    words = [0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8]
    expected = [1.0 - 2.0 * ((words[i // 32] >> (i % 32)) & 1) for i in range(128)]
    np.testing.assert_array_equal(z, np.array(expected, np.float32))
    late = Direction(0x0123456789ABCDEF, 3, 256).as_tensor().numpy()[128:]
    assert np.packbits(late < 0, bitorder="little").tobytes().hex() == LATE_BITS


LATE_BITS = "5041d9efd71c79b63dc29c343ffcad1e"


@given(
    seed=st.integers(0, 2**64 - 1),
    query=st.integers(0, 2**32 - 1),
    num_blocks=st.integers(0, 40),
    amplitude=st.floats(-4, 4, width=32),
)
def test_torch_and_numpy_paths_agree_bit_for_bit(seed: int, query: int, num_blocks: int, amplitude: float) -> None:
    weights = torch.linspace(-1, 1, 128 * num_blocks)
    by_numpy, by_torch = torch.empty_like(weights), torch.empty_like(weights)
    Direction(seed, query, 128 * num_blocks).add_to(weights, amplitude, out=by_numpy)
    _add_torch(weights, _words_torch(seed, query, 128 * num_blocks, torch.device("cpu")), amplitude, by_torch)
    np.testing.assert_array_equal(by_numpy.numpy().view(np.uint32), by_torch.numpy().view(np.uint32))


def test_torch_path_agrees_across_its_chunks() -> None:
    num_elements = 8192 * 64 * 32 + 128 * 1000  # more than one chunk of words
    words = _words_torch(9, 1, num_elements, torch.device("cpu"))
    z = torch.zeros(num_elements)
    _add_torch(z, words, 1.0, z)
    assert torch.equal(z, Direction(9, 1, num_elements).as_tensor())


def test_an_element_depends_on_seed_query_and_its_own_index_only() -> None:
    long = Direction(7, 2, 128 * 20_000).as_tensor()
    assert torch.equal(Direction(7, 2, 128 * 300).as_tensor(), long[: 128 * 300])


@pytest.mark.parametrize("num_threads", [2, 3, 8])
def test_any_number_of_threads_gives_the_same_bits(num_threads: int) -> None:
    num_elements = 128 * 50_000
    weights = torch.linspace(-1, 1, num_elements)
    expected, got = torch.empty_like(weights), torch.empty_like(weights)
    Direction(11, 0, num_elements).add_to(weights, 1e-3, out=expected)
    Direction(11, 0, num_elements, num_threads=num_threads).add_to(weights, 1e-3, out=got)
    assert torch.equal(got, expected)


def test_elements_are_signs_with_mean_zero() -> None:
    z = Direction(3, 0, 128 * 8000).as_tensor().double()
    assert set(z.unique().tolist()) == {-1.0, 1.0}
    assert abs(float(z.mean())) < 4 / np.sqrt(len(z))  # 4 standard deviations
    per_place = z.view(-1, 128).mean(dim=0)  # [128]: no bit of the block is stuck
    assert float(per_place.abs().max()) < 5 / np.sqrt(8000)


@pytest.mark.parametrize("other", [(4, 0), (3, 1), (3 + 2**32, 0), (3 + 2**63, 0)])
def test_directions_of_other_seeds_and_queries_are_orthogonal(other: tuple[int, int]) -> None:
    num_elements = 128 * 8000
    z, z_other = Direction(3, 0, num_elements).as_tensor(), Direction(*other, num_elements).as_tensor()
    assert abs(float((z * z_other).double().mean())) < 4 / np.sqrt(num_elements)


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ((-1, 0, 128), "direction seed is -1; allowed 0 to 2**64 - 1; pass an unsigned 64-bit seed"),
        ((2**64, 0, 128), "allowed 0 to 2**64 - 1"),
        ((0, 2**32, 128), "direction query is 4294967296; allowed 0 to 2**32 - 1; number queries from 0"),
        ((0, 0, 100), "direction length is 100; allowed multiples of 128; pad the buffer to a multiple"),
    ],
)
def test_counters_out_of_range_are_refused(arguments: tuple[int, int, int], expected: str) -> None:
    with pytest.raises(LearnerError) as caught:
        Direction(*arguments)
    assert expected in str(caught.value)


def test_buffers_of_another_size_are_refused() -> None:
    with pytest.raises(LearnerError, match="direction of 128 elements cannot be added"):
        Direction(0, 0, 128).add_to(torch.zeros(256), 1.0, out=torch.zeros(256))
