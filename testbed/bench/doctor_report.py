"""Runs doctor's examinations and shows what they found."""

from __future__ import annotations

from pathlib import Path

import msgspec
from rich.console import Console
from rich.text import Text

from radio.backends.backend import RadioFinding
from testbed.bench import doctor_checks as checks
from testbed.bench.doctor import examine_links, examine_radio, examine_spectrum, installed, visible
from testbed.bench.doctor_picture import picture_of
from testbed.bench.findings import Findings, LinkFinding, SpectrumFinding
from testbed.bench.scheme_support import scheme_findings
from testbed.config.backends import backend_of
from testbed.config.schema import Rig
from testbed.results import files
from testbed.results.pictures.tables import show_table
from testbed.results.plots import rendered

RADIO_HEADER = ("radio", "URI", "serial", "firmware", "model")
HEALTH_HEADER = ("radio", "chip, board °C", "supplies V", "loopback", "link MS/s")
LINK_HEADER = ("device", "tone SNR dB", "CFO Hz", "corrected Hz", "drift Hz/s", "phase ° rms", "starts ms", "heard")


def examine(rig: Rig | None, console: Console) -> Findings:
    """The machine, and the radios of a rig; without one, whatever is connected. Progress goes to the console."""
    software, unusable = installed()
    if rig is None:
        return Findings(software=software, contexts=visible(unusable))
    if backend_of(rig).is_simulated:
        return Findings(software=software, schemes=scheme_findings(rig, ()))
    if rig.backend in unusable:
        return Findings(software=software, problems=(unusable[rig.backend],))
    radios: list[RadioFinding] = []
    with console.status("") as status:
        for station in range(rig.num_devices + 1):
            status.update(f"radio {station + 1} of {rig.num_devices + 1}")
            radios.append(examine_radio(rig, station))
        problems = [radio.problem for radio in radios if radio.problem is not None]
        problems += checks.one_radio_twice(radios) + checks.wrong_radios(rig, radios)
        warnings = checks.left_behind(rig, radios) + checks.tracking_on(rig)
        spectrum: SpectrumFinding | None = None
        links: tuple[LinkFinding, ...] = ()
        if not problems:
            status.update("the band while the rig is silent")
            spectrum = examine_spectrum(rig)
            warnings += checks.foreign_signals(spectrum)
            links = examine_links(rig, lambda text: status.update(Text(text)))
            problems += [spectrum.problem] if spectrum.problem is not None else []
    problems += [link.problem for link in links if link.problem is not None]
    schemes = scheme_findings(rig, links) if links else ()
    if links and not any(finding.supported for finding in schemes):
        problems.append("no scheme works on this rig as it is declared; see the reasons above")
    return Findings(
        software=software,
        radios=tuple(radios),
        spectrum=spectrum,
        links=links,
        schemes=schemes,
        warnings=(*warnings, *checks.weak_links(links)),
        problems=tuple(problems),
    )


def save(findings: Findings, directory: Path) -> list[Path]:
    """Write doctor.json and, where something was measured, doctor.png; returns what was written."""
    files.make_folder(directory)
    written = [directory / "doctor.json"]
    files.write(written[0], msgspec.json.format(msgspec.json.encode(findings)))
    figure = picture_of(findings)
    if figure is not None:
        written.append(directory / "doctor.png")
        files.write(written[1], rendered(figure))
    return written


def show(findings: Findings, console: Console) -> None:
    """Tables on a console, which must not read markup into what radios and errors say."""
    show_table(console, "software", ("", ""), list(findings.software.items()), ends_in_text=True)
    if findings.contexts:
        show_table(
            console, "radios that libiio sees", ("URI", "what"), list(findings.contexts.items()), ends_in_text=True
        )
    elif not findings.radios and not findings.schemes:
        console.print("no radio is visible to libiio; name a rig to look at its addresses: testbed doctor --rig RIG")
    if findings.radios:
        show_table(console, "radios", RADIO_HEADER, [_radio_row(radio) for radio in findings.radios])
        show_table(console, "health", HEALTH_HEADER, [_health_row(radio) for radio in findings.radios])
        ranges = next((radio.ranges for radio in findings.radios if radio.ranges), {})
        show_table(console, "ranges [lowest step highest]", ("", ""), list(ranges.items()))
    if findings.links:
        show_table(console, "links to the access point", LINK_HEADER, [_link_row(link) for link in findings.links])
    if findings.schemes:
        rows = [(finding.scheme, "yes" if finding.supported else "no", finding.why) for finding in findings.schemes]
        show_table(console, "schemes", ("scheme", "works", "why"), rows, ends_in_text=True)
    for warning in findings.warnings:
        console.print(f"warning: {warning}", soft_wrap=True)
    for problem in findings.problems:
        console.print(f"problem: {problem}", soft_wrap=True)


def _radio_row(radio: RadioFinding) -> tuple[str, ...]:
    return radio.station, radio.uri, radio.serial, radio.firmware, radio.model or "does not answer"


def _health_row(radio: RadioFinding) -> tuple[str, ...]:
    supplies = " ".join(f"{volts:.2f}" for volts in radio.supplies_v.values())
    loopback = "–" if radio.loopback_errors is None else "exact" if not radio.loopback_errors else "WRONG"
    temperatures = f"{_number(radio.chip_temperature_c, '.0f')}, {_number(radio.board_temperature_c, '.0f')}"
    rate = None if radio.link_rate_hz is None else radio.link_rate_hz / 1e6
    return radio.station, temperatures, supplies, loopback, _number(rate, ".1f")


def _link_row(link: LinkFinding) -> tuple[str, ...]:
    starts = "–"
    if link.start_earliest_s is not None and link.start_latest_s is not None:
        starts = f"{link.start_earliest_s * 1e3:.1f}–{link.start_latest_s * 1e3:.1f}"
    return (
        str(link.device), _number(link.tone_snr_db, ".0f"), _number(link.cfo_hz, ".1f"),
        _number(link.corrected_cfo_hz, ".2f"), _number(link.drift_hz_per_s, ".2f"),
        _number(link.phase_noise_deg, ".2f"), starts, str(link.starts_heard or 0),
    )  # fmt: skip


def _number(value: float | None, form: str) -> str:
    return "–" if value is None else format(value, form)
