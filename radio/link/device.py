"""One device's end of a link: pilots and payloads out, and with reciprocity the access point's pilot in."""

from __future__ import annotations

import math

import numpy as np

from radio.arrays import Reals
from radio.backends.base import Radio, Scheduling, counting, movable_carrier
from radio.config import FrameConfig, RadioConfig
from radio.errors import SignalError
from radio.link.setup import LinkSetup
from radio.records import Csi, Plan
from radio.schemes.base import Scheme
from radio.waveform.base import Transmission
from radio.waveform.carrier import TONE_PERIOD_SAMPLES, TONE_SAMPLES, carrier_tone

VALUE_TOLERANCE = 1e-9  # relative to the bound: values arrive clipped, give or take rounding


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
        device: int,
        *,
        num_devices: int,
    ) -> None:
        self._setup = LinkSetup.of(scheme, frame, radio_config, num_devices, radio.capabilities)
        radio.configure(radio_config)
        self._radio = radio
        self._device = device

    def send_pilot(self, start_sample: int | None = None, *, after_samples: int = 0) -> int | None:
        """Send one sounding at full power, where samples are counted from `start_sample` or as soon as can be.

        On simulated air `after_samples` from now on. Returns the sample at which it starts, None where none are
        counted. Raises TooLateError.
        """
        return self._send(self._setup.waveform.pilot(), start_sample, after_samples)

    def send_tone(self, shift_hz: float) -> None:
        """Move the carrier, then send a tone by which the access point measures what is left of its offset."""
        if shift_hz:
            movable_carrier(self._radio).shift_carrier(shift_hz)
        num_samples = self._setup.frame.start_uncertainty_samples + TONE_SAMPLES
        self._send(Transmission(carrier_tone(), -(-num_samples // TONE_PERIOD_SAMPLES)))

    def hear_pilot(self) -> Csi:
        """The channel from the access point's sounding, which reciprocity makes the device's own.

        Phases are reciprocal on a shared clock only; power always is. Raises SignalError when nothing was heard.
        """
        waveform = self._setup.waveform
        first_sample = self._radio.clock_samples
        capture = self._radio.capture(waveform.sounding.capture_samples)
        noise_power = waveform.sounding_noise_power(capture)
        sounding = waveform.sound(capture, noise_power=noise_power, first_sample=first_sample, tracker=None)
        if not sounding.is_heard:
            raise SignalError(f"device {self._device}: the access point's pilot was not heard; it must send before")
        return sounding.reciprocal

    def send_values(
        self,
        values: Reals,
        plan: Plan,
        csi: Csi | None,
        secret: np.random.Generator | None = None,
        *,
        start_sample: int | None = None,
        after_samples: int = 0,
    ) -> None:
        """Send clipped and noised values [Q]; zeros in a silent round of a superposed scheme.

        Where samples are counted, `start_sample` is when, and raises TooLateError for one that has passed; on
        simulated air a slot begins `after_samples` from now.
        `secret` draws the phases of tones; by default it is seeded by the operating system. Raises SignalError for
        values that are not finite, not [Q], or beyond the plan's bound; for a device that the plan does not name; and
        for a plan that asks more than its power.
        """
        self._check(values, plan)
        symbols = self._setup.scheme.encode(values, plan, csi, self._setup.symbol_format)
        secret = secret or np.random.default_rng()
        payload = self._setup.waveform.payload(symbols, plan, csi, device=self._device, secret=secret)
        self._send(payload, start_sample, after_samples)

    def silence(self) -> None:
        """Stop whatever is on the air; safe to call twice."""
        self._radio.stop()

    def _send(self, sent: Transmission, start_sample: int | None = None, after_samples: int = 0) -> int | None:
        """On the radio's count where it is used; else now or in a later slot, with silence in front while the receiver
        begins."""
        if self._setup.counts_starts:
            if after_samples:
                raise SignalError(
                    f"device {self._device}: got after_samples={after_samples}; allowed: 0 where starts are counted; "
                    "give the start_sample of its slot"
                )
            return counting(self._radio).transmit_at(sent.frame, start_sample)
        frame, num_repeats = sent.frame, sent.num_repeats
        if self._setup.frame.control_latency_samples:
            lead = np.zeros(self._setup.frame.control_latency_samples, dtype=np.complex64)
            frame, num_repeats = np.concatenate((lead, np.tile(frame, num_repeats))), 1
        if after_samples == 0:
            self._radio.transmit(frame, num_repeats=num_repeats)
        elif isinstance(self._radio, Scheduling):
            self._radio.transmit_after(frame, num_repeats=num_repeats, after_samples=after_samples)
        else:  # a backend from outside, that knows no more than `transmit`: silence until its slot
            before = np.zeros(after_samples, dtype=np.complex64)
            self._radio.transmit(np.concatenate((before, np.tile(frame, num_repeats))), num_repeats=1)
        return None

    def _check(self, values: Reals, plan: Plan) -> None:
        if self._device not in plan.active:
            raise SignalError(f"device {self._device}: got a transmission; allowed: the plan's active {plan.active}")
        if values.shape != (plan.num_queries,):
            raise SignalError(f"device {self._device}: got values {values.shape}; allowed: ({plan.num_queries},)")
        largest = float(np.abs(values).max())
        if not largest <= plan.value_bound * (1 + VALUE_TOLERANCE) or not math.isfinite(largest):
            raise SignalError(
                f"device {self._device}: got a value beyond the plan's bound; allowed: finite, at most "
                f"{plan.value_bound:.6g} (clip + 4·noise_std); clip it, with its noise, before sending"
            )
