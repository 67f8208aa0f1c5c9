"""Soundings as samples: what is sent, how long for, and from a capture to a channel estimate; either end of a link."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from radio.arrays import Complexes
from radio.config import FrameConfig, RadioConfig
from radio.samples import IQ
from radio.waveform.base import SymbolFormat
from radio.waveform.estimates import CfoTracker, ChannelEstimate, PowerEstimate, estimate_channel
from radio.waveform.layouts import fill_slot, sounding_layout
from radio.waveform.modulation import matched_filter, modulate, noise_power_of_guard, real_noise_variance
from radio.waveform.synchronisation import Synchronisation, synchronise
from radio.waveform.tones import (
    max_tone_power,
    measure_noise,
    measure_powers,
    period_of,
    power_variance,
    sounding_tones,
    tone_layout,
    transform,
)

ARRIVAL_MARGIN_SAMPLES = 64  # delay and filters, on top of a late start


@dataclass(frozen=True, slots=True)
class PeriodTiming:
    """How often tones repeat so that a receiver finds one whole period of everybody, however late they start."""

    settle_samples: int
    """From the first possible start to the capture; whole periods."""
    num_repeats: int
    """Ends by itself within another settling time after the capture."""

    @classmethod
    def of(cls, frame: FrameConfig, period_samples: int) -> PeriodTiming:
        """On the symbol level everybody is on time."""
        if frame.is_symbol_level:
            return cls(0, 1)
        num_settle = -(-(frame.start_uncertainty_samples + ARRIVAL_MARGIN_SAMPLES) // period_samples)
        return cls(num_settle * period_samples, num_settle + 1)


@lru_cache
def symbol_pilot(frame: FrameConfig, symbol_format: SymbolFormat) -> IQ:
    """Two pilots at full power, read-only."""
    amplitude = symbol_format.max_amplitude
    symbols = fill_slot(
        np.zeros(0, dtype=np.complex128), sounding_layout(frame.pilot_spacing_symbols), pilot_amplitude=amplitude
    )
    pilot = modulate(symbols, frame, max_amplitude=amplitude, sync_amplitude=amplitude)
    pilot.flags.writeable = False
    return pilot


@lru_cache
def tone_pilot(frame: FrameConfig, radio_config: RadioConfig) -> IQ:
    """One period of a noncoherent sounding at full power, read-only; on the symbol level its transform."""
    tones = sounding_tones(max_tone_power(radio_config.max_power), frame.tone_sounding_samples)
    pilot = tones.astype(np.complex64) if frame.is_symbol_level else period_of(tones)
    pilot.flags.writeable = False
    return pilot


def tones_of(capture: IQ, frame: FrameConfig) -> Complexes:
    """The transform of a captured period; on the symbol level the capture is one."""
    return capture.astype(np.complex128) if frame.is_symbol_level else transform(capture)


def estimate_powers(capture: IQ, frame: FrameConfig, radio_config: RadioConfig) -> PowerEstimate:
    """|h|² on both resources from a captured sounding period."""
    layout = tone_layout(frame.tone_sounding_samples, 1, 0)
    tones = tones_of(capture, frame)
    noise_power = measure_noise(tones, layout)
    powers, variances = measure_powers(
        tones, layout, power=max_tone_power(radio_config.max_power), noise_power=noise_power
    )
    return PowerEstimate(
        resource_powers=(float(powers[0]), float(powers[1])),
        resource_variances=(float(variances[0]), float(variances[1])),
        noise_power=noise_power,
    )


def reported_powers(
    powers: tuple[float, float], frame: FrameConfig, radio_config: RadioConfig, *, noise_power: float
) -> PowerEstimate:
    """What a receiver with this noise must have measured to report |h|² on both resources."""
    num_samples = frame.tone_sounding_samples
    num_tones = tone_layout(num_samples, 1, 0).tones_per_resource
    sent = max_tone_power(radio_config.max_power) / 2
    variances = [power_variance(power, sent, num_tones, num_samples, noise_power) for power in powers]
    return PowerEstimate(
        resource_powers=powers, resource_variances=(variances[0], variances[1]), noise_power=noise_power
    )


def reported_gain(
    gain: complex, frame: FrameConfig, radio_config: RadioConfig, *, noise_power: float, time: int
) -> ChannelEstimate:
    """What a receiver with this noise must have measured, on a shared clock, to report a gain."""
    amplitude = SymbolFormat.of(frame, radio_config).max_amplitude
    return ChannelEstimate(
        gain=gain,
        cfo_hz=0.0,
        gain_variance=real_noise_variance(noise_power, frame) / amplitude**2,
        cfo_variance_hz2=0.0,
        noise_power=noise_power,
        time_samples=time,
        sample_rate_hz=radio_config.sample_rate_hz,
    )


def find_frame(
    capture: IQ, num_symbols: int, frame: FrameConfig, *, amplitude: float, sample_rate_hz: float
) -> tuple[IQ, Synchronisation | None]:
    """The frame in a capture of `num_capture_samples`; without one, the capture's beginning and None."""
    length = frame.num_samples(num_symbols)
    found = synchronise(
        capture,
        sync_samples=frame.sync_samples,
        earliest=frame.guard_samples,
        latest=frame.guard_samples + frame.start_uncertainty_samples + frame.cyclic_prefix_samples // 2,
        amplitude=amplitude,
        noise_power=noise_power_of_guard(capture, frame),
        sample_rate_hz=sample_rate_hz,
    )
    start = 0 if found is None else min(found.start_samples - frame.guard_samples, capture.size - length)
    return capture[start : start + length], found


def estimate_symbols(
    capture: IQ,
    frame: FrameConfig,
    radio_config: RadioConfig,
    *,
    noise_power: float,
    first_sample: int,
    tracker: CfoTracker | None,
) -> ChannelEstimate:
    """The channel from a capture whose first sample has the index `first_sample`; gain 0 when there is no frame."""
    layout = sounding_layout(frame.pilot_spacing_symbols)
    symbol_format = SymbolFormat.of(frame, radio_config)
    offset = 0
    piece: IQ = capture
    if frame.start_uncertainty_samples > 0:
        piece, found = find_frame(
            capture, layout.num_symbols, frame,
            amplitude=symbol_format.max_amplitude, sample_rate_hz=radio_config.sample_rate_hz,
        )  # fmt: skip
        offset = found.start_samples - frame.guard_samples if found else 0
        piece = piece if found else np.zeros_like(piece)
    symbols = matched_filter(piece, layout.num_symbols, frame)
    return estimate_channel(
        symbols[layout.pilots],
        amplitude=symbol_format.max_amplitude,
        symbol_variance=2 * real_noise_variance(noise_power, frame),
        noise_power=noise_power,
        first_time_samples=first_sample + offset + frame.first_symbol_samples,
        spacing_samples=frame.pilot_spacing_symbols * frame.symbol_samples,
        sample_rate_hz=radio_config.sample_rate_hz,
        tracker=tracker,
    )
