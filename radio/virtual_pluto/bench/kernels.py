"""Inner loops of the virtual radios, compiled: 16-bit samples onto the air, noise, and the 12-bit converter.

Noise is a function of a key and the sample's number: 16 bits of a counter's hash choose one of 65536 quantiles of
the normal distribution, so it ends at ±4.3 standard deviations, and has no period.
"""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray
from scipy.special import ndtri

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_MIX_1 = np.uint64(0xBF58476D1CE4E5B9)
_MIX_2 = np.uint64(0x94D049BB133111EB)
_LOW_16 = np.uint64(0xFFFF)


def normal_quantiles() -> NDArray[np.float32]:
    """65536 equally likely values of a standard normal variable, scaled to unit variance."""
    quantiles = ndtri((np.arange(65536) + 0.5) / 65536)
    unit: NDArray[np.float32] = (quantiles / quantiles.std()).astype(np.float32)
    return unit


@njit(cache=True, nogil=True)
def read_words(words, begin, first, last, gain, real, imag):  # type: ignore[no-untyped-def]
    """Add a repeating buffer of int16 pairs [2N] times `gain` to [first, last); its top 12 bits count."""
    length = words.size // 2
    position = begin % length
    for i in range(first, last):
        real[i] += gain * np.float32(words[2 * position] & -16)
        imag[i] += gain * np.float32(words[2 * position + 1] & -16)
        position += 1
        if position == length:
            position = 0


@njit(cache=True, nogil=True)
def loop_words(words, begin, first, last, out):  # type: ignore[no-untyped-def]
    """The chip's digital loopback: the top 12 bits of a repeating buffer into [first, last) of `out` [2N]."""
    length = words.size // 2
    position = begin % length
    for i in range(first, last):
        out[2 * i] = words[2 * position] >> 4
        out[2 * i + 1] = words[2 * position + 1] >> 4
        position += 1
        if position == length:
            position = 0


@njit(cache=True, nogil=True)
def _quad(key, counter):  # type: ignore[no-untyped-def]
    z = np.uint64(key) + np.uint64(counter) * _GOLDEN
    z = (z ^ (z >> np.uint64(30))) * _MIX_1
    z = (z ^ (z >> np.uint64(27))) * _MIX_2
    return z ^ (z >> np.uint64(31))


@njit(cache=True, nogil=True)
def digitise_noise(key, first, std, quantiles, out):  # type: ignore[no-untyped-def]
    """Noise alone as 12-bit codes, int16 [2N] from sample `first` on; `std` per I and Q, in codes."""
    num_samples = out.size // 2
    i = 0
    while i < num_samples:
        n = first + i
        z = _quad(key, n >> 1)
        if n & 1:
            z = z >> np.uint64(32)
        for _ in range(1 if n & 1 or i + 1 == num_samples else 2):
            out[2 * i] = _code(std * quantiles[z & _LOW_16])
            out[2 * i + 1] = _code(std * quantiles[(z >> np.uint64(16)) & _LOW_16])
            z = z >> np.uint64(32)
            i += 1


@njit(cache=True, nogil=True)
def digitise_signal(signal, scale, key, first, std, quantiles, out):  # type: ignore[no-untyped-def]
    """A signal times `scale`, with noise, as saturating 12-bit codes; returns the mean square of the codes."""
    total = np.float64(0)
    i = 0
    num_samples = signal.size
    while i < num_samples:
        n = first + i
        z = _quad(key, n >> 1)
        if n & 1:
            z = z >> np.uint64(32)
        for _ in range(1 if n & 1 or i + 1 == num_samples else 2):
            a = _code(scale * signal[i].real + std * quantiles[z & _LOW_16])
            b = _code(scale * signal[i].imag + std * quantiles[(z >> np.uint64(16)) & _LOW_16])
            out[2 * i] = a
            out[2 * i + 1] = b
            total += np.float64(a) * a + np.float64(b) * b
            z = z >> np.uint64(32)
            i += 1
    return total / max(num_samples, 1)


@njit(cache=True, nogil=True)
def _code(value):  # type: ignore[no-untyped-def]
    return np.int16(min(max(np.rint(value), -2047.0), 2047.0))
