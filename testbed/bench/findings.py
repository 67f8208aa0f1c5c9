"""What doctor finds, as records that become JSON."""

from __future__ import annotations

import msgspec

from radio.backends.backend import RadioFinding


class Record(msgspec.Struct, frozen=True, kw_only=True):
    """Base of what doctor finds."""


class LinkFinding(Record, frozen=True):
    """From one device to the access point, at low power."""

    device: int
    problem: str | None = None
    tone_snr_db: float | None = None
    cfo_hz: float | None = None
    """As found."""
    corrected_cfo_hz: float | None = None
    """After the device has moved its carrier; the same on a shared clock."""
    drift_hz_per_s: float | None = None
    phase_noise_deg: float | None = None
    start_earliest_s: float | None = None
    start_latest_s: float | None = None
    starts_heard: int | None = None


class LineFinding(Record, frozen=True):
    """Somebody else's signal."""

    frequency_hz: float
    width_hz: float
    """0 of a carrier."""
    above_noise_db: float
    level_dbfs: float


class SpectrumFinding(Record, frozen=True):
    """What the access point hears while every radio of the rig is silent."""

    problem: str | None = None
    frequencies_hz: tuple[float, ...] = ()
    """Of every bin, ascending."""
    power_dbfs: tuple[float, ...] = ()
    """The strongest of four neighbouring bins."""
    noise_dbfs: float | None = None
    """Of one bin."""
    lines: tuple[LineFinding, ...] = ()


class SchemeFinding(Record, frozen=True):
    """Whether a scheme works on this rig, and why."""

    scheme: str
    supported: bool
    why: str


class Findings(Record, frozen=True):
    """Everything."""

    software: dict[str, str]
    contexts: dict[str, str] = {}
    """URI → description of what libiio sees; without a rig of PlutoSDRs."""
    radios: tuple[RadioFinding, ...] = ()
    spectrum: SpectrumFinding | None = None
    links: tuple[LinkFinding, ...] = ()
    schemes: tuple[SchemeFinding, ...] = ()
    warnings: tuple[str, ...] = ()
    """What a run can do with, and somebody should look at."""
    problems: tuple[str, ...] = ()
    """What is needed and failed."""
