"""What a radio's filters make of another's signal: analogue ones of the bandwidth set, digital ones of the rate.

Analogue (AD9361 reference manual UG-570; corners over half of `rf_bandwidth`): the receiver has a third-order
Butterworth low-pass at 1.4 behind a single pole at 2.5, the transmitter one at 1.6 and a pole at 5. Digital: flat to
0.45 of the sample rate, nothing from 0.55 on, about as half-band filters and the usual FIR make it: an assumption.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from scipy.signal import oaconvolve

from radio.arrays import Complexes, Reals

HALF_LENGTH = 128
NUM_BINS = 2048
KAISER_BETA = 9.0
PASS_EDGE, STOP_EDGE = 0.45, 0.55  # of the sample rate
IN_BAND_OFFSET = 1 / 16
"""Carriers nearer than this fraction of the sample rate are taken for one channel: nothing is cut from them."""
FLAT_BANDWIDTH = 0.98
"""An analogue bandwidth of this much of the sample rate and more is taken for flat: −0.6 dB at the band's very edge."""
_FLOOR = 10 ** (-80 / 20)


def butterworth(offsets_hz: Reals, corner_hz: float, order: int) -> Reals:
    """Magnitude of a low-pass."""
    response: Reals = 1 / np.sqrt(1 + (offsets_hz / corner_hz) ** (2 * order))
    return response


def receives(offsets_hz: Reals, bandwidth_hz: float, rate_hz: float) -> Reals:
    """Magnitude with which a receiver passes what is so far from its carrier."""
    half = bandwidth_hz / 2
    share = np.clip((np.abs(offsets_hz) / rate_hz - PASS_EDGE) / (STOP_EDGE - PASS_EDGE), 0, 1)
    digital = np.maximum(np.cos(np.pi / 2 * share), _FLOOR)
    return butterworth(offsets_hz, 1.4 * half, 3) * butterworth(offsets_hz, 2.5 * half, 1) * digital


def sends(offsets_hz: Reals, bandwidth_hz: float) -> Reals:
    """Magnitude with which a transmitter passes what is so far from its carrier."""
    half = bandwidth_hz / 2
    return butterworth(offsets_hz, 1.6 * half, 3) * butterworth(offsets_hz, 5 * half, 1)


def filter_taps(offset_hz: float, *, rate_hz: float, tx_bandwidth_hz: int, rx_bandwidth_hz: int) -> Complexes | None:
    """FIR [2·HALF_LENGTH + 1] for a sender whose carrier is so far above the receiver's; None where nothing is cut."""
    near = abs(offset_hz) <= IN_BAND_OFFSET * rate_hz
    if near and min(tx_bandwidth_hz, rx_bandwidth_hz) >= FLAT_BANDWIDTH * rate_hz:
        return None
    return _taps(offset_hz, rate_hz, tx_bandwidth_hz, rx_bandwidth_hz)


@lru_cache(maxsize=64)
def _taps(offset_hz: float, rate_hz: float, tx_bandwidth_hz: int, rx_bandwidth_hz: int) -> Complexes:
    """Designed by the window method in the sender's frame, where the signal is what its samples say; turned by the
    offset into the receiver's."""
    own_hz = np.fft.fftfreq(NUM_BINS).astype(np.float64) * rate_hz
    wanted = sends(own_hz, tx_bandwidth_hz) * receives(own_hz + offset_hz, rx_bandwidth_hz, rate_hz)
    places = np.arange(-HALF_LENGTH, HALF_LENGTH + 1)
    taps = np.fft.ifft(wanted)[places] * np.kaiser(places.size, KAISER_BETA)
    turned: Complexes = taps * np.exp(2j * np.pi * offset_hz / rate_hz * places)
    return turned


def filtered(arriving: Complexes, taps: Complexes) -> Complexes:
    """[N] of [N + 2·HALF_LENGTH] samples."""
    kept: Complexes = oaconvolve(arriving, taps, mode="valid")
    return kept
