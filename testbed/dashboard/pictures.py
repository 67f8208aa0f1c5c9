"""What is drawn of a capture: its spectrum, its trace with the parts marked, how well devices were aligned; pure."""

from __future__ import annotations

import math

import msgspec
import numpy as np

from radio.arrays import Complexes
from radio.config import FrameConfig, RadioConfig
from radio.samples import IQ
from radio.waveform.misalignment import measure_arrivals
from radio.waveform.modulation import matched_filter
from testbed.dashboard.decimation import decimated
from testbed.results.live.capture import LastCapture, PartKeys
from testbed.results.sigmf.meta import ChannelSounding

MAX_BINS, MIN_BINS = 512, 16
MAX_POINTS = 800
MAX_DEVICES = 64
"""Of more, those of the lowest gain are shown."""
_FLOOR = 1e-30


class Mark(msgspec.Struct, frozen=True, kw_only=True):
    """A part of the trace."""

    name: str
    begin_us: float
    end_us: float
    withheld: bool


class DeviceSeen(msgspec.Struct, frozen=True, kw_only=True):
    """An active device in one capture; null is not known."""

    device: int
    gain_db: float | None
    """20 log10|ĥ|, as sounded before the payload."""
    snr_db: float | None
    """10 log10(P|ĥ|²/N0), per complex sample."""
    cfo_hz: float | None
    alignment_error_db: float | None
    """20 log10|g_k − 1|, g_k what arrives of its pilots as a multiple of what the plan asks for."""


class Picture(msgspec.Struct, frozen=True, kw_only=True):
    """One capture, ready to be drawn."""

    round: int
    """From 1 on."""
    attempt: int
    scheme: str
    source: str
    """Where it comes from, in words."""
    num_samples: int
    num_captured: int
    sample_rate_hz: float
    center_freq_hz: float
    bin_hz: float
    freq_khz: list[float]
    """Of the spectrum, from the carrier."""
    power_db: list[float]
    """dB relative to full scale in one bin."""
    time_us: list[float]
    in_phase: list[float]
    quadrature: list[float]
    parts: list[Mark]
    withheld: bool
    """Whether samples that may hold values were left out, from the trace and the spectrum."""
    devices: list[DeviceSeen]
    num_devices: int
    """Of the plan's active ones."""
    alignment_noise_db: float | None
    """What the noise on those pilots alone would make of an alignment error, in the mean; null where there is none."""


def picture_of(
    capture: LastCapture, frame: FrameConfig, radio: RadioConfig, *, num_devices: int, source: str
) -> Picture:
    """Everything that is drawn of a capture."""
    samples = capture.iq()
    micro = 1e6 / capture.sample_rate_hz
    visible = np.ones(samples.size, dtype=bool)
    for begin, end in capture.withheld:
        visible[begin:end] = False
    frequencies, powers = spectrum(samples, visible, sample_rate_hz=capture.sample_rate_hz)
    both = np.stack([samples.real, samples.imag], axis=1).astype(np.float64)
    trace = np.where(visible[:, None], both, np.nan)
    times, points = decimated(np.arange(samples.size, dtype=np.float64) * micro, trace, MAX_POINTS)
    return Picture(
        round=capture.keys.round + 1,
        attempt=capture.keys.attempt,
        scheme=capture.keys.scheme,
        source=source,
        num_samples=samples.size,
        num_captured=capture.num_captured,
        sample_rate_hz=capture.sample_rate_hz,
        center_freq_hz=radio.center_freq_hz,
        bin_hz=capture.sample_rate_hz / max(1, frequencies.size),
        freq_khz=(frequencies / 1e3).tolist(),
        power_db=np.round(powers, 2).tolist(),
        time_us=np.round(times, 3).tolist(),
        in_phase=_short(points[:, 0]),
        quadrature=_short(points[:, 1]),
        parts=[
            Mark(
                name=part.name,
                begin_us=part.first_sample * micro,
                end_us=(part.first_sample + part.num_samples) * micro,
                withheld=not visible[part.first_sample : part.first_sample + part.num_samples].any(),
            )
            for part in capture.parts
        ],
        withheld=bool(capture.withheld),
        devices=devices_of(capture, samples, frame, radio, num_devices=num_devices),
        num_devices=len(capture.keys.plan.active),
        alignment_noise_db=_alignment_noise_db(capture, frame, num_devices=num_devices),
    )


def spectrum(samples: IQ, visible: np.ndarray, *, sample_rate_hz: float) -> tuple[np.ndarray, np.ndarray]:
    """Frequencies (Hz, ascending) and powers (dB re full scale, per bin) by Welch's method: Hann windows that overlap
    by half, over every stretch of visible samples that holds one. Both empty where none does."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], visible, [False]]).astype(np.int8)))
    stretches = [samples[begin:end] for begin, end in zip(edges[::2], edges[1::2], strict=True)]
    longest = max((stretch.size for stretch in stretches), default=0)
    if longest < MIN_BINS:
        return np.zeros(0), np.zeros(0)
    num_bins = min(MAX_BINS, 1 << (longest.bit_length() - 1))
    window = np.hanning(num_bins)
    windows = [
        stretch[begin : begin + num_bins] * window
        for stretch in stretches
        for begin in range(0, stretch.size - num_bins + 1, num_bins // 2)
    ]
    power = np.mean(np.abs(np.fft.fft(windows, axis=1)) ** 2, axis=0) / (num_bins * float(np.sum(window**2)))
    frequencies = np.fft.fftfreq(num_bins, 1 / sample_rate_hz)
    order = np.argsort(frequencies)
    return frequencies[order], 10 * np.log10(power[order] + _FLOOR)


def devices_of(
    capture: LastCapture, samples: IQ, frame: FrameConfig, radio: RadioConfig, *, num_devices: int
) -> list[DeviceSeen]:
    """What was known of each active device; of many, those of the lowest gain."""
    arrivals = arrivals_of(capture, samples, frame, num_devices=num_devices)
    found = []
    for channel in capture.keys.channels:
        power = channel.gain[0] ** 2 + channel.gain[1] ** 2
        sounding = channel.sounding
        error = abs(arrivals[channel.device] - 1) if arrivals is not None and channel.device < arrivals.size else None
        found.append(
            DeviceSeen(
                device=channel.device,
                gain_db=_db(power) if sounding is not None else None,
                snr_db=_db(radio.max_power * power / sounding.noise_power)
                if sounding is not None and sounding.noise_power > 0
                else None,
                cfo_hz=sounding.cfo_hz if isinstance(sounding, ChannelSounding) else None,
                alignment_error_db=_db(error**2) if error is not None else None,
            )
        )
    if len(found) > MAX_DEVICES:
        found.sort(key=lambda each: -math.inf if each.gain_db is None else each.gain_db)
        found = sorted(found[:MAX_DEVICES], key=lambda each: each.device)
    return found


def arrivals_of(capture: LastCapture, samples: IQ, frame: FrameConfig, *, num_devices: int) -> Complexes | None:
    """g_k of every device, shape [K + 1], from the pilots before and after a superposed payload (docs/method.md §1.3).

    None where there are none: slots, tones, or a capture that was cut.
    """
    plan, parts = capture.keys.plan, capture.parts
    pilots = [part for part in parts if part.name == "pilots"]
    num_codes = num_devices + 1
    if len(pilots) != 2 or capture.num_captured != samples.size or plan.gain <= 0:
        return None
    period = frame.symbol_samples
    if any(part.num_samples != num_codes * period for part in pilots):
        return None
    if pilots[0].first_sample != frame.first_symbol_samples:
        return None
    num_symbols = (_end(pilots[1]) - pilots[0].first_sample) // period
    if frame.num_samples(num_symbols) != samples.size:
        return None
    symbols = matched_filter(samples, num_symbols, frame)
    amplitude = plan.gain * plan.plan().value_bound
    before = measure_arrivals(symbols[:num_codes], plan.round_index, amplitude=amplitude)
    after = measure_arrivals(symbols[-num_codes:], plan.round_index, amplitude=amplitude)
    found: Complexes = (before + after) / 2
    return found


def _alignment_noise_db(capture: LastCapture, frame: FrameConfig, *, num_devices: int) -> float | None:
    """10 log10 of N0/(N·2L·A²): the variance of a mean over 2L pilot symbols of amplitude A, matched over N samples."""
    heard = [each.sounding.noise_power for each in capture.keys.channels if each.sounding is not None]
    plan = capture.keys.plan
    if not heard or plan.gain <= 0:
        return None
    energy = frame.samples_per_symbol * 2 * (num_devices + 1) * (plan.gain * plan.plan().value_bound) ** 2
    return _db(math.fsum(heard) / len(heard) / energy)


def _end(part: PartKeys) -> int:
    return part.first_sample + part.num_samples


def _short(values: np.ndarray) -> list[float]:
    """With as many digits as a picture needs."""
    return [float(f"{value:.4g}") for value in values.tolist()]


def _db(power: float) -> float | None:
    return 10 * math.log10(power) if 0 < power < math.inf else None
