"""The access point's end of all links: soundings, alignment, reception, and what it remembers from round to round.

A round: begin_block → capture_pilot per device → predict_csi → align → (plan; devices start sending) →
receive_superposed, or receive_slot per device and combine.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import replace

import numpy as np

from radio.air.channel import Truth
from radio.arrays import Complexes
from radio.backends.base import Radio
from radio.config import FrameConfig, RadioConfig
from radio.errors import RadioConfigError, SignalError
from radio.link.meters import NoiseMeter, ValueMeter
from radio.link.payloads import PayloadReceiver
from radio.link.setup import check_setup, counted_frame, counts_starts
from radio.link.starts import CountedStarts
from radio.records import Csi, Estimate, Plan, Received, value_bound
from radio.samples import IQ, check_capture
from radio.schemes.alignment import choose_alignment
from radio.schemes.base import Scheme
from radio.schemes.precoding import Alignment, AlignmentRule
from radio.schemes.registry import check_support
from radio.waveform.block import (
    is_saturated,
    matched_filter,
    noise_power_of_guard,
    real_noise_variance,
)
from radio.waveform.carrier import TONE_SAMPLES, CarrierOffset, measure_carrier
from radio.waveform.estimates import ChannelEstimate, PowerEstimate
from radio.waveform.format import SymbolFormat
from radio.waveform.layouts import equalise_slot, slot_layout
from radio.waveform.pilots import (
    PeriodTiming,
    estimate_powers,
    estimate_symbols,
    find_frame,
    reported_gain,
    reported_powers,
    symbol_pilot,
    tone_pilot,
)
from radio.waveform.trackers import CfoTracker

UNIT_CSI = Csi(gain=1.0 + 0.0j)


class AccessPointLink:
    """The access point's receiver, its channel estimates and its memory of offsets, noise, links and values."""

    def __init__(
        self,
        radio: Radio,
        radio_config: RadioConfig,
        frame: FrameConfig,
        scheme: Scheme,
        num_devices: int,
        *,
        rule: AlignmentRule | None = None,
        genie: Callable[[], Truth] | None = None,
    ) -> None:
        """`genie` replaces sounding by the air's own truth (symbol level only)."""
        if genie is not None and not frame.is_symbol_level:
            raise RadioConfigError("csi: got 'genie' on a sample-level frame; allowed on the symbol level only")
        check_support(scheme, radio.capabilities)
        self._uses_tones = scheme.waveform == "tones"
        self._rule = rule or AlignmentRule()
        check_setup(scheme, frame, radio_config, self._rule, radio.capabilities)
        radio.configure(radio_config)
        self._radio = radio
        self._radio_config = radio_config
        counts = counts_starts(scheme, radio.capabilities, frame)
        self.starts = CountedStarts(radio, radio_config, frame, num_devices, used=counts)
        """When devices must start, where that is by counting samples."""
        self._frame = frame = counted_frame(frame) if counts else frame
        self._scheme = scheme
        self._num_devices = num_devices
        self._genie = genie
        self._format = SymbolFormat.of(frame, radio_config)
        self._payloads = PayloadReceiver(frame, radio_config, scheme, num_devices)
        bound_hz = 0.0 if frame.is_symbol_level else radio_config.residual_cfo_max_hz
        self._trackers = [CfoTracker.within(bound_hz) for _ in range(num_devices)]
        self._noise = NoiseMeter()
        self._link_power = NoiseMeter()
        self._values = ValueMeter()
        self._last_capture: IQ = np.zeros(0, dtype=np.complex64)
        self._last_symbols = np.zeros(0, dtype=np.complex128)
        self._saturated = False
        self._elapsed_to_payload = False
        self._start_block()

    @property
    def needs_sounding(self) -> bool:
        """Whether devices must send pilots before the payload."""
        return self._scheme.needs_sounding and self._genie is None

    @property
    def last_capture(self) -> IQ:
        """The latest capture, shape [N], for plots and recordings."""
        return self._last_capture

    @property
    def last_symbols(self) -> Complexes:
        """y, the latest superposed values after the matched filter, turned upright, shape [S]; empty for tones."""
        return self._last_symbols

    @property
    def channel_estimates(self) -> dict[int, ChannelEstimate | PowerEstimate]:
        """This block's soundings by device."""
        return dict(self._estimates)

    @property
    def airtime_s(self) -> float:
        """Air time since the block began, captured and elapsed."""
        return (self._radio.clock_samples - self._block_start) / self._radio_config.sample_rate_hz

    @property
    def max_amplitude(self) -> float:
        """The largest symbol magnitude that any device may send."""
        return self._format.max_amplitude

    @property
    def noise_power(self) -> float:
        """N0, total per complex sample: the mean over the noise heard so far (the truth with a genie).

        Raises SignalError before the first capture.
        """
        if self._genie is not None:
            return self._genie().noise_power
        if self._noise.num_captures == 0:
            raise SignalError("noise_power: nothing was captured yet; sound a device, or call measure_noise() first")
        return self._noise.power

    @property
    def noise_variance(self) -> float:
        """N0' = Var(Re z) of a symbol after the matched filter: N0/(2N)."""
        return real_noise_variance(self.noise_power, self._frame)

    @property
    def num_noise_samples(self) -> float:
        """How many complex samples `noise_power` is the mean of, at least; infinite with a genie."""
        if self._genie is not None:
            return math.inf
        fewest = self._frame.guard_samples * 3 // 4
        if not self._frame.is_symbol_level:
            gap = self._frame.symbol_samples - self._frame.cyclic_prefix_samples * 3 // 2
            fewest = min(fewest, gap) - 1  # a constant was taken out
        return self._noise.num_captures * fewest

    def begin_block(self, round_index: int, attempt: int) -> None:
        """Start a round, or another attempt: forgets channels, but neither carrier offsets nor the noise."""
        self._radio.begin_block(round_index, attempt)
        self._start_block()

    def measure_noise(self) -> float:
        """Capture a guard while nobody sends, and return N0 as known now."""
        self._capture(self._frame.guard_samples)
        self._noise.update(noise_power_of_guard(self._last_capture, self._frame))
        return self.noise_power

    def capture_alignment(self, device: int, start_sample: int) -> bool:
        """Capture a sounding that `device` started at a sample of its own count; False when it was not heard."""
        first_sample = self._radio.clock_samples
        capture = self._capture(self.starts.num_alignment_samples)
        return self.starts.learn(device, start_sample, capture, first_sample)

    def capture_tone(self) -> CarrierOffset | None:
        """The carrier offset of the device that has just begun to send a tone; None when it was not heard."""
        late = self._frame.start_uncertainty_samples
        capture = self._capture(TONE_SAMPLES, skip_samples=late)
        self._radio.elapse(late)  # the end of a tone that began late
        return measure_carrier(capture, self._radio_config.sample_rate_hz)

    def send_pilot(self) -> None:
        """Send the access point's own sounding, from which devices learn their channels by reciprocity."""
        if self._uses_tones:
            timing = PeriodTiming.of(self._frame, self._frame.tone_sounding_samples)
            self._radio.transmit(tone_pilot(self._frame, self._radio_config), num_repeats=timing.num_repeats)
            self._radio.elapse(timing.settle_samples)
        else:
            self._radio.transmit(symbol_pilot(self._frame, self._format), num_repeats=1)

    def learn_csi(self, device: int, csi: Csi | None) -> ChannelEstimate | PowerEstimate:
        """Take in what `device` heard of the access point's sounding; its receiver is taken to be as noisy as this one.

        None is a device that heard nothing.
        """
        if self._uses_tones:
            powers = csi.resource_powers if csi is not None else None
            estimate: ChannelEstimate | PowerEstimate = reported_powers(
                powers or (0.0, 0.0), self._frame, self._radio_config, noise_power=self.noise_power
            )
        else:
            gain = csi.gain if csi is not None else 0j
            estimate = reported_gain(
                gain, self._frame, self._radio_config, noise_power=self.noise_power, time=self._radio.clock_samples
            )
        self._remember(device, estimate)
        return estimate

    def pass_pilot(self) -> None:
        """Let the time of the access point's own sounding pass, and end it."""
        num_symbols = self._frame.pilot_spacing_symbols + 1
        length = self._frame.tone_sounding_samples if self._uses_tones else self._frame.num_samples(num_symbols)
        self._radio.elapse(length)
        self._radio.stop()

    def capture_pilot(self, device: int) -> ChannelEstimate | PowerEstimate:
        """Capture the sounding that `device` has just started, and estimate its channel."""
        if not 0 <= device < self._num_devices:
            raise SignalError(f"device: got {device}; allowed: 0..{self._num_devices - 1}")
        estimate: ChannelEstimate | PowerEstimate
        if self._uses_tones:
            timing = PeriodTiming.of(self._frame, self._frame.tone_sounding_samples)
            capture = self._capture(self._frame.tone_sounding_samples, skip_samples=timing.settle_samples)
            estimate = estimate_powers(capture, self._frame, self._radio_config)
            self._noise.update(estimate.noise_power)
        else:
            wait = self.starts.samples_to_arrival()
            first_sample = self._radio.clock_samples + wait
            num_samples = self._frame.num_capture_samples(self._frame.pilot_spacing_symbols + 1)
            capture = self._capture(num_samples, skip_samples=wait)
            self._noise.update(noise_power_of_guard(capture, self._frame))
            estimate = estimate_symbols(
                capture, self._frame, self._radio_config,
                noise_power=self.noise_power, first_sample=first_sample, tracker=self._trackers[device],
            )  # fmt: skip
        self._saturated = self._saturated or is_saturated(self._last_capture, self._frame)
        self._remember(device, estimate)
        return estimate

    def predict_csi(self) -> dict[int, Csi]:
        """Let the air time from sounding to payload pass, and extrapolate every sounded channel to now.

        Devices must start sending after this call, as the payload is expected at the next capture. Called
        again, it extrapolates to the new present without waiting. Without sounding: the genie's gains, else ones.
        """
        if not self.needs_sounding:
            return self._csi_without_sounding()
        arrival = self.starts.renew()
        if arrival is None and not self._elapsed_to_payload:
            self._radio.elapse(self._frame.sounding_to_payload_samples)
            self._elapsed_to_payload = True
        begin = self._radio.clock_samples if arrival is None else arrival
        first_symbol_time = begin + self._frame.first_symbol_samples
        told: dict[int, Csi] = {}
        for device, estimate in sorted(self._estimates.items()):
            if isinstance(estimate, PowerEstimate):
                told[device] = Csi(gain=estimate.gain, resource_powers=estimate.resource_powers)
            else:
                told[device] = Csi(gain=complex(estimate.at(first_symbol_time)), cfo_hz=estimate.cfo_hz)
        return told

    def align(self, csi: Mapping[int, Csi], *, clip: float, noise_std: float, num_queries: int = 1) -> Alignment:
        """Who transmits, and with which gain at most, by the rule; gain 0 when nobody can."""
        heard = {k for k in csi if self._genie is not None or k not in self._estimates or self._estimates[k].is_heard}
        return choose_alignment(
            csi,
            self._rule,
            bound=value_bound(clip, noise_std),
            num_queries=num_queries,
            scheme=self._scheme,
            symbol_format=self._format,
            heard=heard,
            mean_power=self._link_power.power,
            noise_variance=self.noise_variance if self._rule.name == "regularised" else 0.0,
            value_power=self._value_power(clip),
        )

    def receive_superposed(self, plan: Plan) -> Estimate:
        """Capture the payload that the active devices have started, and estimate their mean."""
        known = {device: self._estimates[device] for device in plan.active if device in self._estimates}
        gains = self._gains_of(plan)
        if self._uses_tones:
            timing = PeriodTiming.of(self._frame, self._frame.tone_period_samples)
            capture = self._capture(self._frame.tone_period_samples, skip_samples=timing.settle_samples)
            received = self._payloads.tones(capture, plan, known)
            self._noise.update(received.quality["noise_power"])
        else:
            wait = self.starts.samples_to_arrival()
            first_time = self._radio.clock_samples + wait + self._frame.first_symbol_samples
            num_samples = self._frame.num_samples(self._payloads.num_symbols(plan))
            capture = self._capture(num_samples, skip_samples=wait)
            self._noise.update(self._payloads.noise_power(capture))
            received = self._payloads.symbols(
                capture, plan, known, gains, noise_variance=self.noise_variance, first_time=first_time
            )
        self._last_symbols = received.symbols
        received = replace(
            received,
            noise_variance=self.noise_variance,
            symbol_snr_db=self._symbol_snr_db(float(np.mean(np.abs(gains) ** 2)) if gains.size else 1.0),
            saturated=self._saturated or is_saturated(self._last_capture, self._frame),
            value_power=self._value_power(plan.clip),
        )
        estimate = self._scheme.estimate([received], plan)
        if estimate.rejected is None and not self._scheme.votes:
            self._values.update(estimate.values, estimate.error_variance, len(plan.active))
        return estimate

    def receive_slot(self, device: int, plan: Plan) -> None:
        """Capture the slot that `device` has just started; `combine` uses it."""
        layout = slot_layout(self._scheme.frame_symbols(plan.num_queries))
        capture = self._capture(self._frame.num_capture_samples(layout.num_symbols))
        self._noise.update(noise_power_of_guard(capture, self._frame))
        problem = None
        if self._frame.start_uncertainty_samples > 0:
            capture, found = find_frame(
                capture, layout.num_symbols, self._frame,
                amplitude=self._format.max_amplitude, sample_rate_hz=self._radio_config.sample_rate_hz,
            )  # fmt: skip
            problem = None if found else "no frame was found in its slot; it was silent, late or too weak"
        symbols = matched_filter(capture, layout.num_symbols, self._frame)
        data, gain_power = equalise_slot(symbols, layout, pilot_amplitude=self._format.max_amplitude)
        self._slots[device] = Received(
            symbols=data,
            noise_variance=self.noise_variance / gain_power if gain_power > 0 else math.inf,
            symbol_snr_db=self._symbol_snr_db(gain_power),
            saturated=is_saturated(self._last_capture, self._frame),
            device=device,
            problem=problem,
        )

    def combine(self, plan: Plan) -> Estimate:
        """Estimate the mean from this block's slots."""
        return self._scheme.estimate(list(self._slots.values()), plan)

    def _start_block(self) -> None:
        self._estimates: dict[int, ChannelEstimate | PowerEstimate] = {}
        self._slots: dict[int, Received] = {}
        self._elapsed_to_payload = False
        self._saturated = False
        self.starts.reset()
        self._block_start = self._radio.clock_samples

    def _remember(self, device: int, estimate: ChannelEstimate | PowerEstimate) -> None:
        self._estimates[device] = estimate
        self._link_power.update(abs(estimate.gain) ** 2)
        self._elapsed_to_payload = False

    def _capture(self, num_samples: int, *, skip_samples: int = 0) -> IQ:
        capture = self._radio.capture(num_samples, skip_samples=skip_samples)
        check_capture(capture, num_samples)
        self._last_capture = capture
        return capture

    def _value_power(self, clip: float) -> float:
        return 1.0 if self._scheme.votes else self._values.prior(clip)

    def _csi_without_sounding(self) -> dict[int, Csi]:
        if self._genie is None:
            return dict.fromkeys(range(self._num_devices), UNIT_CSI)
        powers = np.abs(self._genie().gains) ** 2
        return {
            device: Csi(gain=complex(gain), resource_powers=(float(power), float(power)))
            for device, (gain, power) in enumerate(zip(self._genie().gains, powers, strict=True))
        }

    def _gains_of(self, plan: Plan) -> Complexes:
        """ĥ of the active devices, ones where nobody knows."""
        if self._genie is not None:
            return self._genie().gains[list(plan.active)]
        gains = [self._estimates[k].gain if k in self._estimates else 1.0 for k in plan.active]
        return np.array(gains, dtype=np.complex128)

    def _symbol_snr_db(self, gain_power: float) -> float:
        variance = self.noise_variance
        if variance == 0:
            return math.inf
        snr = self._radio_config.max_power * gain_power / variance
        return 10 * math.log10(snr) if snr > 0 else -math.inf
