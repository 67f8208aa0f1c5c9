"""Channel inversion: how much gain everybody can afford, and what a device sends to arrive with it."""

from __future__ import annotations

import math

import numpy as np

from radio.arrays import Complexes, Reals
from radio.errors import SignalError
from radio.records import Csi


def expected_alignment(gains: Complexes, *, gain: float, ridge: float, bound: float, max_amplitude: float) -> Reals:
    """g_k, what arrives of a value as a multiple of c, shape [K]; ones but under regularised inversion."""
    if ridge == 0 or gain == 0:
        return np.ones(gains.shape)
    power = np.abs(gains) ** 2
    limits = max_amplitude * np.abs(gains) / (bound * gain)
    return np.minimum(power / (power + ridge), limits)


def precode(
    values: Reals | Complexes,
    *,
    gain: float,
    csi: Csi,
    symbol_period_s: float,
    ridge: float = 0.0,
    max_factor: float = math.inf,
    first_symbol: int = 0,
) -> Complexes:
    """x = (c/ĥ)·value for one symbol each, shape [S]; ĥ turns by the carrier offset from symbol to symbol.

    With a ridge λ, x = c·ĥ*/(|ĥ|² + λ)·value, of magnitude `max_factor` per value at most. A silent round (c = 0)
    sends zeros whatever the channel. Raises SignalError for a device without channel.
    """
    if gain == 0:
        return np.zeros(values.size, dtype=np.complex128)
    magnitude = abs(csi.gain)
    if magnitude == 0 or not np.isfinite(csi.gain):
        raise SignalError(f"csi.gain: got {csi.gain}; allowed: finite and not zero; leave this device out of the plan")
    factor = gain / magnitude if ridge == 0 else min(gain * magnitude / (magnitude**2 + ridge), max_factor)
    times_s = (first_symbol + np.arange(values.size)) * symbol_period_s
    turn = np.exp(-2j * np.pi * csi.cfo_hz * times_s) * (np.conj(csi.gain) / magnitude)
    symbols: Complexes = factor * values * turn
    return symbols


def alignment_gain(gains: Complexes, *, bound: float, max_amplitude: float) -> float:
    """c = min_k √P|h_k|/bound, the largest gain at which no device can exceed its power; `gains` [K], K > 0.

    `max_amplitude` is √P, or less where a peak would pass full scale. Zero when a device has no channel.
    """
    return max_amplitude * float(np.abs(gains).min()) / bound
