"""Thin shells that join a radio, a frame and a scheme: all that a round needs of the radio layer.

A round, as the access point sees it: begin_block → capture_pilot per device → predict_csi → (plan; devices
start sending) → receive_superposed, or receive_slot per device and combine.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray

from radio.backend import IQ, Radio
from radio.channel import Truth
from radio.config import FrameConfig, RadioConfig
from radio.errors import RadioConfigError, SignalError
from radio.precoding import Csi, alignment_gain
from radio.schemes import check_support
from radio.schemes.base import Estimate, Received, Scheme, SymbolFormat, TransmitPlan
from radio.sounding import (
    MAX_DATA_BETWEEN_PILOTS,
    CfoTracker,
    ChannelEstimate,
    NoiseMeter,
    SlotLayout,
    check_unambiguous,
    equalise_slot,
    estimate_channel,
    fill_slot,
    slot_layout,
    sounding_layout,
)
from radio.waveform import (
    is_saturated,
    matched_filter,
    modulate,
    noise_power_of_guard,
    real_noise_variance,
)

VALUE_TOLERANCE = 1e-9  # relative to the bound: values arrive clipped, give or take rounding
UNIT_CSI = Csi(gain=1.0 + 0.0j)


class DeviceLink:
    """One device's transmitter; configures its radio.

    Raises SchemeUnsupportedError when the rig lacks what the scheme needs, RadioConfigError for bad tuning.
    """

    def __init__(
        self, radio: Radio, radio_config: RadioConfig, frame: FrameConfig, scheme: Scheme, device_index: int
    ) -> None:
        check_support(scheme, radio.capabilities)
        radio.configure(radio_config)
        self._radio = radio
        self._frame = frame
        self._scheme = scheme
        self._device = device_index
        self._format = SymbolFormat.of(frame, radio_config)
        sounding = sounding_layout(frame.pilot_spacing_symbols)
        self._pilot_frame = self._slot_frame(np.zeros(0, dtype=np.complex128), sounding)

    def send_pilot(self) -> None:
        """Send one sounding: two pilots at full power."""
        self._radio.transmit(self._pilot_frame, num_repeats=1)

    def send_values(self, values: NDArray[np.float64], plan: TransmitPlan, csi: Csi | None) -> None:
        """Send clipped and noised values [Q] once; zeros in a silent round of a superposed scheme.

        Raises SignalError for values that are not finite, not [Q], or beyond the plan's bound; for a device
        that the plan does not name; and for a plan that asks more than its power.
        """
        self._check(values, plan)
        symbols = self._scheme.encode(values, plan, csi, self._format)
        if self._scheme.superposed:
            frame = modulate(symbols, self._frame, max_amplitude=self._format.max_amplitude)
        else:
            frame = self._slot_frame(symbols, slot_layout(symbols.size))
        self._radio.transmit(frame, num_repeats=1)

    def silence(self) -> None:
        """Stop whatever is on the air; safe to call twice."""
        self._radio.stop()

    def _slot_frame(self, data: NDArray[np.complex128], layout: SlotLayout) -> IQ:
        amplitude = self._format.max_amplitude
        return modulate(fill_slot(data, layout, pilot_amplitude=amplitude), self._frame, max_amplitude=amplitude)

    def _check(self, values: NDArray[np.float64], plan: TransmitPlan) -> None:
        if self._device not in plan.active:
            raise SignalError(f"device {self._device}: got a transmission; allowed: the plan's active {plan.active}")
        if values.shape != (plan.num_queries,):
            raise SignalError(f"device {self._device}: got values {values.shape}; allowed: ({plan.num_queries},)")
        largest = float(np.abs(values).max())
        if not largest <= plan.value_bound * (1 + VALUE_TOLERANCE):
            raise SignalError(
                f"device {self._device}: got a value of magnitude {largest:.6g}; allowed: at most "
                f"{plan.value_bound:.6g} (clip + 4·noise_std); clip it, with its noise, before sending"
            )


class AccessPointLink:
    """The access point's receiver, its channel estimates and its memory of every device's carrier offset."""

    def __init__(
        self,
        radio: Radio,
        radio_config: RadioConfig,
        frame: FrameConfig,
        scheme: Scheme,
        num_devices: int,
        *,
        genie: Callable[[], Truth] | None = None,
    ) -> None:
        """`genie` replaces sounding by the air's own truth (symbol level only)."""
        if genie is not None and not frame.is_symbol_level:
            raise RadioConfigError("csi: got 'genie' on a sample-level frame; allowed on the symbol level only")
        check_support(scheme, radio.capabilities)
        if not frame.is_symbol_level:
            spacing = frame.pilot_spacing_symbols if scheme.needs_sounding else MAX_DATA_BETWEEN_PILOTS + 1
            check_unambiguous(radio_config.residual_cfo_max_hz, spacing * SymbolFormat.of(frame, radio_config).period_s)
        radio.configure(radio_config)
        self._radio = radio
        self._radio_config = radio_config
        self._frame = frame
        self._scheme = scheme
        self._num_devices = num_devices
        self._genie = genie
        self._format = SymbolFormat.of(frame, radio_config)
        bound_hz = 0.0 if frame.is_symbol_level else radio_config.residual_cfo_max_hz
        self._trackers = [CfoTracker.within(bound_hz) for _ in range(num_devices)]
        self._noise = NoiseMeter()
        self._last_capture: IQ = np.zeros(0, dtype=np.complex64)
        self._last_symbols = np.zeros(0, dtype=np.complex128)
        self._saturated = False
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
    def last_symbols(self) -> NDArray[np.complex128]:
        """y, the latest superposed payload after the matched filter, shape [S]."""
        return self._last_symbols

    @property
    def channel_estimates(self) -> dict[int, ChannelEstimate]:
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
        """N0, total per complex sample: the mean over the guards heard so far (the truth with a genie).

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
        """How many complex samples `noise_power` is the mean of; infinite with a genie."""
        return math.inf if self._genie is not None else self._noise.num_captures * (self._frame.guard_samples * 3 // 4)

    def begin_block(self, round_index: int, attempt: int) -> None:
        """Start a round, or another attempt: forgets channels, but neither carrier offsets nor the noise."""
        self._radio.begin_block(round_index, attempt)
        self._start_block()

    def measure_noise(self) -> float:
        """Capture a guard while nobody sends, and return N0 as known now."""
        self._capture(self._frame.guard_samples)
        return self.noise_power

    def capture_pilot(self, device: int) -> ChannelEstimate:
        """Capture the sounding that `device` has just started, and estimate its channel."""
        if not 0 <= device < self._num_devices:
            raise SignalError(f"device: got {device}; allowed: 0..{self._num_devices - 1}")
        layout = sounding_layout(self._frame.pilot_spacing_symbols)
        first_time = self._radio.clock_samples + self._frame.guard_samples
        capture, symbols = self._receive(layout.num_symbols)
        estimate = estimate_channel(
            symbols[layout.pilots],
            amplitude=self._format.max_amplitude,
            symbol_variance=2 * self.noise_variance,
            noise_power=self.noise_power,
            first_time_samples=first_time,
            spacing_samples=self._frame.pilot_spacing_symbols * self._frame.symbol_samples,
            sample_rate_hz=self._radio_config.sample_rate_hz,
            tracker=self._trackers[device],
        )
        self._estimates[device] = estimate
        self._saturated = self._saturated or is_saturated(capture, self._frame)
        self._elapsed_to_payload = False
        return estimate

    def predict_csi(self) -> dict[int, Csi]:
        """Let the air time from sounding to payload pass, and extrapolate every sounded channel to now.

        Devices must start sending after this call, as the payload is expected at the next capture. Called
        again, it extrapolates to the new present without waiting. Without sounding: the genie's gains, else ones.
        """
        if not self.needs_sounding:
            return self._csi_without_sounding()
        if not self._elapsed_to_payload:
            self._radio.elapse(self._frame.sounding_to_payload_samples)
            self._elapsed_to_payload = True
        first_symbol_time = self._radio.clock_samples + self._frame.guard_samples
        return {
            device: Csi(gain=complex(estimate.at(first_symbol_time)), cfo_hz=estimate.cfo_hz)
            for device, estimate in sorted(self._estimates.items())
        }

    def max_gain(self, csi: Mapping[int, Csi], *, clip: float, noise_std: float) -> float:
        """The largest gain c at which no device of `csi` can exceed its power; 0 when one has no channel."""
        gains = np.array([state.gain for state in csi.values()], dtype=np.complex128)
        return alignment_gain(gains, clip=clip, noise_std=noise_std, max_amplitude=self._format.max_amplitude)

    def receive_superposed(self, plan: TransmitPlan) -> Estimate:
        """Capture the payload that the active devices have started, and estimate their mean."""
        capture, symbols = self._receive(self._scheme.frame_symbols(plan.num_queries))
        self._last_symbols = symbols
        received = Received(
            symbols=symbols,
            noise_variance=self.noise_variance,
            symbol_snr_db=self._symbol_snr_db(self._mean_gain_power(plan)),
            saturated=self._saturated or is_saturated(capture, self._frame),
        )
        return self._scheme.estimate([received], plan)

    def receive_slot(self, device: int, plan: TransmitPlan) -> None:
        """Capture the slot that `device` has just started; `combine` uses it."""
        layout = slot_layout(self._scheme.frame_symbols(plan.num_queries))
        capture, symbols = self._receive(layout.num_symbols)
        data, gain_power = equalise_slot(symbols, layout, pilot_amplitude=self._format.max_amplitude)
        self._slots[device] = Received(
            symbols=data,
            noise_variance=self.noise_variance / gain_power if gain_power > 0 else math.inf,
            symbol_snr_db=self._symbol_snr_db(gain_power),
            saturated=is_saturated(capture, self._frame),
            device=device,
        )

    def combine(self, plan: TransmitPlan) -> Estimate:
        """Estimate the mean from this block's slots."""
        return self._scheme.estimate(list(self._slots.values()), plan)

    def _start_block(self) -> None:
        self._estimates: dict[int, ChannelEstimate] = {}
        self._slots: dict[int, Received] = {}
        self._elapsed_to_payload = False
        self._saturated = False
        self._block_start = self._radio.clock_samples

    def _receive(self, num_symbols: int) -> tuple[IQ, NDArray[np.complex128]]:
        capture = self._capture(self._frame.num_samples(num_symbols))
        return capture, matched_filter(capture, num_symbols, self._frame)

    def _capture(self, num_samples: int) -> IQ:
        self._last_capture = self._radio.capture(num_samples)
        self._noise.update(noise_power_of_guard(self._last_capture, self._frame))
        return self._last_capture

    def _csi_without_sounding(self) -> dict[int, Csi]:
        if self._genie is None:
            return dict.fromkeys(range(self._num_devices), UNIT_CSI)
        return {device: Csi(gain=complex(gain)) for device, gain in enumerate(self._genie().gains)}

    def _mean_gain_power(self, plan: TransmitPlan) -> float:
        if self._genie is not None:
            known = dict(enumerate(self._genie().gains))
        else:
            known = {device: estimate.gain for device, estimate in self._estimates.items()}
        gains = [known[device] for device in plan.active if device in known]
        return float(np.mean(np.abs(gains) ** 2)) if gains else 1.0

    def _symbol_snr_db(self, gain_power: float) -> float:
        variance = self.noise_variance
        if variance == 0:
            return math.inf
        snr = self._radio_config.max_power * gain_power / variance
        return 10 * math.log10(snr) if snr > 0 else -math.inf
