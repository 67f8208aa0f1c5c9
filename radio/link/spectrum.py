"""What is on the air while everybody is silent: a receiver's spectrum, and what stands out of its noise. Pure."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import signal

from radio.arrays import Reals
from radio.samples import IQ

NUM_BINS = 4096
NUM_SEGMENTS = 16
"""Averaged: a bin of noise alone is ten times the quartile less than once in 10³⁰ captures."""
CAPTURE_SAMPLES = NUM_BINS * NUM_SEGMENTS
LINE_RATIO = 10.0
"""Of a line's bin to the noise."""
BAND_RATIO = 2.0
"""Of the mean of a sixty-fourth of the band to the noise: somebody's modulated signal."""
USED = 0.45
"""Of the sample rate to either side: what lies beyond, filters shape."""
NUM_BANDS = 64
DC_BINS = 3
MAX_LINES = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """A carrier, or a band of a signal, that is no part of the rig."""

    offset_hz: float
    """From the receiver's carrier."""
    width_hz: float
    """0 of a carrier."""
    above_noise_db: float
    level_dbfs: float


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Spectrum:
    """Power by frequency, and what stands out."""

    offsets_hz: Reals
    """[NUM_BINS], ascending."""
    power_dbfs: Reals
    """[NUM_BINS], of one bin; full scale is a tone of amplitude 1."""
    noise_dbfs: float
    """Of one bin: the lower quartile over the used band, of which others may use three quarters."""
    lines: tuple[Line, ...]


def spectrum_of(capture: IQ, sample_rate_hz: float) -> Spectrum:
    """Of CAPTURE_SAMPLES or more: the mean of Hann-windowed segments."""
    offsets, power = signal.welch(
        capture.astype(np.complex128), sample_rate_hz, window="hann", nperseg=NUM_BINS, noverlap=0,
        detrend=False, return_onesided=False, scaling="spectrum",
    )  # fmt: skip
    offsets, power = np.fft.fftshift(offsets), np.maximum(np.fft.fftshift(power), 1e-20)
    used = (np.abs(offsets) < USED * sample_rate_hz) & (np.abs(np.arange(NUM_BINS) - NUM_BINS // 2) > DC_BINS)
    noise = float(np.quantile(power[used], 0.25))
    return Spectrum(
        offsets_hz=offsets,
        power_dbfs=10 * np.log10(power),
        noise_dbfs=10 * float(np.log10(noise)),
        lines=(*_carriers(offsets, power, used, noise), *_bands(offsets, power, used, noise)),
    )


def _carriers(offsets_hz: Reals, power: Reals, used: np.ndarray, noise: float) -> list[Line]:
    found: list[Line] = []
    for place in np.argsort(power)[::-1]:
        if power[place] < LINE_RATIO * noise or len(found) == MAX_LINES:
            break
        apart = [abs(offsets_hz[place] - line.offset_hz) > 4 * (offsets_hz[1] - offsets_hz[0]) for line in found]
        around = np.median(power[max(place - 24, 0) : place + 25])
        if used[place] and all(apart) and power[place] > LINE_RATIO * around:
            found.append(_line(float(offsets_hz[place]), float(power[place]), noise))
    return found


def _bands(offsets_hz: Reals, power: Reals, used: np.ndarray, noise: float) -> list[Line]:
    """Neighbouring pieces of the band that are in use are one signal; carriers do not count: medians are compared."""
    pieces = np.array_split(np.flatnonzero(used), NUM_BANDS)
    levels = [float(np.median(power[piece])) for piece in pieces]
    found: list[Line] = []
    run: list[int] = []
    for number in range(NUM_BANDS + 1):
        if number < NUM_BANDS and levels[number] > BAND_RATIO * noise:
            run.append(number)
        elif run:
            first, last = pieces[run[0]][0], pieces[run[-1]][-1]
            found.append(
                Line(
                    offset_hz=float(offsets_hz[first] + offsets_hz[last]) / 2,
                    width_hz=float(offsets_hz[last] - offsets_hz[first]),
                    above_noise_db=10 * float(np.log10(max(levels[each] for each in run) / noise)),
                    level_dbfs=10 * float(np.log10(power[first : last + 1].sum())),
                )
            )
            run = []
    return found


def _line(offset_hz: float, power: float, noise: float) -> Line:
    level_db, above_db = (10 * float(np.log10(value)) for value in (power, power / noise))
    return Line(offset_hz=offset_hz, width_hz=0.0, above_noise_db=above_db, level_dbfs=level_db)
