"""`testbed doctor`: what is installed, which radios answer, and what they and their links really do."""

from __future__ import annotations

import importlib.metadata
import math
import platform
from collections.abc import Callable

import msgspec

from radio.backends.pluto import trials as t
from radio.backends.pluto.config import PlutoConfig
from radio.backends.pluto.driver import Connection, versions
from radio.backends.pluto.identity import identify
from radio.backends.pluto.radio import PlutoRadio
from radio.config import RadioConfig
from radio.errors import RadioError
from testbed.bench.rig import pluto_config, pluto_uri
from testbed.config.schema import Rig

PACKAGES = ("numpy", "scipy", "torch", "transformers", "pyzmq")
LOW_POWER_STEP_DB = 10.0
NUM_STARTS = 8
DRIFT_TIME_S = 1.0
LATENCY_ALLOWANCE_S = 0.2
"""On top of what the rig reckons with, so that doctor also hears who is later than that."""


class Record(msgspec.Struct, frozen=True, kw_only=True):
    """Base of what doctor finds."""


class RadioFinding(Record, frozen=True):
    """One radio."""

    station: str
    uri: str
    problem: str | None = None
    model: str = ""
    serial: str = ""
    firmware: str = ""
    chip_temperature_c: float | None = None
    board_temperature_c: float | None = None
    supplies_v: dict[str, float] = {}
    ranges: dict[str, str] = {}
    loopback_errors: int | None = None
    """Of 4096 samples through the chip's digital loopback."""
    link_rate_hz: float | None = None


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
    links: tuple[LinkFinding, ...] = ()
    schemes: tuple[SchemeFinding, ...] = ()
    problems: tuple[str, ...] = ()
    """What is needed and failed."""


def installed() -> tuple[dict[str, str], str | None]:
    """Versions, and why PlutoSDRs cannot be used on this machine (None when they can)."""
    found = {"python": platform.python_version()}
    for name in PACKAGES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            found[name] = "missing"
    try:
        import torch

        found["CUDA"] = torch.cuda.get_device_name(0) if torch.cuda.is_available() else "none"
    except ImportError:
        found["CUDA"] = "unknown: torch is missing"
    try:
        return found | versions(), None
    except RadioError as err:
        return found | {"libiio": str(err)}, str(err)


def examine_radio(rig: Rig, station: int) -> RadioFinding:
    """One radio by itself, muted."""
    name = "access point" if station == rig.num_devices else f"device {station}"
    uri = pluto_uri(rig, station)
    try:
        link = Connection(uri, rig.pluto.timeout_s)
    except RadioError as err:
        return RadioFinding(station=name, uri=uri, problem=str(err))
    try:
        found = identify(link)
        finding = RadioFinding(
            station=name,
            uri=uri,
            model=found.model,
            serial=found.serial,
            firmware=found.firmware,
            chip_temperature_c=found.chip_temperature_c,
            board_temperature_c=found.board_temperature_c,
            supplies_v=found.supplies_v,
            ranges=found.ranges,
            loopback_errors=t.loopback_errors(link),
            link_rate_hz=t.link_rate_hz(link),
        )
    except RadioError as err:
        return RadioFinding(station=name, uri=uri, problem=str(err))
    finally:
        link.close()
    if finding.loopback_errors:
        wrong = f"{uri}: {finding.loopback_errors} of {t.LOOPBACK_SAMPLES} samples are wrong in the chip's loopback"
        return msgspec.structs.replace(finding, problem=f"{wrong}; restart the radio, then suspect it")
    return finding


def examine_links(rig: Rig, progress: Callable[[str], None]) -> tuple[LinkFinding, ...]:
    """Every device's link to the access point, one at a time, 10 dB below the rig's transmit gain."""
    low = max(rig.radio.tx_gain_db - LOW_POWER_STEP_DB, -89.75)
    tuning = msgspec.structs.replace(rig.radio, tx_gain_db=low)
    findings = []
    for device in range(rig.num_devices):
        progress(f"device {device} to access point")
        try:
            findings.append(_examine_link(rig, tuning, device))
        except RadioError as err:
            findings.append(LinkFinding(device=device, problem=f"device {device}: {err}"))
    return tuple(findings)


def _examine_link(rig: Rig, tuning: RadioConfig, device: int) -> LinkFinding:
    settle = rig.frame.start_uncertainty_samples + int(LATENCY_ALLOWANCE_S * tuning.sample_rate_hz)
    with PlutoRadio(_station(rig, device)) as sender:
        sender.configure(tuning)
        with PlutoRadio(_station(rig, rig.num_devices)) as receiver:
            receiver.configure(tuning)
            if rig.clock.shared_clock:
                before = after = t.hear_tone(sender, receiver, tuning, settle)
            else:
                before, after = t.correct_carrier(sender, receiver, tuning, settle)
            first = t.measure_phase(sender, receiver, tuning, settle)
            began_at = receiver.clock_samples
            receiver.elapse(int(DRIFT_TIME_S * tuning.sample_rate_hz))
            phase = t.measure_phase(sender, receiver, tuning, settle)
            elapsed_s = (receiver.clock_samples - began_at) / tuning.sample_rate_hz
        with PlutoRadio(_station(rig, rig.num_devices, counts_samples=True)) as receiver:
            receiver.configure(tuning)
            starts = t.measure_starts(sender, receiver, tuning, settle, NUM_STARTS)
    heard = starts.num_heard > 0
    return LinkFinding(
        device=device,
        problem=None if heard else f"device {device}: none of {NUM_STARTS} short frames was heard",
        tone_snr_db=after.snr_db,
        cfo_hz=before.offset_hz,
        corrected_cfo_hz=phase.cfo_hz,
        drift_hz_per_s=(phase.cfo_hz - first.cfo_hz) / elapsed_s,
        phase_noise_deg=phase.noise_deg,
        start_earliest_s=starts.earliest_s if heard else None,
        start_latest_s=starts.latest_s if heard else None,
        starts_heard=starts.num_heard,
    )


def _station(rig: Rig, station: int, *, counts_samples: bool = False) -> PlutoConfig:
    return pluto_config(rig, station, counts_samples=counts_samples)


def largest(values: list[float | None]) -> float:
    """The largest magnitude; NaN when something is not known."""
    known = [abs(value) for value in values if value is not None]
    return max(known) if values and len(known) == len(values) else math.nan
