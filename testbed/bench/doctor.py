"""`testbed doctor`: what is installed, which radios answer, and what they and their links really do."""

from __future__ import annotations

import importlib.metadata
import math
import platform
from collections.abc import Callable, Collection

import msgspec

from radio.backends.backend import RadioFinding
from radio.backends.base import Radio
from radio.backends.registry import backend, backend_names
from radio.config import RadioConfig
from radio.errors import RadioError
from radio.link import trials as t
from radio.link.spectrum import CAPTURE_SAMPLES, spectrum_of
from testbed.bench.findings import LineFinding, LinkFinding, SpectrumFinding
from testbed.bench.rig import setup_of
from testbed.config.backends import backend_of, settings_of
from testbed.config.schema import Rig

PACKAGES = ("numpy", "scipy", "torch", "transformers", "pyzmq")
LOW_POWER_STEP_DB = 10.0
NUM_STARTS = 8
SHOWN_BINS = 4
"""Of the spectrum, in one figure of the report."""
DRIFT_TIME_S = 1.0
LATENCY_ALLOWANCE_S = 0.2
"""On top of what the rig reckons with, so that doctor also hears who is later than that."""


def installed() -> tuple[dict[str, str], dict[str, str]]:
    """Versions of what is installed, and by backend why it cannot be used on this machine."""
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
    unusable = {}
    for name in backend_names():
        try:
            found |= backend(name).software()
        except RadioError as err:
            unusable[name] = str(err)
            found[f"backend {name}"] = str(err)
    return found, unusable


def visible(unusable: Collection[str]) -> dict[str, str]:
    """Address → description of every radio that a usable backend sees."""
    found: dict[str, str] = {}
    for name in backend_names():
        if name not in unusable:
            found |= backend(name).visible()
    return found


def examine_radio(rig: Rig, station: int) -> RadioFinding:
    """One radio by itself, silent."""
    return backend_of(rig).examine(settings_of(rig), station, setup_of(rig))


def examine_spectrum(rig: Rig) -> SpectrumFinding:
    """What the access point hears while every radio of the rig is silent; sends nothing."""
    try:
        with _open(rig, rig.num_devices) as receiver:
            receiver.configure(msgspec.structs.replace(rig.radio, tx_gain_db=-89.75))
            heard = spectrum_of(receiver.capture(CAPTURE_SAMPLES), rig.radio.sample_rate_hz)
    except RadioError as err:
        return SpectrumFinding(problem=f"access point: {err}")
    centre_hz = rig.radio.center_freq_hz
    return SpectrumFinding(
        frequencies_hz=tuple((centre_hz + heard.offsets_hz[::SHOWN_BINS]).tolist()),
        power_dbfs=tuple(heard.power_dbfs.reshape(-1, SHOWN_BINS).max(axis=1).round(2).tolist()),
        noise_dbfs=heard.noise_dbfs,
        lines=tuple(
            LineFinding(
                frequency_hz=centre_hz + line.offset_hz,
                width_hz=line.width_hz,
                above_noise_db=line.above_noise_db,
                level_dbfs=line.level_dbfs,
            )
            for line in heard.lines
        ),
    )


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
    moves = backend_of(rig).correct_every_rounds(settings_of(rig)) is not None and not rig.clock.shared_clock
    with _open(rig, device) as sender:
        sender.configure(tuning)
        with _open(rig, rig.num_devices) as receiver:
            receiver.configure(tuning)
            foreign = t.foreign_tone(receiver, tuning)
            if moves:
                before, after = t.correct_carrier(sender, receiver, tuning, settle, foreign=foreign)
            else:
                before = after = t.hear_tone(sender, receiver, tuning, settle, foreign=foreign)
            first = t.measure_phase(sender, receiver, tuning, settle)
            began_at = receiver.clock_samples
            receiver.elapse(int(DRIFT_TIME_S * tuning.sample_rate_hz))
            phase = t.measure_phase(sender, receiver, tuning, settle)
            elapsed_s = (receiver.clock_samples - began_at) / tuning.sample_rate_hz
        with _open(rig, rig.num_devices, counts_samples=True) as receiver:
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


def _open(rig: Rig, station: int, *, counts_samples: bool = False) -> Radio:
    return backend_of(rig).open(settings_of(rig), station, setup_of(rig, counts_samples=counts_samples), None)


def largest(values: list[float | None]) -> float:
    """The largest magnitude; NaN when something is not known."""
    known = [abs(value) for value in values if value is not None]
    return max(known) if values and len(known) == len(values) else math.nan
