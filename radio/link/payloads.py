"""From the capture of a superposed payload to what a scheme estimates from, with all that its pilots tell."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from radio.arrays import Complexes, Reals
from radio.config import FrameConfig, RadioConfig
from radio.link.device import num_pilot_codes, num_pilot_tones, pilot_arrival_power
from radio.records import Plan, Received
from radio.samples import IQ
from radio.schemes.base import Scheme
from radio.schemes.precoding import expected_alignment
from radio.waveform.block import matched_filter, noise_power_of_gap, noise_power_of_guard
from radio.waveform.estimates import ChannelEstimate, PowerEstimate
from radio.waveform.format import SymbolFormat
from radio.waveform.layouts import PayloadLayout, payload_layout
from radio.waveform.misalignment import judge, measure_arrivals, stray_text
from radio.waveform.pilots import tones_of
from radio.waveform.tones import ToneLayout, measure_noise, resource_energies, tone_layout

DB_TO_LN = math.log(10) / 10
PILOT_JUDGED_BELOW_STD = 0.05
PILOT_MISSING_BELOW = 0.1
PILOT_STRAY_ABOVE = 0.3

Estimates = Mapping[int, ChannelEstimate | PowerEstimate]


def power_error_variance(residual_gain_max_db: float) -> float:
    """Relative variance of a power that is off by a number of dB that is uniform in ± this."""
    return (DB_TO_LN * residual_gain_max_db) ** 2 / 3


def amplitude_error_variance(residual_gain_max_db: float) -> float:
    """Of the amplitude: a quarter."""
    return power_error_variance(residual_gain_max_db) / 4


class PayloadReceiver:
    """Knows frames, tones and pilots; keeps nothing from round to round."""

    def __init__(self, frame: FrameConfig, radio_config: RadioConfig, scheme: Scheme, num_devices: int) -> None:
        self._frame = frame
        self._scheme = scheme
        self._num_devices = num_devices
        self._num_codes = num_pilot_codes(num_devices)
        self._format = SymbolFormat.of(frame, radio_config)
        self._sample_rate_hz = radio_config.sample_rate_hz
        self._gain_error_max_db = radio_config.residual_gain_max_db

    def num_symbols(self, plan: Plan) -> int:
        """Of a superposed payload with its pilots and gap."""
        return self._layout(plan).num_symbols

    def noise_power(self, capture: IQ) -> float:
        """N0 from the guard; on the sample level from the longer gap."""
        if self._frame.is_symbol_level:
            return noise_power_of_guard(capture, self._frame)
        return noise_power_of_gap(capture, self._num_codes, self._frame)

    def symbols(
        self,
        capture: IQ,
        plan: Plan,
        known: Estimates,
        gains: Complexes,
        *,
        noise_variance: float,
        first_time: int,
    ) -> Received:
        """Values' symbols, turned back by the rotation that all devices share; `gains` [K'] are the active ĥ."""
        layout = self._layout(plan)
        symbols = matched_filter(capture, layout.num_symbols, self._frame)
        if not self._num_codes or plan.gain == 0 or not plan.active or not np.isfinite(symbols).all():
            return Received(symbols=symbols[layout.values], noise_variance=noise_variance, symbol_snr_db=math.nan)
        amplitude = plan.gain * plan.value_bound
        centre = (layout.values[0] + layout.values[-1] + 1) / 2 * self._frame.symbol_samples
        radial, phase = self._prior(plan, known, first_time + centre)
        misalignment = judge(
            measure_arrivals(symbols[layout.before], plan.round_index, amplitude=amplitude),
            measure_arrivals(symbols[layout.after], plan.round_index, amplitude=amplitude),
            np.array(plan.active),
            expected=expected_alignment(
                gains,
                gain=plan.gain,
                ridge=plan.ridge,
                bound=plan.value_bound,
                max_amplitude=self._format.max_amplitude,
            ),
            radial_variance=radial,
            phase_variance=phase,
            pilot_variance=noise_variance / (self._num_codes * amplitude**2),
        )
        return Received(
            symbols=symbols[layout.values] * np.exp(-1j * misalignment.rotation_rad),
            noise_variance=noise_variance,
            symbol_snr_db=math.nan,
            misalignment=misalignment.power,
            problem=misalignment.problem,
            quality={
                "rotation_rad": misalignment.rotation_rad,
                "drift_rad": misalignment.drift_rad,
                "misalignment": misalignment.power / len(plan.active),
            },
        )

    def tones(self, capture: IQ, plan: Plan, known: Estimates) -> Received:
        """Energies of the resources, and whether every device's pilot tones are where they belong."""
        num_pilots = num_pilot_tones(self._scheme, self._frame, self._num_devices)
        layout = tone_layout(self._frame.tone_period_samples, plan.num_queries, num_pilots)
        tones = tones_of(capture, self._frame)
        noise_power = measure_noise(tones, layout)
        energies, variances = resource_energies(tones, layout)
        sounded = [estimate for estimate in known.values() if isinstance(estimate, PowerEstimate)]
        from_sounding = sum(estimate.relative_power_variance for estimate in sounded)
        gain_errors = len(plan.active) * power_error_variance(self._gain_error_max_db)
        arrival = energies.sum() / max(plan.num_queries, 1)
        return Received(
            symbols=np.zeros(0, dtype=np.complex128),
            noise_variance=math.nan,
            symbol_snr_db=math.nan,
            energies=energies,
            energy_variances=variances,
            misalignment=from_sounding + gain_errors if self._scheme.needs_sounding else 0.0,
            problem=self._misplaced_tones(tones, layout, noise_power, plan),
            quality={"noise_power": noise_power, "arrival_power": float(arrival)},
        )

    def _layout(self, plan: Plan) -> PayloadLayout:
        return payload_layout(self._num_codes, self._scheme.frame_symbols(plan.num_queries))

    def _prior(self, plan: Plan, known: Estimates, time_samples: float) -> tuple[Reals, Reals]:
        """Relative variance of magnitude and phase of every active device's g, before its pilots are heard."""
        radial = np.full(len(plan.active), amplitude_error_variance(self._gain_error_max_db))
        phase = np.zeros(len(plan.active))
        for position, device in enumerate(plan.active):
            estimate = known.get(device)
            if isinstance(estimate, ChannelEstimate):
                radial[position] += estimate.gain_variance / (2 * abs(estimate.gain) ** 2)
                phase[position] = estimate.phase_variance_rad2_at(time_samples)
        return radial, phase

    def _misplaced_tones(self, tones: Complexes, layout: ToneLayout, noise_power: float, plan: Plan) -> str | None:
        expected = pilot_arrival_power(plan)
        num_codes = layout.pilots.shape[0]
        if not num_codes or not expected > 0 or not np.isfinite(tones).all():
            return None
        std = math.sqrt(2 * noise_power / (tones.size * expected))
        if std > PILOT_JUDGED_BELOW_STD:
            return None
        powers = (np.abs(tones[layout.pilots]) ** 2).sum(axis=1) / tones.size / expected  # [L]
        shares = powers[(np.arange(num_codes) + plan.round_index) % num_codes]  # by device, nobody's last
        for device in plan.active:
            if shares[device] < PILOT_MISSING_BELOW:
                return f"device {device}: its pilot tones are missing; it was late, silent or in another round"
        for device in np.setdiff1d(np.arange(num_codes), plan.active).tolist():
            if shares[device] > PILOT_STRAY_ABOVE:
                return stray_text(device, num_codes)
        return None
