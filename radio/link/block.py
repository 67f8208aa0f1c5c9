"""One fading block, from the soundings to the estimate: a step that comes later does not exist before it can be taken.

`Block` sounds, `Channels` says who can transmit and receives the payload, `Reception` is what came of it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from radio.arrays import Complexes
from radio.errors import SignalError
from radio.link.bounds import ChannelBounds, Credit, Sounded, largest_amplitude
from radio.link.receiver import Receiver
from radio.link.reception import Captured, Reception, estimate_from
from radio.records import Csi, Plan, value_bound
from radio.schemes.alignment import Alignment, choose_alignment
from radio.waveform.base import Known
from radio.waveform.carrier import TONE_SAMPLES, CarrierOffset, measure_carrier
from radio.waveform.estimates import ChannelEstimate, Sounding
from radio.waveform.modulation import guard_span, in_band_noise, is_saturated, noise_power_of_guard

QUIET_SYMBOLS = 4
"""For how long an access point that hears no soundings listens before its own, so that a claim can count on the noise
from the first round on."""


def _poll_nobody(device: int) -> None:
    """Whoever sends has already begun, or waits for nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Slot:
    """When one of several devices sends, that are heard one behind the other."""

    device: int
    after_samples: int
    """From now on; 0 where starts are counted."""
    start_sample: int | None
    """On the device's own count; None where nobody counts."""


class Block:
    """A fading block that has begun: devices are heard, and the access point learns their channels."""

    def __init__(self, receiver: Receiver, round_index: int, attempt: int) -> None:
        receiver.radio.begin_block(round_index, attempt)
        self._receiver = receiver
        self._waveform = receiver.setup.waveform
        self._begin = receiver.radio.clock_samples
        self._soundings: dict[int, Sounding] = {}
        self._saturated = False
        self._arrivals: dict[int, int | None] = {}

    @property
    def airtime_s(self) -> float:
        """Air time since the block began, captured and elapsed."""
        receiver = self._receiver
        return (receiver.radio.clock_samples - self._begin) / receiver.setup.radio_config.sample_rate_hz

    @property
    def needs_sounding(self) -> bool:
        """Whether devices must be sounded before `channels`."""
        return self._receiver.needs_sounding

    @property
    def soundings(self) -> dict[int, Sounding]:
        """What was learned so far, by device."""
        return dict(self._soundings)

    # ---- where devices are in time and frequency

    def unaligned(self) -> list[int]:
        """Devices that must send an alignment frame first, for `hear_start`; none where nobody counts samples."""
        return self._receiver.starts.unaligned()

    def hear_start(self, device: int, start_sample: int) -> bool:
        """Capture a sounding that `device` started at a sample of its own count; False when it was not heard."""
        starts = self._receiver.starts
        first_sample = self._receiver.radio.clock_samples
        return starts.learn(device, start_sample, self._receiver.capture(starts.num_alignment_samples), first_sample)

    def hear_tone(self) -> CarrierOffset | None:
        """The carrier offset of the device that has just begun to send a tone; None when it was not heard."""
        setup = self._receiver.setup
        late = setup.frame.start_uncertainty_samples
        capture = self._receiver.capture(TONE_SAMPLES, skip_samples=late)
        self._receiver.radio.elapse(late)  # the end of a tone that began late
        return measure_carrier(capture, setup.radio_config.sample_rate_hz)

    # ---- soundings

    def measure_noise(self) -> float:
        """Capture a guard while nobody sends, and return N0 as known now."""
        frame = self._receiver.setup.frame
        receiver = self._receiver
        num_quiet = QUIET_SYMBOLS * frame.symbol_samples if receiver.counts_noise else 0
        capture = receiver.capture(frame.guard_samples + num_quiet)
        receiver.noise.update(noise_power_of_guard(capture, frame))
        if receiver.counts_noise and frame.is_symbol_level:
            receiver.in_band.update(in_band_noise(guard_span(capture, frame), frame))
        elif receiver.counts_noise:
            for quiet in np.split(capture[frame.guard_samples :], QUIET_SYMBOLS):
                receiver.in_band.update(in_band_noise(quiet, frame))
        return receiver.noise_power

    def pilot_slots(self, devices: Sequence[int]) -> tuple[Slot, ...]:
        """When these devices must send, so that a `sound` of each, in this order and with nothing between, hears them.

        Several at once on simulated air only, where time passes by captures alone.
        """
        receiver, lengths = self._receiver, self._waveform.sounding
        starts, now = receiver.starts, receiver.radio.clock_samples
        slots = []
        after_samples = 0
        for device in devices:
            self._arrivals[device] = arrival = starts.next_arrival(after_samples)
            start_sample = starts.start_of(device, arrival)
            counted = start_sample is not None
            slots.append(Slot(device=device, after_samples=0 if counted else after_samples, start_sample=start_sample))
            wait = 0 if arrival is None else arrival - now - after_samples
            after_samples += wait + lengths.settle_samples + lengths.capture_samples
        return tuple(slots)

    def start_of(self, device: int) -> int | None:
        """When, on its own count, a device must start its pilot for the coming `sound`; None where nobody counts."""
        return self.pilot_slots((device,))[0].start_sample

    def sound(self, device: int) -> Sounding:
        """Capture the sounding that `device` has started, and estimate its channel."""
        receiver, lengths = self._receiver, self._waveform.sounding
        if not 0 <= device < receiver.num_devices:
            raise SignalError(f"device: got {device}; allowed: 0..{receiver.num_devices - 1}")
        arrival = self._arrivals.pop(device, None)
        skip_samples = lengths.settle_samples + receiver.starts.wait_samples(arrival)
        first_sample = receiver.radio.clock_samples + skip_samples
        capture = receiver.capture(lengths.capture_samples, skip_samples=skip_samples)
        receiver.noise.update(self._waveform.sounding_noise_power(capture))
        receiver.in_band.update(self._waveform.sounding_in_band(capture))
        sounding = self._waveform.sound(
            capture,
            noise_power=receiver.noise_power,
            first_sample=first_sample,
            tracker=receiver.trackers[device],
        )
        self._saturated = self._saturated or is_saturated(capture, receiver.setup.frame)
        return self._remember(device, sounding)

    def send_pilot(self) -> None:
        """Send the access point's own sounding, from which devices learn their channels by reciprocity."""
        pilot, settle_samples = self._waveform.pilot(), self._waveform.sounding.settle_samples
        self._receiver.radio.transmit(pilot.frame, num_repeats=pilot.num_repeats)
        if settle_samples:
            self._receiver.radio.elapse(settle_samples)

    def learn(self, device: int, csi: Csi | None) -> Sounding:
        """Take in what `device` heard of the access point's sounding; its receiver is taken to be as noisy as this one.

        None is a device that heard nothing.
        """
        noise_power, now = self._receiver.noise_power, self._receiver.radio.clock_samples
        return self._remember(device, self._waveform.reported(csi, noise_power=noise_power, time_samples=now))

    def pass_pilot(self) -> None:
        """Let the time of the access point's own sounding pass, and end it."""
        self._receiver.radio.elapse(self._waveform.sounding.on_air_samples)
        self._receiver.radio.stop()

    # ---- what comes next

    def channels(self, present: Collection[int] | None = None) -> Channels:
        """Let the air time from sounding to payload pass, and extrapolate every sounded channel to then.

        Devices must start sending after this call, as the payload is expected at the next capture. Without sounding:
        the genie's gains, else ones; of the devices that are ``present``, by default all.
        """
        receiver = self._receiver
        arrival = receiver.starts.next_arrival()
        if not receiver.needs_sounding:
            known = receiver.unsounded_csi()
            return self._next({k: known[k] for k in known if present is None or k in present}, arrival)
        frame = receiver.setup.frame
        if arrival is None:
            receiver.radio.elapse(frame.sounding_to_payload_samples)
        begin = receiver.radio.clock_samples if arrival is None else arrival
        first_symbol_time = begin + frame.first_symbol_samples
        csi = {device: sounding.csi_at(first_symbol_time) for device, sounding in sorted(self._soundings.items())}
        return self._next(csi, arrival)

    def told(self, csi: Mapping[int, Csi]) -> Channels:
        """Channels that somebody knows already; no air time passes."""
        return self._next(csi, self._receiver.starts.next_arrival())

    def _next(self, csi: Mapping[int, Csi], arrival: int | None) -> Channels:
        return Channels(
            self._receiver,
            csi,
            dict(self._soundings),
            begin=self._begin,
            arrival=arrival,
            saturated=self._saturated,
        )

    def _remember(self, device: int, sounding: Sounding) -> Sounding:
        self._soundings[device] = sounding
        self._receiver.link_power.update(abs(sounding.gain) ** 2)
        return sounding


class Channels:
    """What is known of every channel at the coming payload; made by `Block.channels`."""

    def __init__(
        self,
        receiver: Receiver,
        csi: Mapping[int, Csi],
        soundings: Mapping[int, Sounding],
        *,
        begin: int,
        arrival: int | None,
        saturated: bool,
    ) -> None:
        """`begin` is the block's first sample, `arrival` the payload's where starts are counted."""
        self.csi: dict[int, Csi] = dict(csi)
        """What each device is told of its own channel."""
        self._receiver = receiver
        self._soundings = soundings
        self._begin = begin
        self._arrival = arrival
        self._saturated = saturated

    @property
    def noise_variance(self) -> float:
        """N0' = Var(Re z) of a symbol after the matched filter, as known now."""
        return self._receiver.noise_variance

    def credit(self, alignment: Alignment, bounds: ChannelBounds, failure: float, *, num_queries: int) -> Credit:
        """What a claim may count on in a payload of these devices; each bound fails with probability ``failure``.

        A device sends |α_k| = c|ĥ|/(|ĥ|² + λ) at most, so that |h_k α_k| ≤ c·|h_k||ĥ_k|/(|ĥ_k|² + λ).
        """
        receiver = self._receiver
        begin = receiver.radio.clock_samples if self._arrival is None else self._arrival
        plan = Plan(gain=0.0, artificial_noise_std=0.0, clip=1.0, num_queries=num_queries, active=alignment.active)
        end = begin + receiver.setup.waveform.payload_lengths(plan).on_air_samples
        loudest = receiver.in_band.largest(failure)
        known = [self._sounded(device, end, loudest) for device in alignment.active]
        margins = [
            largest_amplitude(each, bounds, failure) * each.amplitude / (each.amplitude**2 + alignment.ridge)
            for each in known
            if each.amplitude > 0
        ]
        return Credit(
            noise_variance=receiver.least_noise_variance(bounds.noise_power, failure),
            margin=max(margins, default=1.0),
        )

    def _sounded(self, device: int, end: int, loudest: float) -> Sounded:
        """What is known of a device before a payload that ends at a sample; of a told channel, that it is so now.

        loudest: the most that noise in the band may be, in power.
        """
        receiver, sounding = self._receiver, self._soundings.get(device)
        frame, rate_hz = receiver.setup.frame, receiver.setup.radio_config.sample_rate_hz
        if not isinstance(sounding, ChannelEstimate):
            return Sounded(
                amplitude=abs(self.csi[device].gain),
                variance=0.0,
                elapsed_s=(end - receiver.radio.clock_samples) / rate_hz,
            )
        spacing = frame.pilot_spacing_symbols * frame.symbol_samples
        heard = sounding.noise_power
        worse = max(1.0, loudest / heard) if heard > 0 else 1.0
        return Sounded(
            amplitude=abs(sounding.gain),
            variance=sounding.gain_variance * worse,
            elapsed_s=(end - sounding.time_samples + spacing / 2) / rate_hz,
            cfo_hz=sounding.cfo_hz,
            spacing_s=spacing / rate_hz,
            block_s=frame.samples_per_symbol / rate_hz,
        )

    def align(self, *, clip: float, noise_std: float, num_queries: int = 1) -> Alignment:
        """Who transmits, and with which gain at most, by the rule; gain 0 when nobody can."""
        receiver = self._receiver
        heard = {k for k in self.csi if k not in self._soundings or self._soundings[k].is_heard}
        return choose_alignment(
            self.csi,
            receiver.rule,
            bound=value_bound(clip, noise_std),
            num_queries=num_queries,
            scheme=receiver.setup.scheme,
            waveform=receiver.setup.waveform,
            max_amplitude=receiver.setup.symbol_format.max_amplitude,
            heard=heard,
            mean_power=receiver.link_power.power,
            noise_variance=self.noise_variance if receiver.rule.name == "regularised" else 0.0,
            value_power=receiver.value_power(clip),
        )

    def starts(self, plan: Plan) -> dict[int, int]:
        """When, on its own count, each active device must start its payload; empty where nobody counts."""
        starts = {device: self._receiver.starts.start_of(device, self._arrival) for device in plan.active}
        return {device: start for device, start in starts.items() if start is not None}

    def payload_slots(self, plan: Plan) -> tuple[Slot, ...]:
        """When each active device sends its payload on simulated air, so that `receive` needs no polls; none where all
        payloads are one superposition."""
        if self._receiver.setup.scheme.superposed:
            return ()
        lengths = self._receiver.setup.waveform.payload_lengths(plan)
        slot_samples = lengths.settle_samples + lengths.capture_samples
        return tuple(
            Slot(device=device, after_samples=index * slot_samples, start_sample=None)
            for index, device in enumerate(plan.active)
        )

    def receive(self, plan: Plan, poll: Callable[[int], None] = _poll_nobody) -> Reception:
        """Capture what the active devices send, and estimate their mean.

        They have started a superposed payload already. Of slotted schemes `poll(device)` lets each one start, right
        before its slot is captured; none is needed where all were told their `payload_slots`.
        """
        receiver, scheme = self._receiver, self._receiver.setup.scheme
        captured: list[Captured] = []
        began, polling_s = time.perf_counter(), 0.0
        if scheme.superposed:
            captured.append(self._capture(plan, None))
        else:
            for device in plan.active:
                polled = time.perf_counter()
                poll(device)
                polling_s += time.perf_counter() - polled
                captured.append(self._capture(plan, device))
        estimate, received = estimate_from(captured, plan, scheme, receiver.setup.waveform)
        if scheme.superposed and estimate.rejected is None and not scheme.votes:
            receiver.values.update(estimate.values, estimate.error_variance, len(plan.active))
        return Reception(
            estimate=estimate,
            captured=tuple(captured),
            symbols=received[0].symbols if scheme.superposed else np.zeros(0, dtype=np.complex128),
            airtime_s=(receiver.radio.clock_samples - self._begin) / receiver.setup.radio_config.sample_rate_hz,
            radio_s=time.perf_counter() - began - polling_s,
        )

    def _capture(self, plan: Plan, device: int | None) -> Captured:
        receiver, waveform = self._receiver, self._receiver.setup.waveform
        soundings = {each: self._soundings[each] for each in plan.active if each in self._soundings}
        gains = self._gains_of(plan)
        lengths = waveform.payload_lengths(plan)
        skip_samples = lengths.settle_samples + receiver.starts.wait_samples(self._arrival)
        first_sample = receiver.radio.clock_samples + skip_samples
        capture = receiver.capture(lengths.capture_samples, skip_samples=skip_samples)
        began_unix_s = time.time() - capture.size / receiver.setup.radio_config.sample_rate_hz
        receiver.noise.update(waveform.payload_noise_power(capture))
        receiver.in_band.update(waveform.payload_in_band(capture))
        known = Known(
            soundings=soundings,
            gains=gains,
            noise_power=receiver.noise_power,
            first_sample=first_sample,
            saturated=self._saturated,
            value_power=receiver.value_power(plan.clip),
        )
        return Captured(samples=capture, known=known, device=device, began_unix_s=began_unix_s)

    def _gains_of(self, plan: Plan) -> Complexes:
        """ĥ of the active devices, ones where nobody knows."""
        if self._receiver.genie is not None:
            return self._receiver.genie().gains[list(plan.active)]
        gains = [self._soundings[k].gain if k in self._soundings else 1.0 for k in plan.active]
        return np.array(gains, dtype=np.complex128)
