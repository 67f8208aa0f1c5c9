"""Counter-based randomness: a draw depends on the run seed, its purpose and its counters only."""

from __future__ import annotations

import hashlib

import numpy as np


def generator(seed: int, *counters: int, purpose: str) -> np.random.Generator:
    """A generator for one purpose at one place, equal in every process.

    Every integer fills exactly two 32-bit words behind a digest of `purpose` and the number of counters, so
    that no two sets of arguments share a stream. Raises ValueError for integers outside [0, 2^64).
    """
    words = [_digest(purpose), len(counters)]
    for counter in (seed, *counters):
        if not 0 <= counter < 1 << 64:
            raise ValueError(f"{purpose}: got counter {counter}; allowed: 0 <= counter < 2**64; renumber it")
        words += [counter & 0xFFFFFFFF, counter >> 32]
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence(words)))


def _digest(purpose: str) -> int:
    # The top bit is set, so that numpy always takes exactly two words for it.
    return int.from_bytes(hashlib.blake2b(purpose.encode(), digest_size=8).digest(), "little") | 1 << 63
