"""A measurement's directory: records, channels, recordings, pictures, a page, and rigs to simulate it."""

from __future__ import annotations

import base64
import html
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec
import tomli_w

from radio.channels.sionna import encoded
from radio.measurement.probe import Probe
from testbed.config.schema import Rig, to_plain
from testbed.measurement import pictures
from testbed.measurement.channels import recorded_channels, replaying
from testbed.measurement.corrections import CALIBRATED_HEADER, calibrated_row
from testbed.measurement.hdf5 import as_hdf5
from testbed.measurement.records import Interval, Link, Measurement, Quiet
from testbed.measurement.summaries import Detail
from testbed.measurement.verdict import threshold_words
from testbed.results import files
from testbed.results.plots import rendered

_RIG_KEYS = ("description", "backend", "num_devices", "radio", "frame", "clock", "air")
_CERTAIN_K_DB = 20.0
"""Beyond it a link counts as steady, or as having no steady part."""
_REMEDY = "free some space and measure again"
_STYLE = """
body { font-family: system-ui, sans-serif; margin: 2rem auto; max-width: 60rem; padding: 0 1rem; color: #1a202c; }
table { border-collapse: collapse; display: block; overflow-x: auto; }
td, th { padding: .3rem .8rem; text-align: right; }
th { border-bottom: 1px solid #cbd5e0; } td:first-child, th:first-child { text-align: left; }
img { max-width: 100%; } .note { background: #fffaf0; border-left: 4px solid #dd6b20; padding: .5rem 1rem; }
"""
LINK_HEADER = ("link", "gain dB", "SNR dB", "CFO Hz", "clock ppm", "phase °", "spread ns", "K dB", "good")


@dataclass(frozen=True, slots=True)
class MeasurementDirectory:
    """Where a measurement's files are."""

    path: Path

    @property
    def record(self) -> Path:
        """measurement.json"""
        return self.path / "measurement.json"

    @property
    def report(self) -> Path:
        """report.html"""
        return self.path / "report.html"

    @property
    def rig(self) -> Path:
        """rig.toml: a loopback rig with the links' statistics."""
        return self.path / "rig.toml"

    @property
    def replay(self) -> Path:
        """replay.toml: a loopback rig whose blocks have the measured channels, one after the other."""
        return self.path / "replay.toml"

    @property
    def channels(self) -> Path:
        """channels.h5, which it names: the uplinks' channels as ``a`` and ``tau`` (`radio.channels.sionna`)."""
        return self.path / "channels.h5"

    @property
    def recordings(self) -> Path:
        """Folder of raw captures."""
        return self.path / "recordings"


def write_measurement(
    directory: MeasurementDirectory,
    measurement: Measurement,
    details: Sequence[Detail],
    probe: Probe,
    rig: Rig,
    fitted: Rig | None,
) -> None:
    """Write everything but the recordings. Raises RunDirectoryError."""
    text = msgspec.json.format(msgspec.json.encode(measurement), indent=2)
    files.write(directory.record, text + b"\n", remedy=_REMEDY)
    files.write(directory.path / "measurement.h5", as_hdf5(measurement, details, probe), remedy=_REMEDY)
    if (channels := recorded_channels(details, probe, rig)) is not None and fitted is not None:
        files.write(directory.channels, encoded(channels), remedy=_REMEDY)
        _write_rig(directory.replay, replaying(fitted, channels, directory.channels.resolve()))
    figures = {
        "gains": pictures.link_gains(details),
        "profiles": pictures.delay_profiles(details, rig.radio.sample_rate_hz),
        "responses": pictures.responses(details, probe, rig.radio.sample_rate_hz),
        "time": pictures.gains_by_time(details),
        "phase": pictures.phase_drifts(details),
        "doppler": pictures.doppler_spectra(details),
    }
    if measurement.verdict is not None:
        figures["verdict"] = pictures.predicted_errors(measurement.verdict)
    if fitted is not None:
        _write_rig(directory.rig, fitted)
    images = {name: rendered(figure) for name, figure in figures.items()}
    plots = directory.path / "plots"
    files.make_folder(plots, remedy=_REMEDY)
    for name, png in images.items():
        files.write(plots / f"{name}.png", png, remedy=_REMEDY)
    files.write(directory.report, _page(measurement, images), remedy=_REMEDY)


def _write_rig(path: Path, rig: Rig) -> None:
    plain = to_plain(rig)
    files.write(path, tomli_w.dumps({key: _without_none(plain[key]) for key in _RIG_KEYS}), remedy=_REMEDY)


def _without_none(value: object) -> object:
    if isinstance(value, Mapping):
        return {key: _without_none(each) for key, each in value.items() if each is not None}
    return value


def link_row(link: Link, *, with_intervals: bool = True) -> tuple[str, ...]:
    """A link as a table shows it."""

    def shown(value: Interval | None, digits: int) -> str:
        if value is None:
            return "–"
        half = f" ± {(value.high - value.low) / 2:.{digits}f}" if with_intervals else ""
        return f"{value.value:.{digits}f}{half}"

    name = f"{link.device} {'→ AP' if link.direction == 'uplink' else '← AP'}"
    spoilt = sum(link.num_spoilt.values())
    if link.gain_db is None:
        return (name, "–", "–", "–", "–", "–", "–", "–", f"{link.num_captures - spoilt} of {link.num_captures}")
    spread = link.rms_delay_spread_s
    if spread is None:
        spread_text = "–"
    elif link.delay_spread_is_resolved:
        half = f" ± {1e9 * (spread.high - spread.value):.0f}" if with_intervals else ""
        spread_text = f"{1e9 * spread.value:.0f}{half}"
    else:
        spread_text = f"< {1e9 * spread.high:.0f}"
    return (
        name,
        shown(link.gain_db, 2),
        shown(link.snr_db, 1),
        shown(link.cfo_hz, 2),
        shown(link.clock_ppm, 2),
        "–" if link.phase_noise_deg is None else f"{link.phase_noise_deg:.1f}",
        spread_text,
        _rice_k(link.rice_k_db, shown),
        f"{link.num_captures - spoilt} of {link.num_captures}",
    )


def _rice_k(value: Interval | None, shown: Callable[[Interval | None, int], str]) -> str:
    if value is None or abs(value.value) < _CERTAIN_K_DB:
        return shown(value, 1)
    return f"> {_CERTAIN_K_DB:.0f}" if value.value > 0 else f"< -{_CERTAIN_K_DB:.0f}"


def noise_words(quiet: Quiet) -> str:
    """How loud the quiet band is."""
    return "no noise at all" if quiet.noise_dbfs is None else f"noise {quiet.noise_dbfs:.1f} dBFS"


def _page(measurement: Measurement, images: Mapping[str, bytes]) -> str:
    quiet = measurement.quiet
    parts = [
        "<!doctype html><html lang='en'><head><meta charset='utf-8'>",
        "<meta name='viewport' content='width=device-width, initial-scale=1'>",
        f"<title>Channels of {html.escape(measurement.rig)}</title><style>{_STYLE}</style></head><body>",
        f"<h1>Channels: {html.escape(measurement.rig)}</h1>",
        f"<p>{html.escape(measurement.started)} · {html.escape(measurement.backend)} · "
        f"{measurement.num_devices} devices · {measurement.center_freq_hz / 1e6:.3f} MHz, "
        f"{measurement.sample_rate_hz / 1e6:g} MS/s · probe of {measurement.probe_period_samples} samples at "
        f"{measurement.probe_power_dbfs:.1f} dBFS, {measurement.captures_per_link} captures of "
        f"{1e3 * measurement.capture_s:g} ms a link</p>",
        f"<p>Before anybody sent: {noise_words(quiet)}, "
        f"{html.escape(quiet.interference or 'no interference seen')}.</p>",
    ]
    remarks = (
        measurement.verdict.remarks
        if measurement.verdict is not None
        else [f"device {link.device} {link.direction}: {link.problem}" for link in measurement.links if link.problem]
    )
    parts += [f"<p class='note'>{html.escape(remark)}</p>" for remark in remarks]
    parts += ["<h2>Links</h2>", _table(LINK_HEADER, [link_row(link) for link in measurement.links])]
    if measurement.calibration is not None:
        used = measurement.calibration
        parts.append(f"<h2>With the calibration of {html.escape(used.date)}</h2>")
        parts += [f"<p class='note'>{html.escape(remark)}</p>" for remark in used.remarks]
        parts.append(_table(CALIBRATED_HEADER, [calibrated_row(link) for link in measurement.links]))
    if not measurement.is_triggered:
        parts.append("<p>Starts are not triggered: delays are relative to each link's own mean.</p>")
    if measurement.verdict is not None:
        rows = [
            (
                each.scheme,
                "–" if each.nmse_db is None else f"{each.nmse_db:.1f}",
                "–" if each.airtime_s is None else f"{1e3 * each.airtime_s:.2f}",
                each.problem or "",
            )
            for each in measurement.verdict.predictions
        ]
        parts += [
            "<h2>What schemes would reach</h2>",
            "<p>Pooled over simulated rounds of random scalars on an air with these links' statistics (rig.toml).</p>",
            _table(("scheme", "NMSE dB", "ms a round", ""), rows),
        ]
        budget_s = measurement.verdict.coherence_budget_s
        held = f"at least {500 * measurement.capture_s:.1f}" if budget_s is None else f"{1e3 * budget_s:.2f}"
        parts.append(f"<p>Coherence budget: phases hold to 0.1 rad rms for {held} ms.</p>")
        if (words := threshold_words(measurement.verdict)) is not None:
            parts.append(f"<p>Privacy: {html.escape(words)}.</p>")
    titles = {
        "verdict": "Expected NMSE",
        "gains": "Gains",
        "profiles": "Power delay profiles",
        "responses": "Frequency responses",
        "time": "Gain and carrier offset over the campaign",
        "phase": "Phase drift",
        "doppler": "Doppler spectra",
    }
    for name, title in titles.items():
        if name in images:
            source = base64.b64encode(images[name]).decode()
            parts.append(f"<h2>{title}</h2><img alt='{title}' src='data:image/png;base64,{source}'>")
    return "\n".join([*parts, "</body></html>", ""])


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    def line(cells: Sequence[str], tag: str) -> str:
        return "<tr>" + "".join(f"<{tag}>{html.escape(cell)}</{tag}>" for cell in cells) + "</tr>"

    return "<table>" + line(header, "th") + "".join(line(row, "td") for row in rows) + "</table>"
