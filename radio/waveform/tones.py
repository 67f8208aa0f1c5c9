"""Noncoherent waveform: whole periods of random-phase tones, two disjoint sets of them per value.

A period that repeats is a sum of its harmonics, so a capture of one period at any offset holds the same energies.
Each query owns a band on both sides of DC, whose inner part is resource 1 and whose outer part is resource 0:
mirror images fall on their own resource, and both resources see much the same channel.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from radio.arrays import Complexes, Indices, Reals
from radio.errors import SignalError
from radio.samples import IQ

EDGE_FRACTION = 0.38  # of the sample rate; resampling filters are flat up to there
QUIET_FRACTION = 0.42  # beyond it nobody sends: noise is measured there
GAP_BINS = 4
PILOT_SPACING_BINS = 4
CREST = 3.75  # peak over rms that random phases must keep: 11.5 dB; of 5000 samples 1 draw in 250 exceeds it
MAX_DRAWS = 200
PILOT_SHARE = 0.05  # of a device's power

Tones = Complexes


@dataclass(frozen=True, slots=True, eq=False)
class ToneLayout:
    """Which harmonics carry what, as bins of an N-point transform."""

    resources: Indices
    """Shape [Q, 2, M]."""
    pilots: Indices
    """Shape [L, 2]; L = 0 where they do not fit."""
    quiet: Indices
    """Where nobody sends."""

    @property
    def tones_per_resource(self) -> int:
        """M."""
        return int(self.resources.shape[2])


@lru_cache
def tone_layout(num_samples: int, num_queries: int, num_pilots: int) -> ToneLayout:
    """The layout of a period of N samples. Raises SignalError when a resource would have less than 8 tones."""
    edge = int(num_samples * EDGE_FRACTION)
    inner = max(GAP_BINS, num_samples // 250)
    per_query = (edge - inner) // num_queries
    per_part = per_query // 2 - GAP_BINS // 2
    if 2 * per_part < 8:
        raise SignalError(
            f"num_queries: got {num_queries} in a period of {num_samples} samples; allowed: at most "
            f"{(edge - inner) // (8 + GAP_BINS)}; raise frame.tone_period_samples"
        )
    starts = inner + per_query * np.arange(num_queries)[:, None]  # [Q, 1]
    low = starts + np.arange(per_part)  # [Q, per_part]
    high = low + per_query // 2
    resources = np.stack([np.concatenate((-part[:, ::-1], part), axis=1) for part in (high, low)], axis=1)
    pilots = edge + GAP_BINS + PILOT_SPACING_BINS * np.arange(num_pilots)
    if num_pilots and pilots[-1] >= int(num_samples * QUIET_FRACTION) - GAP_BINS:
        pilots = pilots[:0]
    quiet = np.arange(int(num_samples * QUIET_FRACTION), num_samples - int(num_samples * QUIET_FRACTION) + 1)
    return ToneLayout(
        resources=resources % num_samples,
        pilots=np.stack((pilots, -pilots), axis=1) % num_samples,
        quiet=quiet,
    )


def max_tone_power(max_power: float) -> float:
    """P of a random-phase signal: the radio's, or less where peaks would pass full scale."""
    return min(max_power, 1 / CREST**2)


def random_tones(
    powers: Reals, pilot_power: float, pilot: int, layout: ToneLayout, num_samples: int,
    secret: np.random.Generator,
) -> Tones:  # fmt: skip
    """A period's transform: `powers` [Q, 2] spread over each resource, phases drawn from the device's secret."""
    tones = np.zeros(num_samples, dtype=np.complex128)
    amplitudes = np.sqrt(powers * num_samples / layout.tones_per_resource)  # [Q, 2]
    phases = secret.uniform(0, 2 * np.pi, layout.resources.shape)
    tones[layout.resources] = amplitudes[:, :, None] * np.exp(1j * phases)
    if layout.pilots.size and pilot_power > 0:
        tones[layout.pilots[pilot]] = np.sqrt(pilot_power * num_samples / 2) * np.exp(
            1j * secret.uniform(0, 2 * np.pi, 2)
        )
    return tones


def period_of(tones: Tones) -> IQ:
    """The samples of one period; |X|² of the unitary transform is power times N."""
    return (np.fft.ifft(tones) * math.sqrt(tones.size)).astype(np.complex64)


def draw_period(
    powers: Reals, pilot_power: float, pilot: int, layout: ToneLayout, num_samples: int,
    secret: np.random.Generator,
) -> IQ:  # fmt: skip
    """A period whose peak is within full scale; phases are drawn again until it is. Raises SignalError."""
    for _ in range(MAX_DRAWS):
        period = period_of(random_tones(powers, pilot_power, pilot, layout, num_samples, secret))
        if float(np.abs(period).max()) <= 1:
            return period
    raise SignalError(
        f"tones: got a peak over full scale in {MAX_DRAWS} draws; allowed: a power of at most "
        f"{1 / CREST**2:.4g}; lower max_power_dbfs"
    )


def sounding_tones(power: float, num_samples: int) -> Tones:
    """All tones of both resources at equal power, with quadratic phases for a low peak; the same for everybody."""
    layout = tone_layout(num_samples, 1, 0)
    bins = np.sort(layout.resources.reshape(-1) - num_samples * (layout.resources.reshape(-1) > num_samples // 2))
    tones = np.zeros(num_samples, dtype=np.complex128)
    phases = np.pi * np.arange(bins.size) ** 2 / bins.size
    tones[bins % num_samples] = math.sqrt(power * num_samples / bins.size) * np.exp(1j * phases)
    return tones


def transform(capture: IQ) -> Tones:
    """The unitary transform of a captured period, shape [N]; white noise of power N0 has power N0 in every bin."""
    tones: Tones = np.fft.fft(capture.astype(np.complex128)) / math.sqrt(capture.size)
    return tones


def resource_energies(tones: Tones, layout: ToneLayout) -> tuple[Reals, Reals]:
    """Mean power on each resource and its variance, both [Q, 2]; noise included.

    The variance is that of the bins' energies about each other: of neighbours, so that a channel that changes slowly
    over the band is not taken for noise. It covers noise, and how the devices' random phases happened to meet.
    """
    energies = np.abs(tones[layout.resources]) ** 2 / tones.size  # [Q, 2, M]
    num_tones = layout.tones_per_resource
    spread = np.diff(energies, axis=2)
    seam = num_tones // 2 - 1  # where the band below DC ends
    spread = np.delete(spread, seam, axis=2)
    return energies.sum(axis=2), num_tones * (spread**2).mean(axis=2) / 2


def measure_noise(tones: Tones, layout: ToneLayout) -> float:
    """N0 from the bins where nobody sends; relative variance 1/bins."""
    return float(np.mean(np.abs(tones[layout.quiet]) ** 2))


def power_variance(gain: float, sent: float, num_tones: int, num_samples: int, noise_power: float) -> float:
    """Of |h|² measured on M tones that were sent with a power: (2·N0·S + M·N0²)/N², S the bins' signal, over sent²."""
    signal = max(gain, 0.0) * sent * num_samples
    return (2 * noise_power * signal + num_tones * noise_power**2) / num_samples**2 / sent**2


def measure_powers(tones: Tones, layout: ToneLayout, *, power: float, noise_power: float) -> tuple[Reals, Reals]:
    """|h|² on the two resources from a sounding sent with `power`, and the variances, both [2].

    Unbiased: the noise that the bins hold is taken off.
    """
    num_samples, num_tones = tones.size, layout.tones_per_resource
    sent = power / 2  # on each resource
    received = (np.abs(tones[layout.resources[0]]) ** 2).sum(axis=1) / num_samples
    gains = (received - num_tones * noise_power / num_samples) / sent
    variances = [power_variance(float(gain), sent, num_tones, num_samples, noise_power) for gain in gains]
    return gains, np.array(variances)
