"""Generates the taps of links: power-delay profiles, and gains that are steady, drawn per block, correlated or moving.

Pure functions of run seed and counters, drawn in device order from one generator per purpose.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from radio.air.config import AirConfig
from radio.air.kernels import CHUNK_SAMPLES, MIN_CHUNK_SAMPLES
from radio.air.recorded import RecordedFading, recorded_fading
from radio.errors import RadioConfigError
from radio.randomness import generator

MAX_CATCH_UP_DRAWS = 1 << 30
"""Gains that are drawn at most to get from one round to a much later one; tens of seconds."""
_ROUND_DRAWS = 1 << 10  # what a generator costs, in draws

Gains = NDArray[np.complex128]

NUM_SINUSOIDS = 16
MAX_TURN_CYCLES = 0.059
"""By which a path may turn from one chunk's edge to the next: the straight line between loses 0.05 dB of E|h|²."""
MAX_DOPPLER_PER_SAMPLE = MAX_TURN_CYCLES / MIN_CHUNK_SAMPLES

# TR 38.901, tables 7.7.2-1 to -5: (delay over the rms delay spread, power in dB); the first tap of D and E is steady.
_TDL_TABLES: dict[str, tuple[tuple[float, float], ...]] = {
    "A": (
        (0.0000, -13.4), (0.3819, 0.0), (0.4025, -2.2), (0.5868, -4.0), (0.4610, -6.0), (0.5375, -8.2),
        (0.6708, -9.9), (0.5750, -10.5), (0.7618, -7.5), (1.5375, -15.9), (1.8978, -6.6), (2.2242, -16.7),
        (2.1718, -12.4), (2.4942, -15.2), (2.5119, -10.8), (3.0582, -11.3), (4.0810, -12.7), (4.4579, -16.2),
        (4.5695, -18.3), (4.7966, -18.9), (5.0066, -16.6), (5.3043, -19.9), (9.6586, -29.7),
    ),
    "B": (
        (0.0000, 0.0), (0.1072, -2.2), (0.2155, -4.0), (0.2095, -3.2), (0.2870, -9.8), (0.2986, -1.2),
        (0.3752, -3.4), (0.5055, -5.2), (0.3681, -7.6), (0.3697, -3.0), (0.5700, -8.9), (0.5283, -9.0),
        (1.1021, -4.8), (1.2756, -5.7), (1.5474, -7.5), (1.7842, -1.9), (2.0169, -7.6), (2.8294, -12.2),
        (3.0219, -9.8), (3.6187, -11.4), (4.1067, -14.9), (4.2790, -9.2), (4.7834, -11.3),
    ),
    "C": (
        (0.0000, -4.4), (0.2099, -1.2), (0.2219, -3.5), (0.2329, -5.2), (0.2176, -2.5), (0.6366, 0.0),
        (0.6448, -2.2), (0.6560, -3.9), (0.6584, -7.4), (0.7935, -7.1), (0.8213, -10.7), (0.9336, -11.1),
        (1.2285, -5.1), (1.3083, -6.8), (2.1704, -8.7), (2.7105, -13.2), (4.2589, -13.9), (4.6003, -13.9),
        (5.4902, -15.8), (5.6077, -17.1), (6.3065, -16.0), (6.6374, -15.7), (7.0427, -21.6), (8.6523, -22.8),
    ),
    "D": (
        (0.0000, -0.2), (0.0000, -13.5), (0.0350, -18.8), (0.6120, -21.0), (1.3630, -22.8), (1.4050, -17.9),
        (1.8040, -20.1), (2.5960, -21.9), (1.7750, -22.9), (4.0420, -27.8), (7.9370, -23.6), (9.4240, -24.8),
        (9.7080, -30.0), (12.5250, -27.7),
    ),
    "E": (
        (0.0000, -0.03), (0.0000, -22.03), (0.5133, -15.8), (0.5440, -18.1), (0.5630, -19.8), (0.5440, -22.9),
        (0.7112, -22.4), (1.9092, -18.6), (1.9293, -20.8), (1.9589, -22.6), (2.6426, -22.3), (3.7136, -25.6),
        (5.4524, -20.2), (12.0034, -29.8), (20.6519, -29.2),
    ),
}  # fmt: skip
_STEADY_FIRST_TAP = ("D", "E")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Profile:
    """Where the taps of a link are and how strong; mean powers sum to 1."""

    delays_samples: NDArray[np.float64]
    """Shape [L]."""
    scattered_powers: NDArray[np.float64]
    """Shape [L]; the part that fades."""
    steady_powers: NDArray[np.float64]
    """Shape [L]; the part that does not."""


def profile_of(config: AirConfig, sample_rate_hz: float) -> Profile:
    """The taps that a configuration asks for; one tap on the symbol level, where there are no samples to delay."""
    if config.channel:
        recorded = _recorded(config, sample_rate_hz)
        powers = recorded.powers
        return Profile(
            delays_samples=recorded.delays_samples, scattered_powers=powers, steady_powers=np.zeros_like(powers)
        )
    table = ((0.0, 0.0),) if config.tdl == "flat" or config.level == "symbol" else _TDL_TABLES[config.tdl]
    delays, powers_db = np.array(table, dtype=np.float64).T
    powers = 10 ** (powers_db / 10)
    powers /= powers.sum()
    steady = np.zeros_like(powers)
    if config.fading == "none":
        steady = powers.copy()
    elif len(table) > 1 and config.tdl in _STEADY_FIRST_TAP:
        steady[0] = powers[0]
    elif config.fading == "rice":
        rice_k = 10 ** (config.rice_k_db / 10)
        steady[0] = rice_k / (1 + rice_k)
        powers = np.where(np.arange(powers.size) == 0, steady, 0) + powers / (1 + rice_k)
    return Profile(
        delays_samples=delays * config.delay_spread_s * sample_rate_hz,
        scattered_powers=powers - steady,
        steady_powers=steady,
    )


def block_fading(
    config: AirConfig, sample_rate_hz: float, *, num_devices: int, seed: int
) -> BlockFading | RecordedFading:
    """What gives every block its gains. Raises RadioConfigError for a recording of fewer devices."""
    if not config.channel:
        return BlockFading(profile_of(config, sample_rate_hz), num_devices, seed, config.block_correlation)
    recorded = _recorded(config, sample_rate_hz)
    if (num_links := recorded.taps.shape[2]) != num_devices:
        raise RadioConfigError(
            f"air.channel: {config.channel!r} has {num_links} links, {num_devices} are needed; allowed: one for each "
            f"device; set num_devices = {num_links}, or choose with ?devices=0-{num_devices - 1}"
        )
    return recorded


def _recorded(config: AirConfig, sample_rate_hz: float) -> RecordedFading:
    """Of the symbol level, where nothing moves, the sum of each device's taps at the beginning of blocks."""
    recorded = recorded_fading(config.channel, sample_rate_hz)
    if config.level == "sample":
        return recorded
    return RecordedFading(taps=recorded.taps[:, :1].sum(axis=3, keepdims=True), delays_samples=np.zeros(1))


@dataclass(slots=True)
class BlockFading:
    """Gains [K, L] of each block, as a multiple of the amplitude of the link's path loss.

    With ρ > 0 the first attempts of successive rounds form an AR(1) process; another attempt is one step from its
    round's first. Where the process stands is a function of the round, so a resumed run finds the same gains.
    """

    profile: Profile
    num_devices: int
    seed: int
    correlation: float
    _round: int = -1
    _scattered: Gains | None = None

    def gains(self, round_index: int, attempt: int) -> Gains:
        """The block's gains."""
        if self.correlation == 0:
            scattered = self._innovation(round_index, attempt)
        else:
            scattered = self._first_of(round_index)
            if attempt > 1:
                scattered = self._step(scattered, round_index, attempt)
        profile = self.profile
        return np.sqrt(profile.steady_powers) + np.sqrt(profile.scattered_powers) * scattered

    def _first_of(self, round_index: int) -> Gains:
        if self._scattered is None or round_index < self._round:
            self._check_catch_up(round_index)
            self._round, self._scattered = 0, self._innovation(0, 1)
        self._check_catch_up(round_index - self._round)
        while self._round < round_index:
            self._round += 1
            self._scattered = self._step(self._scattered, self._round, 1)
        return self._scattered

    def _check_catch_up(self, num_rounds: int) -> None:
        most = MAX_CATCH_UP_DRAWS // max(_ROUND_DRAWS, self.num_devices * self.profile.delays_samples.size)
        if num_rounds > most:
            raise RadioConfigError(
                f"round_index: got a round {num_rounds} rounds away; allowed with block_correlation > 0: {most} for so "
                "many devices and taps, since gains follow from those of every round before; set block_correlation = 0"
            )

    def _step(self, before: Gains, round_index: int, attempt: int) -> Gains:
        fresh = np.sqrt(1 - self.correlation**2) * self._innovation(round_index, attempt)
        return self.correlation * before + fresh

    def _innovation(self, round_index: int, attempt: int) -> Gains:
        shape = (self.num_devices, self.profile.delays_samples.size, 2)
        draws = generator(self.seed, round_index, attempt, purpose="fading").standard_normal(shape)
        return (draws[..., 0] + 1j * draws[..., 1]) / np.sqrt(2)


def check_doppler(doppler_per_sample: float) -> None:
    """Raise RadioConfigError for a Doppler shift, in cycles a sample, at which gains would lose their power."""
    if doppler_per_sample > MAX_DOPPLER_PER_SAMPLE:
        raise RadioConfigError(
            f"air.doppler_hz: got {doppler_per_sample:.3g} of the sample rate; allowed: at most "
            f"{MAX_DOPPLER_PER_SAMPLE:.3g} of it, up to which gains keep their power; lower it, or raise "
            "radio.sample_rate_hz"
        )


def chunk_of(doppler_per_sample: float) -> int:
    """How many samples gains of a Doppler shift, in cycles a sample, may be joined by straight lines over.

    A straight line keeps 2/3 + J0(2π f n)/3 of the mean power.
    """
    chunk = CHUNK_SAMPLES
    while chunk > MIN_CHUNK_SAMPLES and doppler_per_sample * chunk > MAX_TURN_CYCLES:
        chunk //= 2
    return chunk


@dataclass(frozen=True, slots=True, eq=False)
class MovingFading:
    """Gains that turn with time: sums of sinusoids with Clarke's Doppler spectrum, for any sample index."""

    profile: Profile
    dopplers: NDArray[np.float64]
    """Cycles per sample, shape [K, L, NUM_SINUSOIDS]."""
    phases_rad: NDArray[np.float64]
    chunk_samples: int = CHUNK_SAMPLES
    """Over which gains may be joined by straight lines."""

    @classmethod
    def draw(cls, profile: Profile, *, num_devices: int, seed: int, doppler_per_sample: float) -> MovingFading:
        """One process per device and tap, for the whole run."""
        draws = generator(seed, purpose="doppler").uniform(
            0, 2 * np.pi, (num_devices, profile.delays_samples.size, NUM_SINUSOIDS, 2)
        )
        spread = (np.arange(NUM_SINUSOIDS) * 2 * np.pi + draws[:, :, :1, 0]) / NUM_SINUSOIDS
        return cls(profile, doppler_per_sample * np.cos(spread), draws[..., 1], chunk_of(doppler_per_sample))

    def gains(self, device: int, times_samples: NDArray[np.float64]) -> Gains:
        """Shape [times, L]."""
        turns = 2 * np.pi * np.multiply.outer(times_samples, self.dopplers[device]) + self.phases_rad[device]
        scattered = np.exp(1j * turns).sum(axis=-1) / np.sqrt(NUM_SINUSOIDS)
        return np.sqrt(self.profile.steady_powers) + np.sqrt(self.profile.scattered_powers) * scattered
