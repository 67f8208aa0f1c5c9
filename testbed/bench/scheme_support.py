"""Which schemes a rig supports and why, from what it declares and what doctor measured; pure."""

from __future__ import annotations

import math

from radio.errors import SchemeUnsupportedError
from radio.schemes.registry import check_support, scheme
from testbed.bench.doctor import largest
from testbed.bench.findings import LinkFinding, SchemeFinding
from testbed.bench.rig import capabilities
from testbed.config.backends import backend_of
from testbed.config.schema import Rig
from testbed.plugins import registered

MAX_TURN_DEG = 10.0
"""From sounding to payload: −29 dB NMSE at 10° rms, and every device may turn its own way."""
RESOLUTION_HZ = 1.0
"""Offsets below are beyond doctor's short captures."""


def scheme_findings(rig: Rig, links: tuple[LinkFinding, ...]) -> tuple[SchemeFinding, ...]:
    """Every scheme; `links` is empty on a simulated rig, where declarations are the truth."""
    findings = []
    for name in registered("scheme"):
        if scheme(name).air_override is not None and not backend_of(rig).is_simulated:
            continue
        try:
            check_support(scheme(name), capabilities(rig))
        except SchemeUnsupportedError as err:
            findings.append(SchemeFinding(scheme=name, supported=False, why=str(err)))
            continue
        findings.append(_measured(name, rig, links) if links else _declared(name))
    return tuple(findings)


def _declared(name: str) -> SchemeFinding:
    return SchemeFinding(scheme=name, supported=True, why="the rig declares what it needs")


def _measured(name: str, rig: Rig, links: tuple[LinkFinding, ...]) -> SchemeFinding:
    broken = [link.device for link in links if link.problem is not None]
    if broken:
        return SchemeFinding(scheme=name, supported=False, why=f"devices {broken} are not heard")
    if scheme(name).superposed and scheme(name).waveform == "symbols":
        return _coherent(name, rig, links)
    return _noncoherent(name, rig, links)


def _coherent(name: str, rig: Rig, links: tuple[LinkFinding, ...]) -> SchemeFinding:
    distance_s = rig.num_devices * rig.frame.start_uncertainty_samples / rig.radio.sample_rate_hz
    cfo_hz = largest([link.corrected_cfo_hz for link in links])
    noise_deg = largest([link.phase_noise_deg for link in links])
    turn_deg = 360 * cfo_hz * distance_s + noise_deg
    text = (
        f"carriers within {cfo_hz:.3g} Hz and {noise_deg:.2g}° rms: up to {turn_deg:.3g}° in the "
        f"{distance_s * 1e3:.3g} ms from sounding to payload"
    )
    if turn_deg <= MAX_TURN_DEG:
        return SchemeFinding(scheme=name, supported=True, why=f"{text}; starts by counting samples")
    return SchemeFinding(
        scheme=name, supported=False, why=f"{text}; allowed: {MAX_TURN_DEG:g}°; is the reference clock connected?"
    )


def _noncoherent(name: str, rig: Rig, links: tuple[LinkFinding, ...]) -> SchemeFinding:
    latest_s = largest([link.start_latest_s for link in links])
    room_s = (rig.frame.start_uncertainty_samples - rig.frame.control_latency_samples) / rig.radio.sample_rate_hz
    cfo_hz = largest([link.corrected_cfo_hz for link in links])
    starts = f"starts up to {latest_s * 1e3:.1f} ms late, the frame allows {room_s * 1e3:.1f}"
    carriers = f"carriers within {cfo_hz:.3g} Hz after correction, {rig.radio.residual_cfo_max_hz:g} promised"
    late = not latest_s <= room_s or math.isnan(latest_s)
    off = not cfo_hz <= max(rig.radio.residual_cfo_max_hz, RESOLUTION_HZ)
    remedy = "; raise frame.start_uncertainty_samples" if late else "; raise radio.residual_cfo_max_hz" if off else ""
    return SchemeFinding(scheme=name, supported=not (late or off), why=f"{starts}; {carriers}{remedy}")
