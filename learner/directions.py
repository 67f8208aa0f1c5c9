"""Counter-based Rademacher directions: element i of direction (seed, query) depends on (seed, query, i) only.

Philox4x32-10 (Salmon et al., SC 2011) with key (seed low 32 bits, seed high 32 bits) and counter
(block low, block high, query, 0), where block = i // 128. Element i is bit i % 32, least significant first,
of word (i % 128) // 32: a 0 bit is +1.0, a 1 bit is -1.0. CPU (numpy), CUDA (torch), any chunking and any
number of threads agree bit for bit. `w + a z` with z = ±1 rounds once, with or without a fused multiply-add,
so what is made of a direction agrees bit for bit too.
"""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch
from numpy.typing import NDArray

from learner.errors import LearnerError

BLOCK_ELEMENTS = 128
"""Elements that one Philox call gives; parameters start at a multiple of it."""
_CHUNK_BLOCKS = 8192  # 1 Mi elements; Philox's working set stays in the L2 cache
_CHUNK_BYTES = 8192  # 64 Ki elements of expanded signs
_MULTIPLIERS = (0xD2511F53, 0xCD9E8D57)
_WEYL = (0x9E3779B9, 0xBB67AE85)
_MASK32 = 0xFFFFFFFF
_NUM_ROUNDS = 10

Bits = NDArray[np.uint8]

_BYTE_SIGNS = 1 - 2 * np.unpackbits(np.arange(256, dtype=np.uint8)[:, None], axis=1, bitorder="little").astype(
    np.float32
)  # [256, 8]: the eight signs that a byte of direction bits stands for


def philox4x32(
    key: tuple[int, int], counters: tuple[NDArray[np.uint64], NDArray[np.uint64], int, int]
) -> NDArray[np.uint32]:
    """Philox4x32-10 of n counters under one key: uint32 [n, 4].

    key: two 32-bit words. counters: words 0 and 1 as arrays [n] of 32-bit values, words 2 and 3 for all.
    """
    num = len(counters[0])
    even, odd = (
        np.empty((2, num), np.uint64),
        np.empty((2, num), np.uint64),
    )  # counter words (0, 2) and (1, 3)
    even[0], odd[0], even[1], odd[1] = counters
    product = np.empty_like(even)
    multipliers = np.array(_MULTIPLIERS, np.uint64)[:, None]
    for n in range(_NUM_ROUNDS):
        round_key = np.array([[(k + n * w) & _MASK32] for k, w in zip(key, _WEYL, strict=True)], np.uint64)
        np.multiply(even, multipliers, out=product)
        np.bitwise_xor(odd, round_key, out=odd)
        np.right_shift(product, np.uint64(32), out=even)
        np.bitwise_xor(even[::-1], odd, out=odd)  # the high halves change places
        np.bitwise_and(product, np.uint64(_MASK32), out=product)
        even, odd, product = odd, product[::-1], even
    words = np.empty((num, 4), np.uint32)
    words[:, 0], words[:, 1], words[:, 2], words[:, 3] = even[0], odd[0], even[1], odd[1]
    return words


def philox4x32_torch(key: tuple[int, int], counters: tuple[torch.Tensor, torch.Tensor, int, int]) -> torch.Tensor:
    """The same on any torch device, from wrapping int64 products: int64 [n, 4] of 32-bit values."""
    c0, c1 = counters[0], counters[1]
    c2, c3 = torch.full_like(c0, counters[2]), torch.full_like(c0, counters[3])
    for n in range(_NUM_ROUNDS):
        k0, k1 = ((k + n * w) & _MASK32 for k, w in zip(key, _WEYL, strict=True))
        product_0, product_1 = c0 * _MULTIPLIERS[0], c2 * _MULTIPLIERS[1]
        c0, c1, c2, c3 = (
            ((product_1 >> 32) & _MASK32) ^ c1 ^ k0,
            product_1 & _MASK32,
            ((product_0 >> 32) & _MASK32) ^ c3 ^ k1,
            product_0 & _MASK32,
        )
    return torch.stack((c0, c1, c2, c3), dim=1)


class Direction:
    """z(seed, query) for a flat buffer of `num_elements` (a multiple of 128), kept as one bit per element."""

    def __init__(
        self,
        seed: int,
        query: int,
        num_elements: int,
        *,
        device: str | torch.device = "cpu",
        num_threads: int = 1,
    ) -> None:
        """Draw the bits: seed 0 … 2⁶⁴−1, query 0 … 2³²−1; LearnerError outside."""
        _check_counters(seed, query, num_elements)
        self.num_elements = num_elements
        self._num_threads = num_threads
        device = torch.device(device)
        if device.type == "cpu":
            self._bits: Bits = _bits_numpy(seed, query, num_elements, num_threads)
            self._words = None
        else:
            self._words = _words_torch(seed, query, num_elements, device)

    def add_to(self, weights: torch.Tensor, amplitude: float, *, out: torch.Tensor) -> None:
        """out = weights + amplitude · z, one rounding per element.

        weights, out: float32 [num_elements], may be the same; amplitude is rounded to float32 first.
        """
        if weights.shape != (self.num_elements,) or out.shape != weights.shape:
            raise LearnerError(
                f"direction of {self.num_elements} elements cannot be added to {tuple(weights.shape)} into "
                f"{tuple(out.shape)}; use flat buffers of that size"
            )
        if self._words is None:
            _add_numpy(weights.numpy(), self._bits, np.float32(amplitude), out.numpy(), self._num_threads)
        else:
            _add_torch(weights, self._words, float(np.float32(amplitude)), out)

    def as_tensor(self) -> torch.Tensor:
        """The whole direction, float32 [num_elements] of ±1; for tests and plots, steps never need it."""
        device = "cpu" if self._words is None else self._words.device
        z = torch.zeros(self.num_elements, device=device)
        self.add_to(z, 1.0, out=z)
        return z


def _check_counters(seed: int, query: int, num_elements: int) -> None:
    if not 0 <= seed < 1 << 64:
        raise LearnerError(f"direction seed is {seed}; allowed 0 to 2**64 - 1; pass an unsigned 64-bit seed")
    if not 0 <= query < 1 << 32:
        raise LearnerError(f"direction query is {query}; allowed 0 to 2**32 - 1; number queries from 0")
    if num_elements < 0 or num_elements % BLOCK_ELEMENTS:
        raise LearnerError(
            f"direction length is {num_elements}; allowed multiples of {BLOCK_ELEMENTS}; pad the buffer to a multiple"
        )


def _key(seed: int) -> tuple[int, int]:
    return seed & _MASK32, seed >> 32


def _run_chunks(work: Callable[[int], None], starts: range, num_threads: int) -> None:
    """Call work(start) for every chunk; numpy frees the interpreter lock, so threads help on large models."""
    if num_threads == 1 or len(starts) < 4:
        for start in starts:
            work(start)
    else:
        with ThreadPoolExecutor(num_threads) as pool:
            list(pool.map(work, starts))


def _bits_numpy(seed: int, query: int, num_elements: int, num_threads: int) -> Bits:
    num_blocks = num_elements // BLOCK_ELEMENTS
    words = np.empty((num_blocks, 4), "<u4")

    def draw(start: int) -> None:
        block = np.arange(start, min(start + _CHUNK_BLOCKS, num_blocks), dtype=np.uint64)
        low, high = block & np.uint64(_MASK32), block >> np.uint64(32)
        words[start : start + _CHUNK_BLOCKS] = philox4x32(_key(seed), (low, high, query, 0))

    _run_chunks(draw, range(0, num_blocks, _CHUNK_BLOCKS), num_threads)
    return words.reshape(-1).view(np.uint8)


def _add_numpy(
    weights: NDArray[np.float32],
    bits: Bits,
    amplitude: np.float32,
    out: NDArray[np.float32],
    num_threads: int,
) -> None:
    table = amplitude * _BYTE_SIGNS

    def add(start: int) -> None:
        chunk = bits[start : start + _CHUNK_BYTES]
        signed = np.take(table, chunk, axis=0, mode="clip").reshape(-1)
        span = slice(8 * start, 8 * (start + len(chunk)))
        np.add(weights[span], signed, out=out[span])

    _run_chunks(add, range(0, len(bits), _CHUNK_BYTES), num_threads)


def _words_torch(seed: int, query: int, num_elements: int, device: torch.device) -> torch.Tensor:
    """int32 [num_elements / 32], the direction's words in two's complement."""
    num_blocks = num_elements // BLOCK_ELEMENTS
    words = torch.empty((num_blocks, 4), dtype=torch.int32, device=device)
    chunk_blocks = _CHUNK_BLOCKS * 32
    for start in range(0, num_blocks, chunk_blocks):
        block = torch.arange(start, min(start + chunk_blocks, num_blocks), dtype=torch.int64, device=device)
        drawn = philox4x32_torch(_key(seed), (block & _MASK32, block >> 32, query, 0))
        words[start : start + chunk_blocks] = (drawn - ((drawn >> 31) << 32)).to(torch.int32)
    return words.reshape(-1)


def _add_torch(weights: torch.Tensor, words: torch.Tensor, amplitude: float, out: torch.Tensor) -> None:
    places = torch.arange(32, dtype=torch.int32, device=words.device)
    chunk_words = _CHUNK_BYTES * 64
    for start in range(0, len(words), chunk_words):
        bits = (words[start : start + chunk_words, None] >> places) & 1  # [n, 32]
        signs = (1 - 2 * bits).to(torch.float32).reshape(-1)
        span = slice(32 * start, 32 * start + len(signs))
        torch.add(weights[span], signs, alpha=amplitude, out=out[span])
