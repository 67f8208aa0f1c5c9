"""From pilots to channels: gain, carrier offset and their variances.

A slot is a pilot, then data with a pilot after every 16 symbols and at the end; a sounding is a slot without
data whose two pilots are `pilot_spacing_symbols` apart. Times are receive-clock samples of a symbol's start.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from radio.arrays import Complexes
from radio.errors import RadioConfigError
from radio.records import Csi

HEARD_POWER_RATIO = 10.0
DB_TO_LN = math.log(10) / 10


def power_error_variance(residual_gain_max_db: float) -> float:
    """Relative variance of a power that is off by a number of dB that is uniform in ± this."""
    return (DB_TO_LN * residual_gain_max_db) ** 2 / 3


def amplitude_error_variance(residual_gain_max_db: float) -> float:
    """Of the amplitude: a quarter."""
    return power_error_variance(residual_gain_max_db) / 4


@dataclass(frozen=True, slots=True, kw_only=True)
class ChannelEstimate:
    """One device's channel, as its pilots show it."""

    gain: complex
    """ĥ at `time_samples`."""
    cfo_hz: float
    gain_variance: float
    """E|ĥ − h|², given the carrier offset."""
    cfo_variance_hz2: float
    noise_power: float
    """N0, total per complex sample."""
    time_samples: float
    sample_rate_hz: float

    @property
    def is_heard(self) -> bool:
        """Whether there was a pilot at all: |ĥ|² exceeds ten times its variance (noise alone: 1 in 22 000)."""
        return abs(self.gain) ** 2 > HEARD_POWER_RATIO * self.gain_variance

    def at(self, time_samples: float) -> complex:
        """The gain extrapolated to another time by the carrier offset."""
        cycles = self.cfo_hz * (time_samples - self.time_samples) / self.sample_rate_hz
        return self.gain * np.exp(2j * np.pi * cycles)

    def csi_at(self, time_samples: float) -> Csi:
        """What the device is told for a payload whose first symbol is received then."""
        return Csi(gain=complex(self.at(time_samples)), cfo_hz=self.cfo_hz)

    @property
    def reciprocal(self) -> Csi:
        """What a device that heard the access point knows of its own channel; on a shared clock nothing turns."""
        return Csi(gain=self.gain)

    def phase_variance_rad2_at(self, time_samples: float) -> float:
        """Variance of the extrapolated phase: that of ĥ, plus what the offset's uncertainty adds."""
        if self.gain == 0:
            return math.inf
        distance_s = (time_samples - self.time_samples) / self.sample_rate_hz
        from_gain = self.gain_variance / (2 * abs(self.gain) ** 2)
        return from_gain + (2 * math.pi * distance_s) ** 2 * self.cfo_variance_hz2


@dataclass(frozen=True, slots=True, kw_only=True)
class PowerEstimate:
    """One device's |h|² on the two resources of a noncoherent scheme, as its tones show it."""

    resource_powers: tuple[float, float]
    resource_variances: tuple[float, float]
    noise_power: float
    """N0, total per complex sample."""
    cfo_hz: float = 0.0
    """Not measured: tones need no carrier lock."""

    @property
    def power(self) -> float:
        """Mean |h|², never negative."""
        return max(sum(self.resource_powers) / 2, 0.0)

    @property
    def gain(self) -> complex:
        """√ of the mean power; its phase is unknown."""
        return complex(math.sqrt(self.power))

    @property
    def gain_variance(self) -> float:
        """Of |ĥ|: Var(|h|²)/(4|h|²)."""
        return sum(self.resource_variances) / 4 / (4 * self.power) if self.power > 0 else math.inf

    @property
    def is_heard(self) -> bool:
        """Whether both resources stand out: a power above five standard deviations."""
        pairs = zip(self.resource_powers, self.resource_variances, strict=True)
        return all(power > 5 * math.sqrt(variance) and power > 0 for power, variance in pairs)

    def csi_at(self, time_samples: float) -> Csi:
        """What the device is told; powers are the same at any time of the block."""
        return self.reciprocal

    @property
    def reciprocal(self) -> Csi:
        """What a device that heard the access point knows of its own channel: power is always reciprocal."""
        return Csi(gain=self.gain, resource_powers=self.resource_powers)

    @property
    def relative_power_variance(self) -> float:
        """Of what arrives on a resource when |h|² is inverted."""
        pairs = zip(self.resource_powers, self.resource_variances, strict=True)
        return sum(variance / power**2 for power, variance in pairs) / 2 if self.is_heard else math.inf


Sounding: TypeAlias = ChannelEstimate | PowerEstimate
"""What one device's sounding says, by the kind of its pilots."""


def check_unambiguous(cfo_max_hz: float, spacing_s: float) -> None:
    """Raise RadioConfigError when an offset may turn more than half a cycle between two pilots."""
    limit_hz = 1 / (2 * spacing_s)
    if cfo_max_hz >= limit_hz:
        raise RadioConfigError(
            f"residual_cfo_max_hz: got {cfo_max_hz:g}; allowed: below {limit_hz:.4g} with pilots "
            f"{spacing_s * 1e3:.4g} ms apart; shorten the symbols or pilot_spacing_symbols, or correct the clocks"
        )


def measure_cfo(pilots: Complexes, spacing_s: float, pilot_variance: float) -> tuple[float, float]:
    """Carrier offset from the turn between two pilots [2], and its variance in Hz².

    `pilot_variance` is E|noise|² on one pilot's gain. Var(phase) of a pilot is that over 2|h|², so
    Var(f) = (σ²/|h|²)/(2π·spacing)², and never more than a uniformly random turn has, 1/(12·spacing²).
    """
    power = float(np.mean(np.abs(pilots) ** 2))
    if not power > 0:
        return 0.0, math.inf
    turn_rad = float(np.angle(pilots[1] * np.conj(pilots[0])))
    turn_variance = min(pilot_variance / power, math.pi**2 / 3)
    return turn_rad / (2 * math.pi * spacing_s), turn_variance / (2 * math.pi * spacing_s) ** 2


def combine_pilots(pilots: Complexes, cfo_hz: float, spacing_s: float) -> complex:
    """The mean of two pilots, each turned by `cfo_hz` to the moment halfway between them."""
    half_turn = np.exp(1j * np.pi * cfo_hz * spacing_s)
    return complex(pilots[0] * half_turn + pilots[1] / half_turn) / 2


def estimate_channel(
    pilots: Complexes,
    *,
    amplitude: float,
    symbol_variance: float,
    noise_power: float,
    first_time_samples: float,
    spacing_samples: int,
    sample_rate_hz: float,
    tracker: CfoTracker | None = None,
) -> ChannelEstimate:
    """The channel from a sounding's two received pilots [2], sent with `amplitude`.

    `symbol_variance` is E|z|² on a received symbol (N0/N). With a tracker, its updated offset is used instead
    of this sounding's own.
    """
    gains = pilots / amplitude
    pilot_variance = symbol_variance / amplitude**2
    spacing_s = spacing_samples / sample_rate_hz
    cfo_hz, cfo_variance_hz2 = measure_cfo(gains, spacing_s, pilot_variance)
    if tracker is not None:
        tracker.update(cfo_hz, cfo_variance_hz2)
        cfo_hz, cfo_variance_hz2 = tracker.cfo_hz, tracker.variance_hz2
    return ChannelEstimate(
        gain=combine_pilots(gains, cfo_hz, spacing_s),
        cfo_hz=cfo_hz,
        gain_variance=pilot_variance / 2,
        cfo_variance_hz2=cfo_variance_hz2,
        noise_power=noise_power,
        time_samples=first_time_samples + spacing_samples / 2,
        sample_rate_hz=sample_rate_hz,
    )


@dataclass(slots=True, kw_only=True)
class CfoTracker:
    """A scalar Kalman filter over rounds for one device's residual carrier offset.

    A crystal's residual is constant but for a slow drift, so old soundings sharpen new ones. The prior is the
    rig's stated bound: uniform in ±bound has variance bound²/3.
    """

    cfo_hz: float
    variance_hz2: float
    drift_hz: float = 0.05
    """Standard deviation of the change from one sounding to the next."""

    @classmethod
    def within(cls, bound_hz: float) -> CfoTracker:
        """A tracker that knows the bound only."""
        return cls(cfo_hz=0.0, variance_hz2=bound_hz**2 / 3, drift_hz=0.05 if bound_hz > 0 else 0.0)

    def update(self, measured_hz: float, variance_hz2: float) -> None:
        """Take in one measurement; one without information (infinite variance) only ages the tracker."""
        predicted = self.variance_hz2 + self.drift_hz**2
        if not math.isfinite(variance_hz2) or predicted == 0:
            self.variance_hz2 = predicted
            return
        weight = predicted / (predicted + variance_hz2)
        self.cfo_hz += weight * (measured_hz - self.cfo_hz)
        self.variance_hz2 = (1 - weight) * predicted
