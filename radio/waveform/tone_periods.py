"""The waveform of whole periods of random-phase tones: late starts do no harm, and nothing needs a lock."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import ClassVar

import numpy as np

from radio.arrays import Complexes
from radio.config import FrameConfig, RadioConfig
from radio.records import Csi, Plan, Received
from radio.samples import IQ
from radio.waveform.base import Carried, Known, Lengths, Part, SymbolFormat, Transmission, parts_of
from radio.waveform.estimates import CfoTracker, PowerEstimate, Sounding, power_error_variance
from radio.waveform.misalignment import code_of, stray_text
from radio.waveform.modulation import InBandNoise, is_saturated, real_noise_variance, symbol_snr_db
from radio.waveform.pilots import (
    PeriodTiming,
    estimate_powers,
    reported_powers,
    tone_pilot,
    tones_of,
)
from radio.waveform.tones import (
    PILOT_SHARE,
    ToneLayout,
    draw_period,
    measure_noise,
    random_tones,
    resource_energies,
    tone_layout,
)

PILOT_JUDGED_BELOW_STD = 0.05
PILOT_MISSING_BELOW = 0.1
PILOT_STRAY_ABOVE = 0.3


class TonePeriods:
    """Payloads whose powers add up; implements `radio.waveform.base.Waveform`."""

    meets_by_sample: ClassVar[bool] = False
    has_ridge: ClassVar[bool] = False

    def __init__(self, scheme: Carried, frame: FrameConfig, radio_config: RadioConfig, num_devices: int) -> None:
        self._scheme = scheme
        self._frame = frame
        self._radio_config = radio_config
        self._tone_power = SymbolFormat.of(frame, radio_config).tone_power
        # only devices whose power is controlled have pilot tones, as only theirs are known to arrive; one is nobody's
        self._num_pilots = num_devices + 1 if scheme.needs_sounding and not frame.is_symbol_level else 0

    def check(self, rig_frame: FrameConfig, *, counts_starts: bool) -> None:
        """Any frame will do."""

    # ---- soundings

    @property
    def sounding(self) -> Lengths:
        """One period, once everybody is on."""
        return self._lengths(self._frame.tone_sounding_samples)

    def pilot(self) -> Transmission:
        """All tones at full power."""
        timing = PeriodTiming.of(self._frame, self._frame.tone_sounding_samples)
        return Transmission(tone_pilot(self._frame, self._radio_config), timing.num_repeats)

    def sounding_noise_power(self, capture: IQ) -> float:
        """N0 from the bins where nobody sends."""
        return measure_noise(tones_of(capture, self._frame), tone_layout(self._frame.tone_sounding_samples, 1, 0))

    def sounding_in_band(self, capture: IQ) -> InBandNoise | None:
        """Nothing: tones hide a value in their own phases, not in receiver noise."""
        return None

    def sound(self, capture: IQ, *, noise_power: float, first_sample: int, tracker: CfoTracker | None) -> Sounding:
        """|h|² on both resources, less the capture's own noise."""
        return estimate_powers(capture, self._frame, self._radio_config)

    def reported(self, csi: Csi | None, *, noise_power: float, time_samples: int) -> Sounding:
        """|h|² on both resources."""
        powers = csi.resource_powers if csi is not None else None
        return reported_powers(powers or (0.0, 0.0), self._frame, self._radio_config, noise_power=noise_power)

    # ---- payloads

    def payload(
        self, symbols: Complexes, plan: Plan, csi: Csi | None, *, device: int, secret: np.random.Generator
    ) -> Transmission:
        """A period with the powers of `symbols` [2·Q] and this device's pilot tones; `secret` draws the phases."""
        num_samples = self._frame.tone_period_samples
        layout = self._layout(plan)
        powers = np.abs(symbols.reshape(plan.num_queries, 2)) ** 2
        pilot = code_of(device, plan.round_index, self._num_pilots) if self._num_pilots else 0
        pilot_power = 0.0
        if self._num_pilots and csi is not None and csi.resource_powers is not None:
            pilot_power = pilot_arrival_power(plan) / (sum(csi.resource_powers) / 2)
        if self._frame.is_symbol_level:
            tones = random_tones(powers, pilot_power, pilot, layout, num_samples, secret)
            return Transmission(tones.astype(np.complex64), PeriodTiming.of(self._frame, num_samples).num_repeats)
        period = draw_period(powers, pilot_power, pilot, layout, num_samples, secret)
        return Transmission(period, PeriodTiming.of(self._frame, num_samples).num_repeats)

    def payload_lengths(self, plan: Plan) -> Lengths:
        """One period, once everybody is on."""
        return self._lengths(self._frame.tone_period_samples)

    def parts(self, plan: Plan) -> tuple[Part, ...]:
        """Tones from end to end."""
        return parts_of(("tones", self._frame.tone_period_samples))

    def payload_noise_power(self, capture: IQ) -> float:
        """N0 from the bins where nobody sends."""
        return measure_noise(tones_of(capture, self._frame), tone_layout(self._frame.tone_period_samples, 1, 0))

    def payload_in_band(self, capture: IQ) -> InBandNoise | None:
        """Nothing."""
        return None

    def receive(self, capture: IQ, plan: Plan, known: Known, *, device: int | None) -> Received:
        """Energies of the resources, and whether every device's pilot tones are where they belong."""
        layout = self._layout(plan)
        tones = tones_of(capture, self._frame)
        energies, variances = resource_energies(tones, layout)
        sounded = [each for each in known.soundings.values() if isinstance(each, PowerEstimate)]
        from_sounding = sum(each.relative_power_variance for each in sounded)
        gain_errors = len(plan.active) * power_error_variance(self._radio_config.residual_gain_max_db)
        noise_variance = real_noise_variance(known.noise_power, self._frame)
        gain_power = float(np.mean(np.abs(known.gains) ** 2)) if known.gains.size else 1.0
        return Received(
            symbols=np.zeros(0, dtype=np.complex128),
            noise_variance=noise_variance,
            symbol_snr_db=symbol_snr_db(gain_power, noise_variance, self._radio_config.max_power),
            saturated=known.saturated or is_saturated(capture, self._frame),
            energies=energies,
            energy_variances=variances,
            misalignment=from_sounding + gain_errors if self._scheme.needs_sounding else 0.0,
            value_power=known.value_power,
            problem=self._misplaced(tones, layout, plan),
        )

    # ---- alignment

    def full_gain(self, *, bound: float, num_queries: int) -> float:
        """P/(Q·bound): the values share a device's power."""
        return self._tone_power / num_queries / bound

    def gain_limit(self, csi: Sequence[Csi], *, bound: float, num_queries: int) -> float:
        """min P|h|²/(Q·bound) over devices and resources, in power."""
        weakest = min(min(each.resource_powers or (0.0, 0.0)) for each in csi)
        return max(weakest, 0.0) * self._tone_power / num_queries / bound

    def _lengths(self, period_samples: int) -> Lengths:
        timing = PeriodTiming.of(self._frame, period_samples)
        return Lengths(
            settle_samples=timing.settle_samples, capture_samples=period_samples, on_air_samples=period_samples
        )

    def _layout(self, plan: Plan) -> ToneLayout:
        return tone_layout(self._frame.tone_period_samples, plan.num_queries, self._num_pilots)

    def _misplaced(self, tones: Complexes, layout: ToneLayout, plan: Plan) -> str | None:
        expected = pilot_arrival_power(plan)
        num_codes = layout.pilots.shape[0]
        if not num_codes or not expected > 0 or not np.isfinite(tones).all():
            return None
        std = math.sqrt(2 * measure_noise(tones, layout) / (tones.size * expected))
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


def pilot_arrival_power(plan: Plan) -> float:
    """At which power every device's pilot tones arrive: the pilots' share of what full values arrive with."""
    return plan.gain * plan.value_bound * plan.num_queries * PILOT_SHARE / (1 - PILOT_SHARE)
