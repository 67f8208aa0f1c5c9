"""A measurement's directory: measurement.json, channels.npz, recordings, pictures, a page, and a rig to simulate it."""

from __future__ import annotations

import base64
import html
import io
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec
import numpy as np
import tomli_w

from radio.arrays import Complexes, Reals
from radio.measurement.probe import Probe
from radio.measurement.profile import PULSE_SAMPLES, fitted_taps
from testbed.config.schema import Rig, to_plain
from testbed.measurement import pictures
from testbed.measurement.corrections import CALIBRATED_HEADER, calibrated_row
from testbed.measurement.records import Interval, Link, Measurement, Quiet
from testbed.measurement.summaries import Detail
from testbed.results import files
from testbed.results.plots import rendered

_RIG_KEYS = ("description", "backend", "num_devices", "radio", "frame", "clock", "air")
_CERTAIN_K_DB = 20.0
"""Beyond it a link counts as steady, or as having no steady part."""
_STEP_SAMPLES = 0.25
"""Between taps: a path is never far from one."""
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
    def taps(self) -> Path:
        """taps.npz, which it names."""
        return self.path / "taps.npz"

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
    files.write(directory.path / "channels.npz", channels_of(details, rig), remedy=_REMEDY)
    if (recorded := recorded_taps(details, probe)) is not None and fitted is not None:
        taps, delays = recorded
        buffer = io.BytesIO()
        np.savez(buffer, taps=taps, tap_delays_samples=delays, rate_hz=rig.radio.sample_rate_hz)
        files.write(directory.taps, buffer.getvalue(), remedy=_REMEDY)
        _write_rig(directory.replay, _replayed(fitted, directory.taps.resolve(), taps))
    figures = {
        "gains": pictures.link_gains(details),
        "profiles": pictures.delay_profiles(details, rig.radio.sample_rate_hz),
        "responses": pictures.responses(details, probe, rig.radio.sample_rate_hz),
        "time": pictures.gains_by_time(details),
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


def _replayed(fitted: Rig, taps_file: Path, taps: Complexes) -> Rig:
    """The fitted rig with recorded taps; each device's path loss is what its taps have."""
    losses_db = -10 * np.log10(np.sum(np.mean(np.abs(taps) ** 2, axis=0), axis=1))
    middle = float(losses_db.max() + losses_db.min()) / 2
    spread = float(losses_db.max() - losses_db.min()) / 2
    air = msgspec.structs.replace(
        fitted.air,
        fading="recorded",
        recording=str(taps_file),
        tdl="flat",
        delay_spread_s=0.0,
        path_loss_db=middle,
        path_loss_spread_db=spread,
        path_loss_offsets_db=tuple(np.clip(losses_db - middle, -spread, spread).tolist()),
        snr_db=fitted.air.snr_db + fitted.air.path_loss_db - middle,
    )
    return msgspec.structs.replace(fitted, description=f"replayed {fitted.description}", air=air)


def recorded_taps(details: Sequence[Detail], probe: Probe) -> tuple[Complexes, Reals] | None:
    """Taps [blocks, devices, L] of the uplinks at quarters of samples [L], of blocks in which every device was heard.

    On triggered rigs delays are those of the links; else they begin at 0. None if there is no such block.
    """
    known = [d for d in details if d.link.direction == "uplink" and d.profile is not None and d.responses is not None]
    if not known:
        return None
    num_blocks = min(len(detail.responses) for detail in known if detail.responses is not None)
    responses = np.array([detail.responses[:num_blocks] for detail in known if detail.responses is not None])
    whole = np.isfinite(responses).all(axis=(0, 2))
    if not whole.any():
        return None
    profiles = [detail.profile for detail in known if detail.profile is not None]
    size = probe.period_samples
    origins = [(profile.origin_samples + size / 2) % size - size / 2 for profile in profiles]
    ends = [
        (origin + profile.first_samples + PULSE_SAMPLES, origin + profile.last_samples - PULSE_SAMPLES)
        for origin, profile in zip(origins, profiles, strict=True)
    ]
    first = math.floor(min(min(pair) for pair in ends) / _STEP_SAMPLES) * _STEP_SAMPLES
    last = max(max(pair) for pair in ends)
    delays = np.arange(first, last + _STEP_SAMPLES, _STEP_SAMPLES)
    taps = np.array(
        [
            fitted_taps(own[whole], probe, delays - origin, detail.noise_share)
            for own, detail, origin in zip(responses, known, origins, strict=True)
        ]
    )
    return taps.transpose(1, 0, 2), delays - min(first, 0.0) if known[0].is_triggered else delays - first


def channels_of(details: Sequence[Detail], rig: Rig) -> bytes:
    """An .npz with path gains ``a`` and delays ``tau``, in the shapes of Sionna's link-level channels.

    a complex64 [links, 1 (rx), 1 (rx antenna), 1 (tx), 1 (tx antenna), paths, 1 (time)], tau float32 in seconds [links,
    1, 1, paths]; links that have fewer paths end in zeros. Also ``device`` [links] and ``is_uplink`` [links].
    """
    known = [detail for detail in details if detail.paths]
    most = max((len(detail.paths) for detail in known), default=0)
    a = np.zeros((len(known), 1, 1, 1, 1, most, 1), np.complex64)
    tau = np.zeros((len(known), 1, 1, most), np.float32)
    for n, detail in enumerate(known):
        for p, path in enumerate(detail.paths):
            a[n, 0, 0, 0, 0, p, 0] = path.gain
            tau[n, 0, 0, p] = path.delay_samples / rig.radio.sample_rate_hz
    buffer = io.BytesIO()
    np.savez(
        buffer,
        a=a,
        tau=tau,
        device=np.array([detail.link.device for detail in known]),
        is_uplink=np.array([detail.link.direction == "uplink" for detail in known]),
    )
    return buffer.getvalue()


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
        "–" if link.snr_db is None else f"{link.snr_db:.1f}",
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
    titles = {
        "verdict": "Expected NMSE",
        "gains": "Gains",
        "profiles": "Power delay profiles",
        "responses": "Frequency responses",
        "time": "Gain and carrier offset over the campaign",
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
