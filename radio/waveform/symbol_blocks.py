"""The waveform of amplitudes on a known block: all devices' payloads meet in the air, with pilots around them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import numpy as np

from radio.arrays import Complexes, Reals
from radio.config import FrameConfig, RadioConfig
from radio.errors import RadioConfigError
from radio.records import Csi, Plan, Received
from radio.samples import IQ
from radio.waveform.base import Carried, Known, Lengths, Part, SymbolFormat, Transmission, parts_of
from radio.waveform.estimates import CfoTracker, ChannelEstimate, Sounding, amplitude_error_variance, check_unambiguous
from radio.waveform.layouts import MAX_DATA_BETWEEN_PILOTS, PayloadLayout, payload_layout
from radio.waveform.misalignment import MAX_CODES, code_of, judge, measure_arrivals, pilot_codes
from radio.waveform.modulation import (
    InBandNoise,
    guard_span,
    in_band_noise,
    is_saturated,
    matched_filter,
    modulate,
    noise_power_of_gap,
    noise_power_of_guard,
    real_noise_variance,
    silent_span,
    symbol_snr_db,
)
from radio.waveform.pilots import estimate_symbols, reported_gain, symbol_pilot
from radio.waveform.precoding import alignment_gain, expected_alignment, precode


class SymbolBlocks:
    """Payloads that meet to the sample; implements `radio.waveform.base.Waveform`."""

    meets_by_sample: ClassVar[bool] = True
    has_ridge: ClassVar[bool] = True

    def __init__(self, scheme: Carried, frame: FrameConfig, radio_config: RadioConfig, num_devices: int) -> None:
        """`frame` as it is once starts are known to the sample, where devices count."""
        self._scheme = scheme
        self._frame = frame
        self._radio_config = radio_config
        self._format = SymbolFormat.of(frame, radio_config)
        self._num_codes = num_devices + 1 if num_devices < MAX_CODES else 0  # one a device, one that is nobody's

    def check(self, rig_frame: FrameConfig, *, counts_starts: bool) -> None:
        """Raise RadioConfigError for starts, synchronisation or carrier offsets that the frame cannot cope with."""
        if rig_frame.is_symbol_level:
            return
        self._check_starts(rig_frame, counts_starts=counts_starts)
        if rig_frame.start_uncertainty_samples > 0 and rig_frame.sync_samples == 0:
            raise RadioConfigError(
                "frame.sync_samples: got 0; allowed: above 0 where frame.start_uncertainty_samples > 0"
            )
        spacing = rig_frame.pilot_spacing_symbols if self._scheme.needs_sounding else MAX_DATA_BETWEEN_PILOTS + 1
        check_unambiguous(self._radio_config.residual_cfo_max_hz, spacing * self._format.period_s)

    def _check_starts(self, rig_frame: FrameConfig, *, counts_starts: bool) -> None:
        uncertainty = rig_frame.start_uncertainty_samples
        if counts_starts and uncertainty == 0:
            raise RadioConfigError(
                f"frame.start_uncertainty_samples: got 0 with scheme {self._scheme.name!r} on radios that count "
                "samples; allowed: above 0, how far ahead devices are told when to start"
            )
        if not counts_starts and uncertainty > 0:
            raise RadioConfigError(
                f"frame.start_uncertainty_samples: got {uncertainty} with scheme {self._scheme.name!r}, "
                "whose devices must start together: allowed: 0; add a trigger or streaming, or use a scheme of tones "
                "(energy, fsk_vote)"
            )

    # ---- soundings

    @property
    def sounding(self) -> Lengths:
        """Two pilots, looked for as long as they may be late."""
        num_symbols = self._frame.pilot_spacing_symbols + 1
        return Lengths(
            settle_samples=0,
            capture_samples=self._frame.num_capture_samples(num_symbols),
            on_air_samples=self._frame.num_samples(num_symbols),
        )

    def pilot(self) -> Transmission:
        """Two pilots at full power."""
        return Transmission(symbol_pilot(self._frame, self._format))

    def sounding_noise_power(self, capture: IQ) -> float:
        """N0 from the guard."""
        return noise_power_of_guard(capture, self._frame)

    def sounding_in_band(self, capture: IQ) -> InBandNoise | None:
        """From the silent symbol between the pilots, or the guard where there is none."""
        return self._in_band(capture, 1 if self._frame.pilot_spacing_symbols > 1 else None)

    def sound(self, capture: IQ, *, noise_power: float, first_sample: int, tracker: CfoTracker | None) -> Sounding:
        """Gain and carrier offset from two pilots."""
        return estimate_symbols(
            capture,
            self._frame,
            self._radio_config,
            noise_power=noise_power,
            first_sample=first_sample,
            tracker=tracker,
        )

    def reported(self, csi: Csi | None, *, noise_power: float, time_samples: int) -> Sounding:
        """The gain, on a shared clock."""
        gain = csi.gain if csi is not None else 0j
        return reported_gain(gain, self._frame, self._radio_config, noise_power=noise_power, time=time_samples)

    # ---- payloads

    def payload(
        self, symbols: Complexes, plan: Plan, csi: Csi | None, *, device: int, secret: np.random.Generator
    ) -> Transmission:
        """Pilots of this device's code around the symbols, all with one precoding that follows the carrier."""
        layout = payload_layout(self._num_codes, symbols.size)
        whole = np.zeros(layout.num_symbols, dtype=np.complex128)
        reference = self._precode(np.full(layout.num_symbols, plan.value_bound, dtype=np.complex128), plan, csi)
        if self._num_codes:
            code = pilot_codes(self._num_codes)[code_of(device, plan.round_index, self._num_codes)]
            whole[layout.before] = reference[layout.before] * code
            whole[layout.after] = reference[layout.after] * code
        # symbols were encoded for the payload's start; the carrier has turned since the channel was told
        turn = reference[layout.values[0]] / reference[0] if reference[0] != 0 else 1.0
        whole[layout.values] = symbols * turn
        amplitude = self._format.max_amplitude
        return Transmission(modulate(whole, self._frame, max_amplitude=amplitude, sync_amplitude=complex(reference[0])))

    def payload_lengths(self, plan: Plan) -> Lengths:
        """Pilots, gap, values and pilots, on time."""
        length = self._frame.num_samples(self._layout(plan).num_symbols)
        return Lengths(settle_samples=0, capture_samples=length, on_air_samples=length)

    def parts(self, plan: Plan) -> tuple[Part, ...]:
        """Guard, synchronisation, pilots, gap, values, pilots, tail."""
        layout, frame = self._layout(plan), self._frame
        symbols = (
            ("pilots", layout.before.size),
            ("gap", 1),
            ("values", layout.values.size),
            ("pilots", layout.after.size),
        )
        return self._framed(layout.num_symbols, [(name, num * frame.symbol_samples) for name, num in symbols])

    def payload_noise_power(self, capture: IQ) -> float:
        """N0 from the guard; on the sample level from the longer gap."""
        if self._frame.is_symbol_level:
            return noise_power_of_guard(capture, self._frame)
        return noise_power_of_gap(capture, self._num_codes, self._frame)

    def payload_in_band(self, capture: IQ) -> InBandNoise | None:
        """From the gap; on the symbol level from the guard."""
        return self._in_band(capture, self._num_codes)

    def receive(self, capture: IQ, plan: Plan, known: Known, *, device: int | None) -> Received:
        """Values' symbols, turned back by the rotation that all devices share."""
        layout = self._layout(plan)
        noise_variance = real_noise_variance(known.noise_power, self._frame)
        symbols = matched_filter(capture, layout.num_symbols, self._frame)
        rotation_rad, misalignment, problem = 0.0, 0.0, None
        judged = self._num_codes and plan.gain > 0 and plan.active and np.isfinite(symbols).all()
        if judged:
            amplitude = plan.gain * plan.value_bound
            first_time = known.first_sample + self._frame.first_symbol_samples
            centre = (layout.values[0] + layout.values[-1] + 1) / 2 * self._frame.symbol_samples
            radial, phase = self._prior(plan, known, first_time + centre)
            found = judge(
                measure_arrivals(symbols[layout.before], plan.round_index, amplitude=amplitude),
                measure_arrivals(symbols[layout.after], plan.round_index, amplitude=amplitude),
                np.array(plan.active),
                expected=expected_alignment(
                    known.gains,
                    gain=plan.gain,
                    ridge=plan.ridge,
                    bound=plan.value_bound,
                    max_amplitude=self._format.max_amplitude,
                ),
                radial_variance=radial,
                phase_variance=phase,
                pilot_variance=noise_variance / (self._num_codes * amplitude**2),
            )
            rotation_rad, misalignment, problem = found.rotation_rad, found.power, found.problem
        values = symbols[layout.values]
        gain_power = float(np.mean(np.abs(known.gains) ** 2)) if known.gains.size else 1.0
        return Received(
            symbols=values * np.exp(-1j * rotation_rad) if judged else values,
            noise_variance=noise_variance,
            symbol_snr_db=symbol_snr_db(gain_power, noise_variance, self._radio_config.max_power),
            saturated=known.saturated or is_saturated(capture, self._frame),
            misalignment=misalignment,
            value_power=known.value_power,
            problem=problem,
        )

    # ---- alignment

    def full_gain(self, *, bound: float, num_queries: int) -> float:
        """√P/bound: every value has a symbol of its own."""
        return self._format.max_amplitude / bound

    def gain_limit(self, csi: Sequence[Csi], *, bound: float, num_queries: int) -> float:
        """min √P|h|/bound, in amplitude."""
        gains = np.array([each.gain for each in csi], dtype=np.complex128)
        return alignment_gain(gains, bound=bound, max_amplitude=self._format.max_amplitude)

    def _framed(self, num_symbols: int, parts: Sequence[tuple[str, int]]) -> tuple[Part, ...]:
        frame = self._frame
        tail = frame.num_samples(num_symbols) - frame.first_symbol_samples - num_symbols * frame.symbol_samples
        return parts_of(("guard", frame.guard_samples), ("sync", frame.sync_samples), *parts, ("tail", tail))

    def _in_band(self, capture: IQ, silent_symbol: int | None) -> InBandNoise:
        if silent_symbol is None or self._frame.is_symbol_level:
            return in_band_noise(guard_span(capture, self._frame), self._frame)
        return in_band_noise(silent_span(capture, silent_symbol, self._frame), self._frame)

    def _layout(self, plan: Plan) -> PayloadLayout:
        return payload_layout(self._num_codes, self._scheme.frame_symbols(plan.num_queries))

    def _precode(self, values: Complexes, plan: Plan, csi: Csi | None) -> Complexes:
        assert csi is not None, "encode refuses to work without"
        return precode(
            values,
            gain=plan.gain,
            csi=csi,
            symbol_period_s=self._format.period_s,
            ridge=plan.ridge,
            max_factor=self._format.max_amplitude / plan.value_bound,
        )

    def _prior(self, plan: Plan, known: Known, time_samples: float) -> tuple[Reals, Reals]:
        """Relative variance of magnitude and phase of every active device's g, before its pilots are heard."""
        radial = np.full(len(plan.active), amplitude_error_variance(self._radio_config.residual_gain_max_db))
        phase = np.zeros(len(plan.active))
        for position, device in enumerate(plan.active):
            sounding = known.soundings.get(device)
            if isinstance(sounding, ChannelEstimate):
                radial[position] += sounding.gain_variance / (2 * abs(sounding.gain) ** 2)
                phase[position] = sounding.phase_variance_rad2_at(time_samples)
        return radial, phase
