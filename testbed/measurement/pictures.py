"""Pictures of a measurement, as matplotlib figures."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from radio.measurement.fading import HELD_RAD
from radio.measurement.probe import Probe
from testbed.measurement.records import Verdict
from testbed.measurement.summaries import Detail
from testbed.results.plots import BLUE, GREY, ORANGE, figure_of

COLORS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000")
"""Told apart by the colour-blind, too."""
STYLES = ("-", "--", "-.", ":")
MAX_CURVES = 12


def _curves(details: Sequence[Detail]) -> list[tuple[Detail, dict[str, Any]]]:
    known = [detail for detail in details if detail.profile is not None][:MAX_CURVES]
    return [
        (detail, {"color": COLORS[n % len(COLORS)], "linestyle": STYLES[n // len(COLORS) % len(STYLES)]})
        for n, detail in enumerate(known)
    ]


def _legend(axis: Axes) -> None:
    """Beside the curves, none of which it hides."""
    if axis.get_legend_handles_labels()[0]:
        axis.legend(frameon=False, fontsize=8, loc="center left", bbox_to_anchor=(1.0, 0.5))


def _name(detail: Detail) -> str:
    return f"device {detail.link.device}" + (" ←" if detail.link.direction == "downlink" else "")


def delay_profiles(details: Sequence[Detail], sample_rate_hz: float) -> Figure:
    """Power delay profiles, each against its peak."""
    figure, (axis,) = figure_of()
    reach = 8
    for detail, style in _curves(details):
        assert detail.profile is not None
        powers = detail.profile.powers
        size = powers.size
        steps = np.arange(-size // 8, size // 2)
        shown = powers[steps % size]
        decibels = 10 * np.log10(np.maximum(shown / powers.max(), 1e-6))
        loud = steps[decibels > -40]
        reach = max(reach, int(loud.max()) + 4)
        axis.plot(steps / sample_rate_hz * 1e6, decibels, label=_name(detail), **style)
    axis.set_xlim(-8 / sample_rate_hz * 1e6, reach / sample_rate_hz * 1e6)
    axis.set_ylim(-50, 3)
    axis.set_xlabel("delay (µs)")
    axis.set_ylabel("power against the peak (dB)")
    _legend(axis)
    return figure


def responses(details: Sequence[Detail], probe: Probe, sample_rate_hz: float) -> Figure:
    """|H| over the band, of the first good capture."""
    figure, (axis,) = figure_of()
    for detail, style in _curves(details):
        assert detail.response is not None
        decibels = 20 * np.log10(np.maximum(np.abs(detail.response), 1e-9))
        axis.plot(probe.bins / probe.period_samples * sample_rate_hz / 1e3, decibels, label=_name(detail), **style)
    axis.set_xlabel("frequency from the centre (kHz)")
    axis.set_ylabel("gain (dB)")
    _legend(axis)
    return figure


def gains_by_time(details: Sequence[Detail]) -> Figure:
    """Gain and carrier offset of every capture."""
    figure, (top, bottom) = figure_of(2, height_in=5.5)
    for detail, style in _curves(details):
        times = detail.times_s - detail.times_s[0]
        top.plot(times, detail.gains_db, marker=".", label=_name(detail), **style)
        bottom.plot(times, detail.cfos_hz, marker=".", **style)
    top.set_ylabel("gain (dB)")
    _legend(top)
    bottom.set_ylabel("carrier offset (Hz)")
    bottom.set_xlabel("time (s)")
    return figure


def phase_drifts(details: Sequence[Detail]) -> Figure:
    """Rms change of each link's phase within a time, where it stands out of receiver noise."""
    figure, (axis,) = figure_of()
    axis.set_xscale("log")
    axis.set_yscale("log")
    reach_ms, highest_deg = [1e-3, 1.0], 10.0
    for detail, style in _curves(details):
        assert detail.drift is not None
        drift = detail.drift
        is_seen = drift.rms_rad > np.nan_to_num(drift.half_width_rad)
        reach_ms = [float(drift.lags_s[0]) * 1e3, float(drift.lags_s[-1]) * 1e3]
        highest_deg = max(highest_deg, 1.5 * float(np.degrees(drift.rms_rad.max())))
        shown_deg = np.where(is_seen, np.degrees(drift.rms_rad), np.nan)
        axis.plot(drift.lags_s * 1e3, shown_deg, label=_name(detail), **style)
    axis.axhline(math.degrees(HELD_RAD), color=GREY, linewidth=1, label="0.1 rad: −20 dB")
    axis.set_xlim(reach_ms[0], max(reach_ms[1], 1.001 * reach_ms[0]))
    axis.set_ylim(1e-2, highest_deg)
    axis.set_xlabel("time (ms)")
    axis.set_ylabel("rms phase change (°)")
    _legend(axis)
    return figure


def doppler_spectra(details: Sequence[Detail]) -> Figure:
    """Of each link's gain in its first good capture, against the strongest line."""
    figure, (axis,) = figure_of()
    reach = 0.0
    for detail, style in _curves(details):
        assert detail.motion is not None
        powers = np.maximum(detail.motion.doppler_power, 0)
        decibels = 10 * np.log10(np.maximum(powers / max(float(powers.max()), 1e-300), 1e-6))
        axis.plot(detail.motion.doppler_hz, decibels, label=_name(detail), **style)
        loud = np.abs(detail.motion.doppler_hz[decibels > -40])
        spacing = float(detail.motion.doppler_hz[1] - detail.motion.doppler_hz[0])
        reach = max(reach, float(loud.max()) + 8 * spacing)
    if reach > 0:
        axis.set_xlim(-reach, reach)
    axis.set_ylim(-50, 3)
    axis.set_xlabel("Doppler shift behind the carrier's (Hz)")
    axis.set_ylabel("power against the strongest (dB)")
    _legend(axis)
    return figure


def link_gains(details: Sequence[Detail]) -> Figure:
    """Gain of every link with its interval, and the noise."""
    figure, (axis,) = figure_of()
    for shift, direction, color in ((-0.1, "uplink", BLUE), (0.1, "downlink", ORANGE)):
        links = [d.link for d in details if d.link.direction == direction and d.link.gain_db is not None]
        if links:
            values = np.array([link.gain_db.value for link in links if link.gain_db is not None])
            low = np.array([link.gain_db.low for link in links if link.gain_db is not None])
            high = np.array([link.gain_db.high for link in links if link.gain_db is not None])
            places = np.array([link.device for link in links]) + shift
            axis.errorbar(places, values, yerr=[values - low, high - values], fmt="o", color=color, label=direction)
    axis.set_xlabel("device")
    axis.set_ylabel("path gain (dB, full scale to full scale)")
    axis.set_xticks(sorted({detail.link.device for detail in details}))
    _legend(axis)
    return figure


def predicted_errors(verdict: Verdict) -> Figure:
    """NMSE of each scheme that works."""
    figure, (axis,) = figure_of(height_in=3.0)
    known = [each for each in verdict.predictions if each.nmse_db is not None]
    names = [each.scheme for each in known]
    axis.barh(names, [each.nmse_db for each in known if each.nmse_db is not None], color=BLUE)
    axis.axvline(0, color=GREY, linewidth=1)
    axis.set_xlabel("expected NMSE (dB), pooled")
    return figure
