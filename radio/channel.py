"""Generates channels: who has which gain, carrier offset and delay; pure functions of run seed and counters.

Draws are made in device order from one generator per purpose, so device k's value does not depend on how many
others there are. Applying them to samples is in `propagation`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from radio.config import AirConfig
from radio.randomness import generator


@dataclass(frozen=True, slots=True, kw_only=True)
class Oscillator:
    """One device's carrier against the access point's, constant over the run."""

    cfo_hz: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """The path from one device to the access point during one block."""

    gain: complex
    delay_samples: float


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Truth:
    """What the simulated air really is in the current block; for tests, genie CSI and reports."""

    gains: NDArray[np.complex128]
    """Shape [K]; at sample 0 of the clock, where every carrier offset has phase 0."""
    cfo_hz: NDArray[np.float64]
    """Shape [K]."""
    delays_samples: NDArray[np.float64]
    """Shape [K]."""
    noise_power: float
    """N0, total per complex sample."""


def draw_oscillators(config: AirConfig, *, num_devices: int, seed: int) -> tuple[Oscillator, ...]:
    """Residual offsets, uniform in ±cfo_max_hz, one per device; zero on the symbol level."""
    if config.level == "symbol":
        return (Oscillator(cfo_hz=0.0),) * num_devices
    draws = generator(seed, purpose="cfo").uniform(-1.0, 1.0, num_devices)
    return tuple(Oscillator(cfo_hz=float(draw) * config.cfo_max_hz) for draw in draws)


def draw_delays(config: AirConfig, *, num_devices: int, seed: int) -> tuple[float, ...]:
    """Propagation delays, uniform in [0, delay_max_samples], one per device; zero on the symbol level."""
    if config.level == "symbol":
        return (0.0,) * num_devices
    draws = generator(seed, purpose="delay").uniform(0.0, 1.0, num_devices)
    return tuple(float(draw) * config.delay_max_samples for draw in draws)


def draw_gains(
    config: AirConfig, *, num_devices: int, seed: int, round_index: int, attempt: int
) -> NDArray[np.complex128]:
    """Block-fading gains, shape [K]; CN(0, E|h|²) under Rayleigh fading, √E|h|² without."""
    amplitude = np.sqrt(config.mean_gain_power)
    if config.fading == "none":
        return np.full(num_devices, amplitude, dtype=np.complex128)
    draws = generator(seed, round_index, attempt, purpose="fading").standard_normal((num_devices, 2))
    gains: NDArray[np.complex128] = (draws[:, 0] + 1j * draws[:, 1]) * (amplitude / np.sqrt(2))
    return gains


def draw_start_jitter(
    config: AirConfig, *, seed: int, round_index: int, attempt: int, device: int, transmission: int
) -> int:
    """How many samples late one transmission starts, uniform in 0..start_jitter_samples."""
    if config.level == "symbol" or config.start_jitter_samples == 0:
        return 0
    draws = generator(seed, round_index, attempt, device, transmission, purpose="start jitter")
    return int(draws.integers(0, config.start_jitter_samples + 1))


def draw_noise(
    num_samples: int, *, noise_power: float, seed: int, round_index: int, attempt: int, capture: int
) -> NDArray[np.complex128]:
    """Receiver noise CN(0, noise_power), shape [N], of the n-th capture of a block."""
    draws = generator(seed, round_index, attempt, capture, purpose="receiver noise").standard_normal(2 * num_samples)
    draws *= np.sqrt(noise_power / 2)
    return draws.view(np.complex128)
