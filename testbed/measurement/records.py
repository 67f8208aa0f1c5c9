"""What a measurement says, as measurement.json holds it."""

from __future__ import annotations

import math
from typing import Literal

import msgspec

from radio.measurement.sounding import Value

FORMAT = 1
Direction = Literal["uplink", "downlink"]


class Record(msgspec.Struct, frozen=True, kw_only=True):
    """Base of what is written."""


class Interval(Record, frozen=True):
    """An estimate and its 95 % interval."""

    value: float
    low: float
    high: float


class Quiet(Record, frozen=True):
    """The band before anybody of the rig sent."""

    noise_dbfs: float | None
    """Power per sample; null of an air without any."""
    peak_over_floor_db: float
    """Of the strongest line of the spectrum over its median."""
    peak_offset_hz: float
    """Where that line is, from the centre."""
    burst_share: float
    """Of pieces of 64 samples that are ten times above the median piece."""
    interference: str | None
    """What is there beside noise, in words; null if nothing is seen."""


class PathFound(Record, frozen=True):
    """One propagation path."""

    delay_s: float
    """Behind the first one."""
    power_db: float
    """Of the first path's."""


class Link(Record, frozen=True):
    """One direction between a device and the access point."""

    device: int
    direction: Direction
    num_captures: int
    num_spoilt: dict[str, int]
    """Why captures were left out → how many."""
    problem: str | None = None
    """Why nothing is said of this link."""
    gain_db: Interval | None = None
    """Mean over captures of |received|²/|sent|², both against full scale."""
    gain_spread_db: float | None = None
    """Standard deviation of the captures' gains."""
    snr_db: Interval | None = None
    """Per sample at the probe's power, mean of linear."""
    noise_dbfs: float | None = None
    cfo_hz: Interval | None = None
    """Carrier of the sender against the receiver's."""
    cfo_drift_hz_per_s: float | None = None
    """Over the campaign."""
    cfo_deviation_hz: float | None = None
    """Allan deviation at the spacing of captures: rms difference of neighbours over √2."""
    clock_ppm: Interval | None = None
    """Sampling clock of the sender against the receiver's."""
    phase_noise_deg: float | None = None
    """Rms about a straight line over one capture."""
    phase_drift_1ms_deg: Interval | None = None
    """Rms change of the phase within 1 ms, its straight line over a capture taken out; null of captures below 2 ms,
    and of a single one, which says nothing of how sure it is."""
    phase_drift_10ms_deg: Interval | None = None
    """Within 10 ms; null of captures below 20 ms."""
    phase_held_s: float | None = None
    """When that change is 0.1 rad, which leaves a coherent sum an error of −20 dB; null if not in half a capture."""
    phase_coherence_time_s: float | None = None
    """When it is a radian."""
    mean_delay_s: float | None = None
    """Of the power; absolute on triggered rigs only."""
    rms_delay_spread_s: Interval | None = None
    delay_spread_is_resolved: bool = False
    """Else the upper end of the interval is a bound."""
    coherence_bandwidth_hz: float | None = None
    paths: tuple[PathFound, ...] = ()
    """Of the first good capture."""
    rice_k_db: Interval | None = None
    """Null with fewer captures than say something."""
    coherence_time_s: float | None = None
    """Null if a capture is too short to see the gain change."""
    rms_doppler_hz: float | None = None
    moves: bool = False
    """Whether the gain changes within captures by more than 5 % rms."""
    start_jitter_s: Interval | None = None
    """Mean lateness of starts, with the earliest and the latest; null on triggered rigs."""
    reference_gain_db: Interval | None = None
    """``gain_db`` at the calibration's reference gains and without cables; null without a calibration that knows."""
    antenna_gain_db: Interval | None = None
    """From antenna port to antenna port; null unless it was known what was between the radios when calibrated."""
    received_dbm: Interval | None = None
    """The probe's mean power at the receiver's antenna port; null where the receiver's full scale is not known."""
    drift_ppm: Interval | None = None
    """Carrier beyond what the calibration predicts."""


class Prediction(Record, frozen=True):
    """What a scheme would reach on these links."""

    scheme: str
    nmse_db: float | None
    """Pooled over simulated rounds on the fitted air."""
    airtime_s: float | None
    """Of one round."""
    problem: str | None = None


class Verdict(Record, frozen=True):
    """What the links are good for; rig.toml has a simulated air with their statistics."""

    predictions: tuple[Prediction, ...]
    remarks: tuple[str, ...]
    """What limits the rig and what to change, the most important first."""
    coherence_budget_s: float | None = None
    """How long the worst uplink's phase holds to 0.1 rad rms; null if every one does for half a capture."""
    symbol_snr_db: float | None = None
    """P·E|h|²/N0 of one symbol on these links, as `testbed plan` has it."""
    snr_threshold_db: float | None = None
    """SNR*, below which full power keeps the default experiment's privacy budget; null where no claim can be made."""


class CalibrationUse(Record, frozen=True):
    """The calibration that links were corrected with."""

    file: str
    date: str
    age_days: float
    remarks: tuple[str, ...]
    """What keeps it from being trusted whole."""


class Measurement(Record, frozen=True):
    """measurement.json."""

    started: str
    rig: str
    """Its description."""
    backend: str
    num_devices: int
    sample_rate_hz: float
    center_freq_hz: float
    tx_gain_db: float
    rx_gain_db: float
    probe_period_samples: int
    probe_power_dbfs: float
    capture_s: float
    captures_per_link: int
    is_triggered: bool
    quiet: Quiet
    links: tuple[Link, ...]
    verdict: Verdict | None = None
    serials: dict[str, str] = {}
    """Station → serial number, of radios that have one."""
    calibration: CalibrationUse | None = None
    versions: dict[str, str] = {}
    format: int = FORMAT


def interval(value: Value, scale: float = 1.0) -> Interval | None:
    """As it is written, in other units; None if nothing is known."""
    if not (math.isfinite(value.value) and math.isfinite(value.half_width)):
        return None
    ends = sorted((value.low * scale, value.high * scale))
    return Interval(value=value.value * scale, low=ends[0], high=ends[1])
