"""Who hears whom how: the channels of a bench, drawn as `radio.air.Air` draws them.

A device's link with the access point is exactly what an `Air` of the same configuration and seed would draw; links
between devices have draws of their own, of the same kind. All links are reciprocal.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from radio.air.channel import draw_amplitudes, draw_delays, draw_oscillators
from radio.air.config import AirConfig, TransmitterConfig
from radio.air.fading import (
    BlockFading,
    Gains,
    MovingFading,
    Profile,
    block_fading,
    check_doppler,
    chunk_of,
    profile_of,
)
from radio.air.hardware import Angles, draw_angles
from radio.air.kernels import CHUNK_SAMPLES
from radio.air.recorded import RecordedFading
from radio.air.wander import Wander, tracking_keys
from radio.errors import RadioConfigError
from radio.randomness import generator
from radio.virtual_pluto.bench.chip import NOMINAL_XO_HZ
from radio.virtual_pluto.config import VirtualConfig


@dataclass(slots=True, eq=False)
class _Bundle:
    """Some links whose fading is drawn together."""

    amplitudes: NDArray[np.float64]
    delays_s: NDArray[np.float64]
    fading: BlockFading | RecordedFading
    moving: MovingFading | None

    @classmethod
    def draw(
        cls, air: AirConfig, profile: Profile, num_links: int, seed: int, rig_rate_hz: float, *, to_access_point: bool
    ) -> _Bundle:
        doppler = air.doppler_hz / rig_rate_hz
        return cls(
            amplitudes=draw_amplitudes(air, num_devices=num_links, seed=seed),
            delays_s=np.array(draw_delays(air, num_devices=num_links, seed=seed)) / rig_rate_hz,
            fading=block_fading(air, rig_rate_hz, num_devices=num_links, seed=seed)
            if to_access_point
            else BlockFading(profile, num_links, seed, air.block_correlation),
            moving=MovingFading.draw(profile, num_devices=num_links, seed=seed, doppler_per_sample=doppler)
            if doppler > 0 and air.fading != "none"
            else None,
        )


class Links:
    """Channels between num_devices + 1 stations, the access point last."""

    def __init__(
        self, config: VirtualConfig, air: AirConfig, *, num_devices: int, rig_rate_hz: float, shared_clock: bool
    ) -> None:
        """`rig_rate_hz` is the rate that the air's lengths in samples refer to. Raises RadioConfigError."""
        check_air(air)
        self.air = air
        self.num_stations = num_devices + 1
        self._rig_rate_hz, self._block_s = rig_rate_hz, config.block_ms / 1e3
        self._swapped, self._isolation = frozenset(config.swapped_cables), 10 ** (-config.isolation_db / 20)
        self._leakage = 10 ** (-config.leakage_db / 20)
        self._profile = profile_of(air, rig_rate_hz)
        check_doppler(air.doppler_hz / rig_rate_hz)
        seed = config.seed
        self._uplinks = _Bundle.draw(air, self._profile, num_devices, seed, rig_rate_hz, to_access_point=True)
        _check_blocks(self._uplinks.fading, self._block_s, rig_rate_hz)
        other_seed = int(generator(seed, purpose="links between devices").integers(1 << 62))
        num_pairs = num_devices * (num_devices - 1) // 2
        self._pairs = _Bundle.draw(air, self._profile, num_pairs, other_seed, rig_rate_hz, to_access_point=False)
        crystals = generator(seed, purpose="crystal").uniform(-1.0, 1.0, self.num_stations)
        ppm = np.zeros(self.num_stations) if shared_clock else crystals * config.ppm_max
        self.crystals_hz: tuple[float, ...] = tuple(float(NOMINAL_XO_HZ * (1 + error * 1e-6)) for error in ppm)
        """True reference frequency of every station."""
        self.angles: tuple[Angles, ...] = draw_angles(self.num_stations, seed=seed)
        oscillators = draw_oscillators(air, num_devices=self.num_stations, seed=seed)
        self.phase_noise_keys = tuple(oscillator.key for oscillator in oscillators)
        steady = TransmitterConfig() if shared_clock else air.transmitter
        self.wanders = Wander.draw(steady, num_stations=self.num_stations, seed=seed)
        """Of every station's crystal; all None on a shared clock."""
        self.tracking_keys = tracking_keys(self.num_stations, seed=seed)
        self.phase_noise_rad = math.radians(air.transmitter.phase_noise_deg)
        self.block, self.attempt = 0, 1
        self._gains = lru_cache(maxsize=8)(self._draw_gains)

    def begin_block(self, block: int, attempt: int) -> None:
        """Which fading block it is."""
        self.block, self.attempt = block, attempt

    def delay_s(self, sender: int, receiver: int) -> float:
        """Propagation delay."""
        if sender == receiver:
            return 0.0
        bundle, index = self._find(sender, receiver)
        return float(bundle.delays_s[index])

    def tap_delays_s(self, sender: int, receiver: int) -> NDArray[np.float64]:
        """Shape [L], behind the link's delay."""
        return np.zeros(1) if sender == receiver else self._profile.delays_samples / self._rig_rate_hz

    def gains(self, sender: int, receiver: int, times_s: NDArray[np.float64]) -> Gains:
        """Tap gains at the rig's gains: [L], or [times, L] where they move."""
        if sender == receiver:
            return np.array([self._leakage], dtype=np.complex128)
        bundle, index = self._find(sender, receiver)
        amplitude = bundle.amplitudes[index] * self._isolation ** len(self._swapped & {sender, receiver})
        if bundle.moving is not None:
            return amplitude * bundle.moving.gains(index, times_s * self._rig_rate_hz)
        if isinstance(bundle.fading, RecordedFading):
            start = self.block * self._block_s * self._rig_rate_hz
            if (motion := bundle.fading.motion(self.block, self.attempt, start)) is not None:
                return amplitude * motion.gains(index, times_s * self._rig_rate_hz)
        uplinks, pairs = self._gains(self.block, self.attempt)
        return amplitude * (uplinks if bundle is self._uplinks else pairs)[index]

    def chunk_samples(self, sender: int, receiver: int, rate_hz: float) -> int:
        """Over how many samples of a receiver's rate gains may be joined by straight lines."""
        if sender == receiver or self._find(sender, receiver)[0].moving is None:
            return CHUNK_SAMPLES
        return chunk_of(self.air.doppler_hz / rate_hz)

    def _draw_gains(self, block: int, attempt: int) -> tuple[Gains, Gains]:
        return self._uplinks.fading.gains(block, attempt), self._pairs.fading.gains(block, attempt)

    def _find(self, sender: int, receiver: int) -> tuple[_Bundle, int]:
        low, high = sorted((sender, receiver))
        if high == self.num_stations - 1:
            return self._uplinks, low
        return self._pairs, high * (high - 1) // 2 + low


def _check_blocks(fading: BlockFading | RecordedFading, block_s: float, rig_rate_hz: float) -> None:
    """Raise RadioConfigError for blocks that last longer than their recording."""
    recorded = fading.block_samples if isinstance(fading, RecordedFading) else None
    if recorded is not None and not 0 < block_s * rig_rate_hz <= recorded:
        raise RadioConfigError(
            f"virtual.block_ms: got {1e3 * block_s:g} with recorded channels that move; allowed: above 0, at most "
            f"{1e3 * recorded / rig_rate_hz:g}, for which each block was recorded; set it"
        )


def check_air(air: AirConfig) -> None:
    """Raise RadioConfigError for what a virtual bench sets elsewhere, or not at all."""
    if air.level != "sample":
        raise RadioConfigError(f"air.level: got {air.level!r} on virtual Plutos; allowed: 'sample'")
    for name, value, remedy in (
        ("air.cfo_max_hz", air.cfo_max_hz, "virtual.ppm_max"),
        ("air.transmitter.ppm_max", air.transmitter.ppm_max, "virtual.ppm_max"),
        ("air.start_jitter_samples", air.start_jitter_samples, "virtual.start_jitter_max_ms"),
    ):
        if value != 0:
            raise RadioConfigError(f"{name}: got {value:g} on virtual Plutos; allowed: 0; set {remedy}")
