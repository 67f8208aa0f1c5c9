"""Measurements of a link between two radios: what it really does, before anybody relies on it."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from radio.backends.base import Radio, movable_carrier
from radio.config import RadioConfig
from radio.errors import RadioLinkError
from radio.samples import IQ
from radio.waveform.carrier import (
    TONE_CYCLES,
    TONE_PERIOD_SAMPLES,
    TONE_SAMPLES,
    CarrierOffset,
    carrier_tone,
    measure_carrier,
)
from radio.waveform.synchronisation import sync_sequence, synchronise

SYNC_SAMPLES = 1024
SYNC_AMPLITUDE = 0.25
QUIET_SAMPLES = 1024
PHASE_BLOCK_SAMPLES = 1000
MAX_MOVES = 4
SAME_BINS = 3
MUCH_STRONGER_DB = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Starts:
    """How late transmissions started, after they were asked for."""

    earliest_s: float
    latest_s: float
    num_heard: int
    num_sent: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Phase:
    """How steady a carrier is over one capture."""

    cfo_hz: float
    noise_deg: float
    """Rms about a straight line, of means over 1000 samples."""


def foreign_tone(receiver: Radio, tuning: RadioConfig) -> CarrierOffset | None:
    """What would be taken for a device's tone while all devices are silent; None where nothing would."""
    return measure_carrier(receiver.capture(TONE_SAMPLES), tuning.sample_rate_hz)


def hear_tone(
    sender: Radio,
    receiver: Radio,
    tuning: RadioConfig,
    settle_samples: int,
    *,
    foreign: CarrierOffset | None = None,
) -> CarrierOffset:
    """The sender's carrier offset as the receiver hears it.

    Raises RadioLinkError when it hears nothing, or only what it heard before: `foreign`, see `foreign_tone`.
    """
    sender.start_cyclic(carrier_tone())
    try:
        heard = measure_carrier(receiver.capture(TONE_SAMPLES, skip_samples=settle_samples), tuning.sample_rate_hz)
    finally:
        sender.stop()
    if heard is None:
        raise RadioLinkError("its tone is not heard; look at antennas, cables and gains")
    if foreign is not None and _same(heard, foreign, tuning.sample_rate_hz):
        raise RadioLinkError(
            f"a carrier {foreign.offset_hz:+.0f} Hz from its tone's place is heard while it is silent, and its own "
            "tone is not; find who sends that, or move radio.center_freq_hz"
        )
    return heard


def _same(heard: CarrierOffset, foreign: CarrierOffset, sample_rate_hz: float) -> bool:
    near = abs(heard.offset_hz - foreign.offset_hz) < SAME_BINS * sample_rate_hz / TONE_SAMPLES
    return near and heard.snr_db < foreign.snr_db + MUCH_STRONGER_DB


def correct_carrier(
    sender: Radio,
    receiver: Radio,
    tuning: RadioConfig,
    settle_samples: int,
    *,
    foreign: CarrierOffset | None = None,
) -> tuple[CarrierOffset, CarrierOffset]:
    """Move the sender's carrier to the receiver's; the offsets before and after."""
    first = last = hear_tone(sender, receiver, tuning, settle_samples, foreign=foreign)
    for _ in range(MAX_MOVES):
        if abs(last.offset_hz) <= tuning.residual_cfo_max_hz / 2:
            break
        movable_carrier(sender).shift_carrier(-last.offset_hz)
        last = hear_tone(sender, receiver, tuning, settle_samples, foreign=foreign)
    return first, last


def measure_starts(sender: Radio, receiver: Radio, tuning: RadioConfig, longest_samples: int, num_sent: int) -> Starts:
    """Ask for transmissions while the receiver counts samples, and see when they arrive."""
    frame = (SYNC_AMPLITUDE * sync_sequence(SYNC_SAMPLES)).astype(np.complex64)
    frame /= max(1.0, float(np.abs(frame).max()))
    heard: list[float] = []
    for _ in range(num_sent):
        receiver.begin_block(0, 1)
        sender.transmit(frame, num_repeats=1)
        capture = receiver.capture(QUIET_SAMPLES + longest_samples + SYNC_SAMPLES)
        found = synchronise(
            capture,
            sync_samples=SYNC_SAMPLES,
            earliest=0,
            latest=QUIET_SAMPLES + longest_samples,
            amplitude=SYNC_AMPLITUDE,
            noise_power=_quiet_power(capture),
            sample_rate_hz=tuning.sample_rate_hz,
        )
        sender.stop()
        if found is not None:
            heard.append(found.start_samples / tuning.sample_rate_hz)
    return Starts(
        earliest_s=min(heard, default=math.nan),
        latest_s=max(heard, default=math.nan),
        num_heard=len(heard),
        num_sent=num_sent,
    )


def measure_phase(sender: Radio, receiver: Radio, tuning: RadioConfig, settle_samples: int) -> Phase:
    """A tone's phase over one capture: its slope is the carrier offset, the rest is noise."""
    sender.start_cyclic(carrier_tone())
    try:
        capture = receiver.capture(TONE_SAMPLES, skip_samples=settle_samples)
    finally:
        sender.stop()
    return phase_of_tone(capture, tuning.sample_rate_hz)


def phase_of_tone(capture: IQ, sample_rate_hz: float) -> Phase:
    """Pure; offsets up to ± half a cycle in 1000 samples."""
    cycles = TONE_CYCLES / TONE_PERIOD_SAMPLES * np.arange(capture.size)
    base = capture.astype(np.complex128) * np.exp(-2j * np.pi * cycles)
    whole = base.size // PHASE_BLOCK_SAMPLES
    blocks = base[: whole * PHASE_BLOCK_SAMPLES].reshape(whole, PHASE_BLOCK_SAMPLES).mean(axis=1)
    phases: NDArray[np.float64] = np.unwrap(np.angle(blocks))
    times = np.arange(whole) * PHASE_BLOCK_SAMPLES / sample_rate_hz
    slope, offset = np.polyfit(times, phases, 1)
    noise = phases - (slope * times + offset)
    return Phase(cfo_hz=float(slope / (2 * np.pi)), noise_deg=float(np.degrees(np.sqrt(np.mean(noise**2)))))


def _quiet_power(capture: IQ) -> float:
    """Noise power from the quietest of many pieces, a little too low; the detection threshold has room for that."""
    pieces = capture[: capture.size // 64 * 64].reshape(-1, 64)
    return float(np.median(np.mean(np.abs(pieces) ** 2, axis=1)))
