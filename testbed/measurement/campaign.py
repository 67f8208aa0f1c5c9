"""Sounds every link of a rig in turn, in slots of one sender and one receiver."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import numpy as np

from radio.air.medium import Medium
from radio.backends.base import Radio
from radio.config import RadioConfig
from radio.errors import RadioConfigError, RadioError
from radio.link.trials import hear_tone, measure_starts
from radio.measurement.probe import Probe, strongest
from radio.measurement.sounding import Sounding, sound
from radio.samples import IQ
from testbed.bench.rig import setup_of
from testbed.config.backends import backend_of, settings_of
from testbed.config.schema import Rig
from testbed.measurement.records import Direction, Interval, Quiet

LATENCY_ALLOWANCE_S = 0.2
"""On radios that are not simulated, on top of what the rig reckons with."""
QUIET_SAMPLES = 1 << 15
NUM_STARTS = 8
_PIECE_SAMPLES = 64
_LINE_DB, _BURST_RATIO, _BURST_SHARE = 15.0, 10.0, 0.02


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """How a campaign is done."""

    num_captures: int = 20
    """Of each link."""
    capture_s: float = 0.05
    period_samples: int = 256
    directions: tuple[Direction, ...] = ("uplink",)
    num_kept: int = 1
    """Captures of each link that are kept as recordings."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Kept:
    """A capture that becomes a recording."""

    number: int
    """Among the link's captures."""
    samples: IQ
    first_sample: int
    """On the clock that times the campaign: the receiver's; of a simulated downlink, the air's."""
    began_unix_s: float
    """By this computer's clock, within what the radio's buffers hold samples up."""
    coarse_cfo_hz: float
    """What was known of the carrier beforehand."""


@dataclass(slots=True, kw_only=True)
class LinkHeard:
    """All captures of one link."""

    device: int
    direction: Direction
    soundings: list[Sounding] = field(default_factory=list)
    times_s: list[float] = field(default_factory=list)
    """On the receiver's clock, when each capture began."""
    kept: list[Kept] = field(default_factory=list)
    problem: str | None = None
    starts: Interval | None = None

    @property
    def good(self) -> list[Sounding]:
        """Those that nothing spoilt."""
        return [each for each in self.soundings if each.spoilt is None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Heard:
    """One capture, as progress shows it."""

    device: int
    direction: Direction
    number: int
    sounding: Sounding | None
    problem: str | None = None


def probe_of(rig: Rig, asked: Asked) -> Probe:
    """The probe at the rig's power."""
    return strongest(asked.period_samples, rig.radio.max_power)


def check(rig: Rig, asked: Asked) -> None:
    """Raise RadioConfigError for what cannot be sounded."""
    if rig.air.level == "symbol":
        raise RadioConfigError(
            "air.level: got 'symbol', where there are no samples to sound; allowed: 'sample'; choose another rig"
        )
    if asked.capture_s * rig.radio.sample_rate_hz < 8 * asked.period_samples:
        raise RadioConfigError(
            f"capture: got {asked.capture_s:g} s at {rig.radio.sample_rate_hz:g} samples/s; allowed: at least 8 "
            f"periods of {asked.period_samples} samples; capture longer"
        )


def listen(rig: Rig, medium: Medium | None) -> Quiet:
    """The band while the rig is silent, as the access point hears it. Raises RadioError."""
    with _open(rig, rig.num_devices, medium) as receiver:
        receiver.configure(rig.radio)
        receiver.begin_block(0, 1)
        return quiet_of(receiver.capture(QUIET_SAMPLES), rig.radio.sample_rate_hz)


def quiet_of(capture: IQ, sample_rate_hz: float) -> Quiet:
    """Pure."""
    samples = capture.astype(np.complex128)
    pieces = samples[: samples.size // _PIECE_SAMPLES * _PIECE_SAMPLES].reshape(-1, _PIECE_SAMPLES)
    powers = np.mean(np.abs(pieces) ** 2, axis=1)
    size = 1024
    windows = samples[: samples.size // size * size].reshape(-1, size) * np.hanning(size)
    spectrum = np.mean(np.abs(np.fft.fft(windows, axis=1)) ** 2, axis=0)
    spectrum[[0, 1, -1]] = np.median(spectrum)  # the receiver's own direct current
    peak, floor = int(np.argmax(spectrum)), float(np.median(spectrum))
    over_db = 10 * math.log10(float(spectrum[peak]) / floor) if floor > 0 else 0.0
    middle = float(np.median(powers))
    bursts = float(np.mean(powers > _BURST_RATIO * middle)) if middle > 0 else 0.0
    offset_hz = float(np.fft.fftfreq(size)[peak]) * sample_rate_hz
    seen = []
    if over_db > _LINE_DB:
        seen.append(f"a line {over_db:.0f} dB above the floor at {offset_hz / 1e3:+.1f} kHz")
    if bursts > _BURST_SHARE:
        seen.append(f"bursts in {100 * bursts:.0f} % of the time")
    power = float(np.mean(np.abs(samples) ** 2))
    return Quiet(
        noise_dbfs=10 * math.log10(power) if power > 0 else None,
        peak_over_floor_db=over_db,
        peak_offset_hz=offset_hz,
        burst_share=bursts,
        interference=" and ".join(seen) or None,
    )


def sound_links(
    rig: Rig,
    asked: Asked,
    medium: Medium | None,
    on_heard: Callable[[Heard], None] = lambda _: None,
    should_stop: Callable[[], bool] = lambda: False,
) -> Iterator[LinkHeard]:
    """Every link in turn; a link whose radios fail says so and the others go on."""
    check(rig, asked)
    for direction in asked.directions:
        for device in range(rig.num_devices):
            if should_stop():
                return
            heard = LinkHeard(device=device, direction=direction)
            try:
                _sound_link(rig, asked, medium, heard, on_heard, should_stop)
            except RadioError as err:
                heard.problem = str(err)
                on_heard(Heard(device=device, direction=direction, number=0, sounding=None, problem=str(err)))
            yield heard


def _sound_link(
    rig: Rig,
    asked: Asked,
    medium: Medium | None,
    heard: LinkHeard,
    on_heard: Callable[[Heard], None],
    should_stop: Callable[[], bool],
) -> None:
    tuning, probe = rig.radio, probe_of(rig, asked)
    num_samples = int(asked.capture_s * tuning.sample_rate_hz) // probe.period_samples * probe.period_samples
    ends = (heard.device, rig.num_devices) if heard.direction == "uplink" else (rig.num_devices, heard.device)
    settle = _settling(rig, medium, probe)
    with _open(rig, ends[0], medium) as sender, _open(rig, ends[1], medium) as receiver:
        sender.configure(tuning)
        receiver.configure(tuning)
        clock = receiver if heard.direction == "uplink" or medium is None else sender
        coarse_hz = 0.0
        if medium is None:
            coarse_hz = hear_tone(sender, receiver, tuning, settle).offset_hz
        for number in range(asked.num_captures):
            if should_stop():
                break
            clock.begin_block(number, 1)
            sender.start_cyclic(probe.samples())
            try:
                if medium is None:
                    began = receiver.clock_samples + settle
                    capture = receiver.capture(num_samples, skip_samples=settle)
                else:
                    clock.elapse(settle)
                    began = clock.clock_samples
                    capture = receiver.capture(num_samples)
                    if clock is sender:
                        clock.elapse(num_samples)  # a device's captures move no clock
                ended_unix_s = time.time()
            finally:
                sender.stop()
            found = sound(capture, probe, tuning.sample_rate_hz, coarse_cfo_hz=coarse_hz)
            heard.soundings.append(found)
            heard.times_s.append(began / tuning.sample_rate_hz)
            if len(heard.kept) < asked.num_kept:
                heard.kept.append(
                    Kept(
                        number=number,
                        samples=capture,
                        first_sample=began,
                        began_unix_s=ended_unix_s - num_samples / tuning.sample_rate_hz,
                        coarse_cfo_hz=coarse_hz,
                    )
                )
            on_heard(Heard(device=heard.device, direction=heard.direction, number=number, sounding=found))
    if heard.direction == "uplink" and not rig.clock.trigger and heard.good:
        heard.starts = _starts(rig, medium, heard.device, tuning, settle)


def _starts(rig: Rig, medium: Medium | None, device: int, tuning: RadioConfig, settle: int) -> Interval | None:
    with (
        _open(rig, device, medium) as sender,
        _open(rig, rig.num_devices, medium, counts_samples=True) as receiver,
    ):
        sender.configure(tuning)
        receiver.configure(tuning)
        found = measure_starts(sender, receiver, tuning, settle, NUM_STARTS)
    if not found.num_heard:
        return None
    return Interval(value=(found.earliest_s + found.latest_s) / 2, low=found.earliest_s, high=found.latest_s)


def _settling(rig: Rig, medium: Medium | None, probe: Probe) -> int:
    """Samples until the probe fills a capture: whole periods, so that triggered starts keep their place."""
    latency_s = 0.0 if medium is not None else LATENCY_ALLOWANCE_S
    least = (
        rig.frame.start_uncertainty_samples
        + (rig.air.start_jitter_samples if medium is not None else 0)
        + latency_s * rig.radio.sample_rate_hz
        + 2 * probe.period_samples
    )
    return math.ceil(least / probe.period_samples) * probe.period_samples


def _open(rig: Rig, station: int, medium: Medium | None, *, counts_samples: bool = False) -> Radio:
    return backend_of(rig).open(settings_of(rig), station, setup_of(rig, counts_samples=counts_samples), medium)
