"""Directions written down a second time, in plain numpy with 64-bit integers: what all other paths must equal."""

import numpy as np
from numpy.typing import NDArray

MASK32 = 0xFFFFFFFF
SIGNS, ROUNDING, FIELDS = 0, 1, 2


def philox4x32(key: tuple[int, int], counters: NDArray[np.uint64]) -> NDArray[np.uint32]:
    """Philox4x32-10 of counters [n, 4]: uint32 [n, 4]."""
    c = counters.astype(np.uint64).T.copy()
    for n in range(10):
        k0, k1 = ((k + n * w) & MASK32 for k, w in zip(key, (0x9E3779B9, 0xBB67AE85), strict=True))
        p0, p1 = c[0] * np.uint64(0xD2511F53), c[2] * np.uint64(0xCD9E8D57)
        low, high = np.uint64(MASK32), np.uint64(32)
        c = np.stack([(p1 >> high) ^ c[1] ^ np.uint64(k0), p1 & low, (p0 >> high) ^ c[3] ^ np.uint64(k1), p0 & low])
    return c.T.astype(np.uint32)


def words(seed: int, query: int, blocks: NDArray[np.int64], stream: int) -> NDArray[np.uint32]:
    """uint32 [n, 4] of the given blocks."""
    b = blocks.astype(np.uint64)
    rest = [np.full(len(b), value, np.uint64) for value in (query, stream)]
    return philox4x32((seed & MASK32, seed >> 32), np.stack([b & np.uint64(MASK32), b >> np.uint64(32), *rest], axis=1))


def fields(seed: int, query: int, index: NDArray[np.int64], stream: int) -> NDArray[np.int64]:
    """16 random bits of each element."""
    word = words(seed, query, index // 8, stream)[np.arange(len(index)), index % 8 // 2]
    return (word.astype(np.int64) >> (index % 2 * 16)) & 0xFFFF


def direction(seed: int, query: int, index: NDArray[np.int64], kind: str = "rademacher") -> NDArray[np.float32]:
    """z at the given global indices."""
    if kind == "rademacher":
        word = words(seed, query, index // 128, SIGNS)[np.arange(len(index)), index % 128 // 32]
        return (1 - 2 * ((word.astype(np.int64) >> (index % 32)) & 1)).astype(np.float32)
    count = np.array([bin(f).count("1") for f in fields(seed, query, index, FIELDS).tolist()])
    return ((count - 8) / 2).astype(np.float32)
