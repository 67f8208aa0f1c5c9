"""Generates what is constant over a run or one transmission: oscillators, delays, losses, start jitter, noise.

Draws are made in device order from one generator per purpose, so device k's value does not depend on how many
others there are. Gains are drawn in `fading`; `propagation` and `hardware` apply all of it to samples.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from radio.air.config import AirConfig
from radio.errors import RadioConfigError
from radio.randomness import generator


@dataclass(frozen=True, slots=True, kw_only=True)
class Oscillator:
    """One device's clock against the access point's, constant over the run."""

    cfo_hz: float
    sro: float = 0.0
    """Relative error of the sampling clock: 25 ppm is 25e-6."""
    phase_noise_rad: float = 0.0
    key: int = 0
    """Counter key of the phase noise."""

    def mirrored(self) -> Oscillator:
        """The access point's carrier against the device's, for the way back; a device samples on the air's clock."""
        return replace(self, cfo_hz=-self.cfo_hz, sro=0.0)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Truth:
    """What the simulated air really is in the current block; for tests, genie CSI and reports."""

    gains: NDArray[np.complex128]
    """Shape [K]; response at the carrier, at sample 0 of the clock, where every carrier offset has phase 0."""
    cfo_hz: NDArray[np.float64]
    """Shape [K]."""
    delays_samples: NDArray[np.float64]
    """Shape [K]."""
    noise_power: float
    """N0, total per complex sample."""
    sro: NDArray[np.float64]
    """Shape [K]; relative errors of the sampling clocks."""
    tap_gains: NDArray[np.complex128]
    """Shape [K, L]; `gains` is their sum."""
    tap_delays_samples: NDArray[np.float64]
    """Shape [L]; behind each device's own delay."""

    def to_plain(self) -> dict[str, Any]:
        """Lists and numbers, for JSON; complex numbers as [real, imaginary]."""
        return {
            "gains": _pairs(self.gains),
            "cfo_hz": self.cfo_hz.tolist(),
            "delays_samples": self.delays_samples.tolist(),
            "noise_power": self.noise_power,
            "sro": self.sro.tolist(),
            "tap_gains": _pairs(self.tap_gains),
            "tap_delays_samples": self.tap_delays_samples.tolist(),
        }


def _pairs(values: NDArray[np.complex128]) -> list[Any]:
    pairs: list[Any] = np.stack((values.real, values.imag), axis=-1).tolist()
    return pairs


def draw_oscillators(
    config: AirConfig, *, num_devices: int, seed: int, center_freq_hz: float = 915e6
) -> tuple[Oscillator, ...]:
    """One per device: residual offsets, uniform in ±cfo_max_hz, and crystals, uniform in ±ppm_max.

    The sampling clock has the crystal's error, and the carrier too, unless it was corrected; what residual is left
    of the carrier is the crystal's as well. Nothing of all this on the symbol level.
    """
    if config.level == "symbol":
        return (Oscillator(cfo_hz=0.0),) * num_devices
    transmitter = config.transmitter
    residuals_hz = generator(seed, purpose="cfo").uniform(-1.0, 1.0, num_devices) * config.cfo_max_hz
    if config.cfo_offsets_hz:
        _check_one_each("cfo_offsets_hz", config.cfo_offsets_hz, num_devices)
        residuals_hz = np.array(config.cfo_offsets_hz)
    crystals = generator(seed, purpose="crystal").uniform(-1.0, 1.0, num_devices) * transmitter.ppm_max * 1e-6
    keys = generator(seed, purpose="phase noise").integers(0, 1 << 62, num_devices)
    carriers_hz = residuals_hz + (0.0 if transmitter.lo_corrected else crystals * center_freq_hz)
    return tuple(
        Oscillator(
            cfo_hz=float(carrier_hz),
            sro=float(residual_hz / center_freq_hz + crystal) if transmitter.ppm_max > 0 else 0.0,
            phase_noise_rad=float(np.deg2rad(transmitter.phase_noise_deg)),
            key=int(key),
        )
        for residual_hz, carrier_hz, crystal, key in zip(residuals_hz, carriers_hz, crystals, keys, strict=True)
    )


def draw_delays(config: AirConfig, *, num_devices: int, seed: int) -> tuple[float, ...]:
    """Propagation delays, uniform in [0, delay_max_samples], one per device; zero on the symbol level."""
    if config.level == "symbol":
        return (0.0,) * num_devices
    draws = generator(seed, purpose="delay").uniform(0.0, 1.0, num_devices)
    return tuple(float(draw) * config.delay_max_samples for draw in draws)


def draw_amplitudes(config: AirConfig, *, num_devices: int, seed: int) -> NDArray[np.float64]:
    """√(mean power) of every link, shape [K]: path loss with its spread, and how finely gains can be trimmed.

    Raises RadioConfigError where the configuration names the losses of another number of devices.
    """
    if config.path_loss_offsets_db:
        _check_one_each("path_loss_offsets_db", config.path_loss_offsets_db, num_devices)
        known: NDArray[np.float64] = 10 ** (-(config.path_loss_db + np.array(config.path_loss_offsets_db)) / 20)
        return known
    draws = generator(seed, purpose="path loss").uniform(-1.0, 1.0, (num_devices, 2))
    step_db = config.transmitter.gain_step_db if config.level == "sample" else 0.0
    loss_db = config.path_loss_db + draws[:, 0] * config.path_loss_spread_db + draws[:, 1] * step_db / 2
    amplitudes: NDArray[np.float64] = 10 ** (-loss_db / 20)
    return amplitudes


def _check_one_each(name: str, measured: tuple[float, ...], num_devices: int) -> None:
    if len(measured) != num_devices:
        raise RadioConfigError(
            f"air.{name}: got {len(measured)} for {num_devices} links; allowed: one for each device of a loopback rig, "
            "or none"
        )


def draw_start_jitter(
    config: AirConfig, *, seed: int, round_index: int, attempt: int, device: int, transmission: int
) -> int:
    """How many samples late one transmission starts, uniform in 0..start_jitter_samples."""
    if config.level == "symbol" or config.start_jitter_samples == 0:
        return 0
    draws = generator(seed, round_index, attempt, device, transmission, purpose="start jitter")
    return int(draws.integers(0, config.start_jitter_samples + 1))


def draw_gain_error(
    config: AirConfig, *, seed: int, round_index: int, attempt: int, device: int, transmission: int
) -> float:
    """By which factor a transmission's amplitude is off; the first of a block is the reference and never is."""
    limit_db = config.transmitter.gain_error_db
    if config.level == "symbol" or limit_db == 0 or transmission == 0:
        return 1.0
    draws = generator(seed, round_index, attempt, device, transmission, purpose="gain error")
    return float(10 ** (draws.uniform(-limit_db, limit_db) / 20))


def draw_noise(
    num_samples: int, *, noise_power: float, seed: int, round_index: int, attempt: int, capture: int, station: int = 0
) -> NDArray[np.complex128]:
    """Receiver noise CN(0, noise_power), shape [N], of a station's n-th capture of a block."""
    draws = generator(seed, round_index, attempt, capture, station, purpose="receiver noise").standard_normal(
        2 * num_samples
    )
    draws *= np.sqrt(noise_power / 2)
    return draws.view(np.complex128)
