"""One device's end of a link: pilots and payloads out, and with reciprocity the access point's pilot in."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from radio.backends.base import Radio, counting, movable_carrier
from radio.config import FrameConfig, RadioConfig
from radio.errors import SignalError
from radio.link.setup import counted_frame, counts_starts
from radio.records import Csi, Plan
from radio.samples import IQ
from radio.schemes.base import Scheme
from radio.schemes.precoding import precode
from radio.schemes.registry import check_support
from radio.waveform.block import modulate, noise_power_of_guard
from radio.waveform.carrier import TONE_PERIOD_SAMPLES, TONE_SAMPLES, carrier_tone
from radio.waveform.format import SymbolFormat
from radio.waveform.layouts import fill_slot, payload_layout, slot_layout
from radio.waveform.misalignment import MAX_CODES, code_of, pilot_codes
from radio.waveform.pilots import (
    PeriodTiming,
    estimate_powers,
    estimate_symbols,
    symbol_pilot,
    tone_pilot,
)
from radio.waveform.tones import PILOT_SHARE, draw_period, random_tones, tone_layout

VALUE_TOLERANCE = 1e-9  # relative to the bound: values arrive clipped, give or take rounding


def num_pilot_codes(num_devices: int) -> int:
    """One a device and one that is nobody's; none where they would not fit."""
    return num_devices + 1 if num_devices < MAX_CODES else 0


def num_pilot_tones(scheme: Scheme, frame: FrameConfig, num_devices: int) -> int:
    """Only devices whose power is controlled have pilot tones, as only theirs are known to arrive."""
    return num_devices + 1 if scheme.needs_sounding and not frame.is_symbol_level else 0


class DeviceLink:
    """One device's transmitter; configures its radio.

    Raises SchemeUnsupportedError when the rig lacks what the scheme needs, RadioConfigError for bad tuning.
    """

    def __init__(
        self,
        radio: Radio,
        radio_config: RadioConfig,
        frame: FrameConfig,
        scheme: Scheme,
        device_index: int,
        *,
        num_devices: int,
    ) -> None:
        check_support(scheme, radio.capabilities)
        radio.configure(radio_config)
        self._radio = radio
        self._radio_config = radio_config
        self._counts_starts = counts_starts(scheme, radio.capabilities, frame)
        self._frame = counted_frame(frame) if self._counts_starts else frame
        self._scheme = scheme
        self._device = device_index
        self._num_devices = num_devices
        self._format = SymbolFormat.of(frame, radio_config)
        self._uses_tones = scheme.waveform == "tones"

    def send_pilot(self, start_sample: int | None = None) -> int | None:
        """Send one sounding at full power, where samples are counted from `start_sample` or as soon as can be.

        Returns the sample at which it starts, None where none are counted. Raises TooLateError.
        """
        if self._uses_tones:
            timing = PeriodTiming.of(self._frame, self._frame.tone_sounding_samples)
            return self._send(tone_pilot(self._frame, self._radio_config), num_repeats=timing.num_repeats)
        return self._send(symbol_pilot(self._frame, self._format), start_sample=start_sample)

    def send_tone(self, shift_hz: float) -> None:
        """Move the carrier, then send a tone by which the access point measures what is left of its offset."""
        if shift_hz:
            movable_carrier(self._radio).shift_carrier(shift_hz)
        num_samples = self._frame.start_uncertainty_samples + TONE_SAMPLES
        self._send(carrier_tone(), num_repeats=-(-num_samples // TONE_PERIOD_SAMPLES))

    def hear_pilot(self) -> Csi:
        """The channel from the access point's sounding, which reciprocity makes the device's own.

        Phases are reciprocal on a shared clock only; power always is. Raises SignalError when nothing was heard.
        """
        if self._uses_tones:
            estimate = estimate_powers(
                self._radio.capture(self._frame.tone_sounding_samples), self._frame, self._radio_config
            )
            if estimate.is_heard:
                return Csi(gain=estimate.gain, resource_powers=estimate.resource_powers)
        else:
            num_symbols = self._frame.pilot_spacing_symbols + 1
            first_sample = self._radio.clock_samples
            capture = self._radio.capture(self._frame.num_capture_samples(num_symbols))
            channel = estimate_symbols(
                capture, self._frame, self._radio_config,
                noise_power=noise_power_of_guard(capture, self._frame), first_sample=first_sample, tracker=None,
            )  # fmt: skip
            if channel.is_heard:
                return Csi(gain=channel.gain)
        raise SignalError(f"device {self._device}: the access point's pilot was not heard; it must send before")

    def send_values(
        self,
        values: NDArray[np.float64],
        plan: Plan,
        csi: Csi | None,
        secret: np.random.Generator | None = None,
        *,
        start_sample: int | None = None,
    ) -> None:
        """Send clipped and noised values [Q]; zeros in a silent round of a superposed scheme.

        Where samples are counted, `start_sample` is when; raises TooLateError for one that has passed.
        `secret` draws the phases of tones; by default it is seeded by the operating system. Raises SignalError for
        values that are not finite, not [Q], or beyond the plan's bound; for a device that the plan does not name; and
        for a plan that asks more than its power.
        """
        self._check(values, plan)
        symbols = self._scheme.encode(values, plan, csi, self._format)
        if self._uses_tones:
            timing = PeriodTiming.of(self._frame, self._frame.tone_period_samples)
            period = self._tone_period(symbols, plan, csi, secret or np.random.default_rng())
            self._send(period, num_repeats=timing.num_repeats)
        elif self._scheme.superposed:
            self._send(self._payload_frame(symbols, plan, csi), start_sample=start_sample)
        else:
            amplitude = self._format.max_amplitude
            slot = fill_slot(symbols, slot_layout(symbols.size), pilot_amplitude=amplitude)
            self._send(modulate(slot, self._frame, max_amplitude=amplitude, sync_amplitude=amplitude))

    def silence(self) -> None:
        """Stop whatever is on the air; safe to call twice."""
        self._radio.stop()

    def _send(self, frame: IQ, *, num_repeats: int = 1, start_sample: int | None = None) -> int | None:
        """On the radio's count where it is used; else now, with silence in front while the receiver begins."""
        if self._counts_starts:
            return counting(self._radio).transmit_at(frame, start_sample)
        if self._frame.control_latency_samples:
            lead = np.zeros(self._frame.control_latency_samples, dtype=np.complex64)
            frame, num_repeats = np.concatenate((lead, np.tile(frame, num_repeats))), 1
        self._radio.transmit(frame, num_repeats=num_repeats)
        return None

    def _payload_frame(self, symbols: NDArray[np.complex128], plan: Plan, csi: Csi | None) -> IQ:
        """Pilots of this device's code around the symbols, all with one precoding that follows the carrier."""
        num_codes = num_pilot_codes(self._num_devices)
        layout = payload_layout(num_codes, symbols.size)
        whole = np.zeros(layout.num_symbols, dtype=np.complex128)
        reference = self._precode(np.full(layout.num_symbols, plan.value_bound, dtype=np.complex128), plan, csi)
        if num_codes:
            code = pilot_codes(num_codes)[code_of(self._device, plan.round_index, num_codes)]
            whole[layout.before] = reference[layout.before] * code
            whole[layout.after] = reference[layout.after] * code
        # symbols were encoded for the payload's start; the carrier has turned since the channel was told
        turn = reference[layout.values[0]] / reference[0] if reference[0] != 0 else 1.0
        whole[layout.values] = symbols * turn
        amplitude = self._format.max_amplitude
        sync_amplitude = complex(reference[0])
        return modulate(whole, self._frame, max_amplitude=amplitude, sync_amplitude=sync_amplitude)

    def _precode(self, values: NDArray[np.complex128], plan: Plan, csi: Csi | None) -> NDArray[np.complex128]:
        assert csi is not None, "encode refuses to work without"
        max_factor = self._format.max_amplitude / plan.value_bound
        return precode(
            values,
            gain=plan.gain,
            csi=csi,
            symbol_period_s=self._format.period_s,
            ridge=plan.ridge,
            max_factor=max_factor,
        )

    def _tone_period(
        self, amplitudes: NDArray[np.complex128], plan: Plan, csi: Csi | None, secret: np.random.Generator
    ) -> IQ:
        num_samples = self._frame.tone_period_samples
        num_pilots = num_pilot_tones(self._scheme, self._frame, self._num_devices)
        layout = tone_layout(num_samples, plan.num_queries, num_pilots)
        powers = np.abs(amplitudes.reshape(plan.num_queries, 2)) ** 2
        pilot = code_of(self._device, plan.round_index, num_pilots) if num_pilots else 0
        pilot_power = 0.0
        if num_pilots and csi is not None and csi.resource_powers is not None:
            pilot_power = pilot_arrival_power(plan) / (sum(csi.resource_powers) / 2)
        if self._frame.is_symbol_level:
            return random_tones(powers, pilot_power, pilot, layout, num_samples, secret).astype(np.complex64)
        return draw_period(powers, pilot_power, pilot, layout, num_samples, secret)

    def _check(self, values: NDArray[np.float64], plan: Plan) -> None:
        if self._device not in plan.active:
            raise SignalError(f"device {self._device}: got a transmission; allowed: the plan's active {plan.active}")
        if values.shape != (plan.num_queries,):
            raise SignalError(f"device {self._device}: got values {values.shape}; allowed: ({plan.num_queries},)")
        largest = float(np.abs(values).max())
        if not largest <= plan.value_bound * (1 + VALUE_TOLERANCE) or not math.isfinite(largest):
            raise SignalError(
                f"device {self._device}: got a value of magnitude {largest:.6g}; allowed: at most "
                f"{plan.value_bound:.6g} (clip + 4·noise_std); clip it, with its noise, before sending"
            )


def pilot_arrival_power(plan: Plan) -> float:
    """At which power every device's pilot tones arrive: the pilots' share of what full values arrive with."""
    return plan.gain * plan.value_bound * plan.num_queries * PILOT_SHARE / (1 - PILOT_SHARE)
