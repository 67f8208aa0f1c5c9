"""What doctor's findings say is wrong with a bench, in a line each; pure."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence

from radio.backends.backend import RadioFinding
from radio.virtual_pluto.config import digest_of
from testbed.bench.findings import LinkFinding, SpectrumFinding
from testbed.config.schema import Rig

WEAK_DB = 20.0
"""Below the middle of all links: fades of Rayleigh channels are as deep once in a hundred."""
MIN_LINKS = 3


def one_radio_twice(radios: Sequence[RadioFinding]) -> list[str]:
    """Stations that are one radio under several names."""
    by_serial: dict[str, list[str]] = {}
    for radio in radios:
        if radio.serial not in ("", "unknown"):
            by_serial.setdefault(radio.serial, []).append(f"{radio.station} ({radio.uri})")
    return [
        f"{' and '.join(names)} are one radio, serial number {serial}: two names lead to it; give each station a "
        "radio of its own"
        for serial, names in by_serial.items()
        if len(names) > 1
    ]


def wrong_radios(rig: Rig, radios: Sequence[RadioFinding]) -> list[str]:
    """Radios behind the rig's addresses that are not the rig's."""
    problems = []
    others = [radio for radio in radios if radio.problem is None and radio.bench not in (None, bench_of(rig))]
    if rig.pluto.is_virtual and others:
        problems.append(
            f"{_listed([radio.station for radio in others])}: of another bench: got {others[0].bench}, this rig's is "
            f"{bench_of(rig)}; start `testbed air` with the same --rig and --set as this"
        )
    expected = bench_of(rig) if rig.pluto.is_virtual else None
    for number, radio in enumerate(radios):
        if radio.problem is not None:
            continue
        name = f"{radio.station} ({radio.uri})"
        if expected is not None and radio.bench is None:
            problems.append(
                f"{name} is no virtual radio, and the rig says that all are; name it in the section [pluto]"
            )
        elif expected is None and radio.bench is not None:
            problems.append(f"{name} is a virtual radio, and the rig names real ones; is another program at this port?")
        wanted = rig.pluto.serials[number] if number < len(rig.pluto.serials) else radio.serial
        if radio.serial != wanted:
            problems.append(
                f"{name} has serial number {radio.serial}, the rig wants {wanted} (pluto.serials); look at cables and "
                "addresses"
            )
    return problems


def bench_of(rig: Rig) -> str:
    """What virtual radios of this rig say of themselves."""
    return digest_of(rig.virtual, rig.air, rig.radio, num_devices=rig.num_devices, shared_clock=rig.clock.shared_clock)


def left_behind(rig: Rig, radios: Sequence[RadioFinding]) -> list[str]:
    """What other programs left in radios; a run puts it right."""
    stations: dict[str, list[str]] = {}
    for radio in radios:
        for note in radio.left_behind:
            stations.setdefault(note, []).append(radio.station)
    warnings = [f"{_listed(names)}: {note}" for note, names in stations.items()]
    if rig.clock.streaming and not rig.pluto.ignore_underflow:
        stuck = [radio.station for radio in radios if radio.underflow_sticks]
        if stuck:
            warnings.append(
                f"{_listed(stuck)}: the underflow bit is set for ever (plutosdr-fw issue 107), so gaps of streams are "
                "not seen: schemes that count samples are refused, unless pluto.ignore_underflow = true"
            )
    return warnings


def tracking_on(rig: Rig) -> list[str]:
    """Quadrature tracking that the rig asks for, where it does harm."""
    if not (rig.pluto.quadrature_tracking and rig.clock.shared_clock):
        return []
    return [
        "pluto.quadrature_tracking = true moves the receiver's phase between sounding and payload: coherent and sign "
        "are worse for it; leave it out"
    ]


def foreign_signals(spectrum: SpectrumFinding) -> list[str]:
    """Who else is on the air."""
    return [
        f"somebody else is on the air at {line.frequency_hz / 1e6:.6f} MHz"
        + (f", {line.width_hz / 1e3:.0f} kHz wide" if line.width_hz else "")
        + f", {line.above_noise_db:.0f} dB above the noise, while the rig is silent; find it, or leave its frequency"
        for line in spectrum.lines
    ]


def weak_links(links: Sequence[LinkFinding]) -> list[str]:
    """Devices that arrive far weaker than the others."""
    known = [(link.device, link.tone_snr_db) for link in links if link.tone_snr_db is not None]
    if len(known) < MIN_LINKS:
        return []
    middle_db = statistics.median(snr_db for _, snr_db in known if math.isfinite(snr_db))
    return [
        f"device {device} arrives {middle_db - snr_db:.0f} dB weaker than the middle of all: are its antennas or "
        "cables swapped (transmit for receive), loose, or missing?"
        for device, snr_db in known
        if snr_db < middle_db - WEAK_DB
    ]


def _listed(stations: Sequence[str]) -> str:
    """Names of stations, the numbers of devices together."""
    devices = [name.removeprefix("device ") for name in stations if name.startswith("device ")]
    rest = [name for name in stations if not name.startswith("device ")]
    together = [f"device{'s' if len(devices) > 1 else ''} {', '.join(devices)}"] if devices else []
    return " and ".join([*together, *rest])
