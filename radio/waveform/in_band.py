"""How strong the noise is on the bins that a payload occupies, from spans in which nobody sends.

A span is projected on discrete prolate spheroidal sequences (Slepian 1978), the signals of its length that are most
nearly confined to a band. They are orthonormal, so white noise of power N0 has N0 in each of them, and whatever is
outside the band is hardly in any.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from radio.arrays import Reals
from radio.config import FrameConfig
from radio.samples import IQ
from radio.waveform.modulation import OCCUPIED_FRACTION

LEAST_CONFINED = 0.999
"""How much of a sequence's energy must be in the band."""
FEWEST_SEQUENCES = 3  # of spans too short for that; one goes with the constant
MAX_SPAN_SAMPLES = 512


@dataclass(frozen=True, slots=True)
class InBandNoise:
    """What one silent span showed."""

    energy: float
    """Sum over dimensions, each N0 in the mean."""
    num_dimensions: int
    """Complex ones, independent for white noise."""


def in_band_noise(span: IQ, frame: FrameConfig) -> InBandNoise:
    """Of a span in which nobody sends, less its constant: the receiver's own DC, which hides nothing."""
    if frame.is_symbol_level:
        samples = span.astype(np.complex128)
        return InBandNoise(float(np.sum(np.abs(samples - samples.mean()) ** 2)), span.size - 1)
    piece = span[:MAX_SPAN_SAMPLES]
    basis = _sequences(piece.size, frame.samples_per_symbol)
    return InBandNoise(float(np.sum(np.abs(basis @ piece.astype(np.complex128)) ** 2)), basis.shape[0])


def guard_span(capture: IQ, frame: FrameConfig) -> IQ:
    """The first 3/4 of the guard, which filters' pre-ringing spares."""
    return capture[: frame.guard_samples * 3 // 4]


def silent_span(capture: IQ, symbol: int, frame: FrameConfig) -> IQ:
    """A silent symbol, less what its neighbours' delays and filter tails may reach."""
    begin, margin = frame.first_symbol_samples + symbol * frame.symbol_samples, frame.cyclic_prefix_samples
    return capture[begin + margin : begin + frame.symbol_samples - margin // 2]


@lru_cache
def _sequences(num_samples: int, samples_per_symbol: int) -> Reals:
    """Orthonormal rows [dimensions, num_samples], each within the payload's bins and without a constant part."""
    edge = max(1, samples_per_symbol // OCCUPIED_FRACTION)
    half_width = (edge + 0.5) / samples_per_symbol  # cycles per sample
    index = np.arange(num_samples)
    kernel = 2 * half_width * np.sinc(2 * half_width * (index[:, None] - index))
    confined, sequences = np.linalg.eigh(kernel)
    num_kept = max(int(np.count_nonzero(confined >= LEAST_CONFINED)), FEWEST_SEQUENCES)
    kept = sequences[:, -num_kept:]
    constant = kept.sum(axis=0)
    others = np.linalg.svd(constant[None])[2][1:]  # the kept ones' combinations that sum to zero
    rows: Reals = others @ kept.T
    rows.flags.writeable = False
    return rows
