"""What transmitters and receivers do to samples: converters, mirror images, leaking carriers, amplifiers. Memoryless.

A transmitter's part is applied once, when a frame is handed over; only clocks and channels depend on time.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from radio.air.config import ReceiverConfig, TransmitterConfig
from radio.randomness import generator

Samples = NDArray[np.complex128]


@dataclass(frozen=True, slots=True, kw_only=True)
class Angles:
    """The phases of one radio's mirror image and of its leaking carrier, in rad; constant over the run."""

    image_rad: float
    dc_rad: float


def draw_angles(num_stations: int, *, seed: int) -> tuple[Angles, ...]:
    """One per station, the access point last."""
    draws = generator(seed, purpose="hardware").uniform(0, 2 * np.pi, (num_stations, 2))
    return tuple(Angles(image_rad=float(image), dc_rad=float(dc)) for image, dc in draws)


def quantise(samples: Samples, bits: int) -> Samples:
    """Round I and Q to the 2^bits − 1 levels that are symmetric in ±1, and saturate there; 0 bits saturate only."""
    parts = np.clip(samples.view(np.float64), -1.0, 1.0)
    if bits > 0:
        largest_code = (1 << (bits - 1)) - 1 if bits > 1 else 1
        parts = np.rint(parts * largest_code) / largest_code
    return parts.view(np.complex128)


def mirror(samples: Samples, image_dbc: float, angle_rad: float) -> Samples:
    """μ x + ν x*, |ν|²/|μ|² = the image's power, |μ|² + |ν|² = 1; from unequal gains and a skew of I and Q."""
    ratio = 10 ** (image_dbc / 20)
    if ratio == 0:
        return samples
    image = ratio * np.exp(1j * angle_rad) * samples.conj()
    mirrored: Samples = (samples + image) / np.sqrt(1 + ratio**2)
    return mirrored


def leak(dc_dbc: float, angle_rad: float) -> complex:
    """The constant that an unbalanced mixer adds."""
    return complex(10 ** (dc_dbc / 20) * np.exp(1j * angle_rad))


def amplify(samples: Samples, config: TransmitterConfig) -> Samples:
    """A power amplifier of unit gain for small signals that saturates at an output amplitude A.

    Rapp: r/(1 + (r/A)^2p)^(1/2p). Saleh, u = r/(2A): r/(1 + u²), turned by (π/3)·u²/(1 + u²).
    """
    if config.pa == "linear":
        return samples
    saturation = 10 ** (config.pa_saturation_dbfs / 20)
    if config.pa == "rapp":
        smoothness = config.pa_smoothness
        compressed: Samples = samples / (1 + (np.abs(samples) / saturation) ** (2 * smoothness)) ** (
            1 / (2 * smoothness)
        )
        return compressed
    drive = (np.abs(samples) / (2 * saturation)) ** 2
    distorted: Samples = samples / (1 + drive) * np.exp(1j * (np.pi / 3) * drive / (1 + drive))
    return distorted


def radiate(samples: Samples, config: TransmitterConfig, angles: Angles) -> Samples:
    """A frame as the antenna sends it: DAC, mixer, amplifier."""
    converted = quantise(samples, config.dac_bits) if config.dac_bits > 0 else samples
    mixed = mirror(converted, config.iq_image_dbc, angles.image_rad)
    if config.dc_dbc > -np.inf:
        mixed = mixed + leak(config.dc_dbc, angles.dc_rad)
    return amplify(mixed, config)


def digitise(samples: Samples, config: ReceiverConfig, angles: Angles) -> NDArray[np.complex64]:
    """What comes out of a receiver: mixer and ADC, which saturates at full scale."""
    mixed = mirror(samples, config.iq_image_dbc, angles.image_rad)
    if config.dc_dbc > -np.inf:
        mixed = mixed + leak(config.dc_dbc, angles.dc_rad)
    return quantise(mixed, config.adc_bits).astype(np.complex64)
