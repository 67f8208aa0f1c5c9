"""Philox4x32-10 in plain torch, and what the four words of its counter mean to all kernels.

Key: seed low, seed high. Counter: block low, block high, query, stream (learner/zo/directions.py says which block).
"""

import torch

SIGNS, ROUNDING, FIELDS = 0, 1, 2
"""Streams: what the bits are for. 3 belongs to the adapters."""
MASK32 = 0xFFFFFFFF
_MULTIPLIERS = (0xD2511F53, 0xCD9E8D57)
_WEYL = (0x9E3779B9, 0xBB67AE85)

Key = tuple[int, int, int]
"""Seed low, seed high, query."""


def philox4x32(key: tuple[int, int], counters: tuple[torch.Tensor, torch.Tensor, int, int]) -> torch.Tensor:
    """Philox4x32-10 from wrapping int64 products: int64 [n, 4] of 32-bit values."""
    c0, c1 = counters[0], counters[1]
    c2, c3 = torch.full_like(c0, counters[2]), torch.full_like(c0, counters[3])
    for n in range(10):
        k0, k1 = ((k + n * w) & MASK32 for k, w in zip(key, _WEYL, strict=True))
        product_0, product_1 = c0 * _MULTIPLIERS[0], c2 * _MULTIPLIERS[1]
        c0, c1, c2, c3 = (
            ((product_1 >> 32) & MASK32) ^ c1 ^ k0,
            product_1 & MASK32,
            ((product_0 >> 32) & MASK32) ^ c3 ^ k1,
            product_0 & MASK32,
        )
    return torch.stack((c0, c1, c2, c3), dim=1)
