"""Sounds every link of a rig in turn, in slots of one sender and one receiver."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import msgspec
import numpy as np

from radio.air.medium import Medium
from radio.backends.base import Radio
from radio.config import RadioConfig
from radio.errors import RadioConfigError, RadioError, RadioLinkError
from radio.link.trials import hear_tone, measure_starts
from radio.measurement.probe import Probe, strongest
from radio.measurement.sounding import Sounding, sound
from radio.samples import IQ
from radio.waveform.carrier import TONE_SAMPLES, carrier_tone, measure_carrier
from testbed.bench.rig import setup_of
from testbed.config.backends import backend_of, settings_of
from testbed.config.schema import Rig
from testbed.measurement.records import Direction, Interval, Quiet

LATENCY_ALLOWANCE_S = 0.2
"""On radios that are not simulated, on top of what the rig reckons with."""
REACH = 0.4
"""Of a cycle in a period of the probe: how far its own estimate of a carrier reaches for sure."""
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
    with open_link(rig, asked, medium, heard.device, heard.direction) as link:
        link.tune()
        link.find_carrier()
        for number in range(asked.num_captures):
            if should_stop():
                break
            taken = link.take()
            heard.soundings.append(taken.sounding)
            heard.times_s.append(taken.first_sample / rig.radio.sample_rate_hz)
            if len(heard.kept) < asked.num_kept:
                heard.kept.append(
                    Kept(
                        number=number,
                        samples=taken.samples,
                        first_sample=taken.first_sample,
                        began_unix_s=taken.began_unix_s,
                        coarse_cfo_hz=link.coarse_cfo_hz,
                    )
                )
            on_heard(Heard(device=heard.device, direction=heard.direction, number=number, sounding=taken.sounding))
    if heard.direction == "uplink" and not rig.clock.trigger and heard.good:
        heard.starts = _starts(rig, medium, heard.device, rig.radio, _settling(rig, medium, probe_of(rig, asked)))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Taken:
    """One capture of a link."""

    samples: IQ
    sounding: Sounding
    first_sample: int
    """On the receiver's clock."""
    began_unix_s: float


@dataclass(slots=True, kw_only=True, eq=False)
class OpenLink:
    """Both radios of a link, open: the sender repeats the probe for each capture, and is silent between."""

    rig: Rig
    asked: Asked
    medium: Medium | None
    sender: Radio
    receiver: Radio
    clock: Radio
    """Whose calls move a simulated air's time."""
    num_blocks: int = 0
    """Fading blocks that were begun; on a simulated air each capture has its own."""
    coarse_cfo_hz: float = 0.0

    def tune(self, *, tx_gain_db: float | None = None, rx_gain_db: float | None = None) -> None:
        """As the rig says, but for these gains. Raises RadioError."""
        tuning = self.rig.radio
        sending = tuning.tx_gain_db if tx_gain_db is None else tx_gain_db
        receiving = tuning.rx_gain_db if rx_gain_db is None else rx_gain_db
        self.sender.configure(msgspec.structs.replace(tuning, tx_gain_db=sending))
        self.receiver.configure(msgspec.structs.replace(tuning, rx_gain_db=receiving))

    def find_carrier(self) -> None:
        """Roughly, by a tone, unless it is within the probe's reach. Raises RadioLinkError if nothing is heard."""
        rate_hz = self.rig.radio.sample_rate_hz
        if self.medium is None:
            self.coarse_cfo_hz = hear_tone(self.sender, self.receiver, self.rig.radio, self._settle).offset_hz
        elif _largest_offset_hz(self.rig) > REACH * rate_hz / self.asked.period_samples:
            self.clock.begin_block(0, 1)
            heard = measure_carrier(self._received(carrier_tone(), TONE_SAMPLES)[0], rate_hz)
            if heard is None:
                raise RadioLinkError("its tone is not heard; look at air.path_loss_db and air.snr_db")
            self.coarse_cfo_hz = heard.offset_hz

    def take(self) -> Taken:
        """One capture of the repeated probe. Raises RadioError."""
        probe, rate_hz = probe_of(self.rig, self.asked), self.rig.radio.sample_rate_hz
        num_samples = int(self.asked.capture_s * rate_hz) // probe.period_samples * probe.period_samples
        self.clock.begin_block(self.num_blocks, 1)
        self.num_blocks += 1
        samples, first_sample = self._received(probe.samples(), num_samples)
        began_unix_s = time.time() - num_samples / rate_hz
        return Taken(
            samples=samples,
            sounding=sound(samples, probe, rate_hz, coarse_cfo_hz=self.coarse_cfo_hz),
            first_sample=first_sample,
            began_unix_s=began_unix_s,
        )

    def _received(self, frame: IQ, num_samples: int) -> tuple[IQ, int]:
        """What is heard of a repeated frame once it fills the air, and the sample at which that began."""
        settle = self._settle
        self.sender.start_cyclic(frame)
        try:
            if self.medium is None:
                began = self.receiver.clock_samples + settle
                return self.receiver.capture(num_samples, skip_samples=settle), began
            self.clock.elapse(settle)
            began = self.clock.clock_samples
            samples = self.receiver.capture(num_samples)
            if self.clock is self.sender:
                self.clock.elapse(num_samples)  # a device's captures move no clock
            return samples, began
        finally:
            self.sender.stop()

    @property
    def _settle(self) -> int:
        return _settling(self.rig, self.medium, probe_of(self.rig, self.asked))


def _largest_offset_hz(rig: Rig) -> float:
    """Of a simulated air's carriers."""
    transmitter = rig.air.transmitter
    crystal = 0.0 if transmitter.lo_corrected else transmitter.ppm_max * 1e-6
    return rig.air.cfo_max_hz + crystal * rig.radio.center_freq_hz


@contextmanager
def open_link(rig: Rig, asked: Asked, medium: Medium | None, device: int, direction: Direction) -> Iterator[OpenLink]:
    """Both radios of one link, untuned; silent and closed afterwards."""
    ends = (device, rig.num_devices) if direction == "uplink" else (rig.num_devices, device)
    with _open(rig, ends[0], medium) as sender, _open(rig, ends[1], medium) as receiver:
        clock = receiver if direction == "uplink" or medium is None else sender
        yield OpenLink(rig=rig, asked=asked, medium=medium, sender=sender, receiver=receiver, clock=clock)


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
