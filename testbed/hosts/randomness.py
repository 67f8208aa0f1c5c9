"""Where devices get the noise and the batches that protect them.

On real radios: the operating system's cryptographic source, and nothing that anybody could reproduce. In a simulation:
the experiment's seed, so that runs repeat, and then reports say that the guarantee is void. Never the generator of the
directions, whose seed is public: whoever knows it could subtract the noise.
"""

from __future__ import annotations

import os
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

from radio.randomness import generator

Floats = NDArray[np.float64]

_WORD_BYTES = 8
_MANTISSA_BITS = 52


class DeviceRandomness(Protocol):
    """Randomness of one device."""

    def uniform(self, round_index: int, purpose: str, num: int) -> Floats:
        """Uniform in (0, 1), shape [num]."""
        ...


class SystemRandomness:
    """Fresh from the operating system at every call."""

    def uniform(self, round_index: int, purpose: str, num: int) -> Floats:
        """52 bits each, centred in their interval so that neither 0 nor 1 occurs."""
        words = np.frombuffer(os.urandom(_WORD_BYTES * num), dtype=np.uint64) >> (64 - _MANTISSA_BITS)
        return (words.astype(np.float64) + 0.5) / 2**_MANTISSA_BITS


class SeededRandomness:
    """From the experiment's seed: the same at every call, for simulations only."""

    def __init__(self, seed: int, device: int) -> None:
        self._seed, self._device = seed, device

    def uniform(self, round_index: int, purpose: str, num: int) -> Floats:
        """Depends on the seed, the device, the round and the purpose."""
        drawn = generator(self._seed, self._device, round_index, purpose=purpose).random(num)
        return np.maximum(drawn, np.finfo(np.float64).tiny)


def device_randomness(*, simulated: bool, seed: int, device: int) -> DeviceRandomness:
    """The source that a device of this rig uses."""
    return SeededRandomness(seed, device) if simulated else SystemRandomness()


def artificial_noise(source: DeviceRandomness, round_index: int, num_queries: int) -> Floats:
    """n_k/σ of one device and round, shape [Q], standard normal."""
    return np.asarray(ndtri(source.uniform(round_index, "artificial noise", num_queries)))
