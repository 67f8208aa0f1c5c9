"""Channel inversion: how much gain everybody can afford, and what a device sends to arrive with it."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from radio.errors import SignalError

NOISE_CLIP_STDS = 4.0  # METHOD §1: p + n is clipped at ±(clip + 4σ) before precoding


@dataclass(frozen=True, slots=True, kw_only=True)
class Csi:
    """What a device is told of its own channel: the gain at the first payload symbol, and how it turns."""

    gain: complex
    cfo_hz: float = 0.0


def value_bound(clip: float, noise_std: float) -> float:
    """The public bound on |p + n| beyond which devices clip."""
    return clip + NOISE_CLIP_STDS * noise_std


def alignment_gain(gains: NDArray[np.complex128], *, clip: float, noise_std: float, max_amplitude: float) -> float:
    """c = min_k √P|h_k| / (clip + 4σ), the largest gain at which no device can exceed its power; `gains` [K].

    `max_amplitude` is √P, or less where a peak would pass full scale. Zero when a device has no channel.
    """
    bound = value_bound(clip, noise_std)
    if not (bound > 0 and math.isfinite(bound)):
        raise SignalError(f"clip + 4·noise_std: got {bound}; allowed: a finite bound > 0")
    if gains.size == 0:
        return 0.0
    return max_amplitude * float(np.abs(gains).min()) / bound


def precode(values: NDArray[np.float64], *, gain: float, csi: Csi, symbol_period_s: float) -> NDArray[np.complex128]:
    """x = (c/ĥ)·value for one symbol each, shape [Q]; ĥ turns by the carrier offset from symbol to symbol.

    A silent round (c = 0) sends zeros whatever the channel. Raises SignalError for a device without channel.
    """
    if gain == 0:
        return np.zeros(values.size, dtype=np.complex128)
    if csi.gain == 0 or not np.isfinite(csi.gain):
        raise SignalError(f"csi.gain: got {csi.gain}; allowed: finite and not zero; leave this device out of the plan")
    times_s = np.arange(values.size) * symbol_period_s
    channel = csi.gain * np.exp(2j * np.pi * csi.cfo_hz * times_s)
    symbols: NDArray[np.complex128] = gain * values / channel
    return symbols
