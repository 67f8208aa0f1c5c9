"""Carrier offsets of radios on their own crystals, far beyond what pilots resolve: a tone, and where it is heard."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from radio.samples import IQ

TONE_PERIOD_SAMPLES = 40
TONE_CYCLES = 4  # in a period: a tenth of the sample rate, away from the DC bin
TONE_SAMPLES = 32_768
"""Of the capture in which the tone is looked for."""
TONE_AMPLITUDE = 0.7
SEARCH_FRACTION = 0.09  # of the sample rate, to either side of the tone; its own DC is beyond
HEARD_RATIO = 100.0
"""Of the tone's bin to the median bin; noise alone exceeds it once in 10²⁶ captures."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CarrierOffset:
    """What a tone says."""

    offset_hz: float
    snr_db: float
    """Of the tone's bin over the median bin."""


def carrier_tone() -> IQ:
    """One period of the tone; repeats without a seam."""
    cycles = TONE_CYCLES * np.arange(TONE_PERIOD_SAMPLES) / TONE_PERIOD_SAMPLES
    return (TONE_AMPLITUDE * np.exp(2j * np.pi * cycles)).astype(np.complex64)


def measure_carrier(capture: IQ, sample_rate_hz: float) -> CarrierOffset | None:
    """The offset of the strongest line within the search range, None when none stands out.

    The peak of a Hann-windowed spectrum, between bins by the parabola through the log magnitudes: off by a few
    hundredths of a bin at most.
    """
    window = np.hanning(capture.size)
    spectrum = np.abs(np.fft.fft(capture.astype(np.complex128) * window)) ** 2
    num_bins = spectrum.size
    centre = num_bins * TONE_CYCLES // TONE_PERIOD_SAMPLES
    reach = int(num_bins * SEARCH_FRACTION)
    searched = spectrum[centre - reach : centre + reach + 1]
    peak = int(np.argmax(searched))
    floor = float(np.median(searched))
    if not searched[peak] > HEARD_RATIO * floor or peak in (0, searched.size - 1):
        return None
    low, top, high = np.log(np.maximum(searched[peak - 1 : peak + 2], np.finfo(float).tiny))
    between = 0.5 * (low - high) / (low - 2 * top + high)
    bins = centre - reach + peak + between - num_bins * TONE_CYCLES / TONE_PERIOD_SAMPLES
    ratio = float(searched[peak]) / floor if floor > 0 else np.inf
    return CarrierOffset(offset_hz=float(bins * sample_rate_hz / num_bins), snr_db=float(10 * np.log10(ratio)))
