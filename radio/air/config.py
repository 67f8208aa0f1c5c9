"""The simulated channel and its hardware: every impairment that a rig file can switch on, and the presets."""

from __future__ import annotations

import math
from typing import Annotated, Literal

import msgspec

from radio.channels.source import parse
from radio.config import FrameConfig, Level
from radio.errors import RadioConfigError
from radio.settings import Checked

Bits = Annotated[int, msgspec.Meta(ge=0, le=24)]
RelativeDb = Annotated[float, msgspec.Meta(le=0)]

BOLTZMANN_DBM_PER_HZ = -173.98  # at 290 K
REFERENCE_TEMPERATURE_K = 290.0
NOISELESS_SNR_DB = 3000.0  # N0 is 0 beyond float64's range


def thermal_power(
    *,
    noise_figure_db: float,
    full_scale_dbm: float,
    sample_rate_hz: float,
    temperature_k: float = REFERENCE_TEMPERATURE_K,
) -> float:
    """k·T·B·F against full scale, B being the sample rate."""
    thermal_dbm = BOLTZMANN_DBM_PER_HZ + 10 * math.log10(sample_rate_hz) + noise_figure_db
    return float(10 ** ((thermal_dbm - full_scale_dbm) / 10)) * temperature_k / REFERENCE_TEMPERATURE_K


class TransmitterConfig(Checked, frozen=True, kw_only=True):
    """What every device's transmitter does to its samples; all off by default. Sample level only."""

    ppm_max: Annotated[float, msgspec.Meta(ge=0, le=200)] = 0.0
    """Every crystal's error is constant over the run, uniform in ±this; the sampling clock follows it."""
    lo_corrected: bool = True
    """Whether the carrier was moved back, so that only the air's ``cfo_max_hz`` is left of it."""
    phase_noise_deg: Annotated[float, msgspec.Meta(ge=0, le=180)] = 0.0
    """Standard deviation of the local oscillator's phase, about 1/f between 1/65536 and 1/64 of the sample rate."""
    allan_deviation: Annotated[float, msgspec.Meta(ge=0, le=1e-6)] = 0.0
    """Floor of the crystal's Allan deviation, flat from 10 ms to 100 s: its data sheet says it. It moves carriers; 0 is
    a steady crystal."""
    drift_ppb: Annotated[float, msgspec.Meta(ge=0, le=1e4)] = 0.0
    """By how much at most the crystal's frequency swings with its temperature. It moves carriers."""
    drift_period_s: Annotated[float, msgspec.Meta(ge=1, le=1e6)] = 600.0
    """How long one swing of the temperature lasts."""
    pa: Literal["linear", "rapp", "saleh"] = "linear"
    """Power amplifier. ``rapp``: soft limiting of amplitude. ``saleh``: phase is distorted too."""
    pa_saturation_dbfs: Annotated[float, msgspec.Meta(ge=-30, le=40)] = 6.0
    """Output amplitude at which the amplifier saturates, against full scale."""
    pa_smoothness: Annotated[float, msgspec.Meta(gt=0, le=20)] = 2.0
    """p of Rapp's model."""
    iq_image_dbc: RelativeDb = -math.inf
    """Power of the mirror image, from gain and phase imbalance of I and Q."""
    dc_dbc: RelativeDb = -math.inf
    """Power of the leaking carrier, against full scale, while transmitting."""
    dac_bits: Bits = 0
    """Bits per I and Q; 0 is without quantisation."""
    gain_step_db: Annotated[float, msgspec.Meta(ge=0, le=10)] = 0.0
    """Frames are scaled in the digital domain, so a step only sets how finely a gain can be trimmed: the error is
    uniform in ± half a step, constant over the run."""
    gain_error_db: Annotated[float, msgspec.Meta(ge=0, le=10)] = 0.0
    """Power imbalance after control: what the gain has moved by since the block's sounding, uniform in ±this."""


class ReceiverConfig(Checked, frozen=True, kw_only=True):
    """What every receiver does to its samples; all off by default. Sample level only."""

    noise_figure_db: Annotated[float, msgspec.Meta(ge=0, le=60)] | None = None
    """Adds thermal noise k·T·B·F to that of ``snr_db``; none by default."""
    full_scale_dbm: Annotated[float, msgspec.Meta(ge=-120, le=30)] = -30.0
    """Input power that is full scale, to which thermal noise refers."""
    adc_bits: Bits = 0
    """Bits per I and Q; 0 is without quantisation. Saturates at full scale in any case."""
    iq_image_dbc: RelativeDb = -math.inf
    """Power of the mirror image."""
    dc_dbc: RelativeDb = -math.inf
    """Power of the constant offset, against full scale."""
    quadrature_tracking_deg: Annotated[float, msgspec.Meta(ge=0, le=180)] = 0.0
    """Standard deviation of the phase in which each step of quadrature tracking leaves the receiver, of virtual
    PlutoSDRs only while that is switched on. That it moves the phase is ADI's statement (FMComms5 phase
    synchronisation); by how much is not published: this is a setting, no claim."""
    quadrature_tracking_ms: Annotated[float, msgspec.Meta(gt=0, le=1e5)] = 10.0
    """From one step of the tracking to the next."""


class AirConfig(Checked, frozen=True, kw_only=True):
    """The simulated channel between K devices and one access point.

    Amplitudes are relative to full scale at both ends: `path_loss_db` includes antennas, cables and gains.
    """

    level: Level = "sample"
    """``sample``: complex baseband samples. ``symbol``: y = Σ h x + z, one sample a symbol, no saturation."""
    channel: str = ""
    """Recorded channels instead of drawn ones, block after block: ``sionna:channels.h5``, ``deepmimo:FOLDER?…``,
    ``matlab:FILE?…`` or ``csv:FILE`` (docs/measurement.md), on the machine of the air. Then ``fading`` counts for
    nothing, ``path_loss_db`` is the devices' mean, and no privacy is claimed."""
    fading: Literal["rayleigh", "rice", "none"] = "rayleigh"
    """``rayleigh``: gains ~ CN(0, E|h|²). ``rice``: the first tap has a steady part. ``none``: all gains are √E|h|²."""
    rice_k_db: Annotated[float, msgspec.Meta(ge=-40, le=60)] = 10.0
    """Steady over scattered power, of ``rice`` fading."""
    tdl: Literal["flat", "A", "B", "C", "D", "E"] = "flat"
    """Tapped delay line of TR 38.901, section 7.7.2; ``D`` and ``E`` bring their own steady part. Sample level only."""
    delay_spread_s: Annotated[float, msgspec.Meta(ge=0, le=1e-3)] = 0.0
    """Rms delay spread that scales the tapped delay line."""
    doppler_hz: Annotated[float, msgspec.Meta(ge=0, le=1e5)] = 0.0
    """Above 0, gains vary in time with this largest Doppler shift, over blocks too; at 0 each block has its own. At
    most 0.0147 of the sample rate, within which E|h|² keeps its power to 0.05 dB."""
    block_correlation: Annotated[float, msgspec.Meta(ge=0, lt=1)] = 0.0
    """ρ of an AR(1) process from round to round, for block fading: h' = ρ h + √(1 − ρ²) w."""
    path_loss_db: Annotated[float, msgspec.Meta(ge=-60, le=200)] = 20.0
    """−10 log10 E|h|², end to end between full scales."""
    path_loss_spread_db: Annotated[float, msgspec.Meta(ge=0, le=40)] = 0.0
    """Every device's own path loss is constant over the run, uniform in ± this around the common one."""
    path_loss_offsets_db: tuple[float, ...] = ()
    """Every device's own path loss beside the common one, as it was measured, within ± ``path_loss_spread_db``; drawn
    where this is empty."""
    snr_db: Annotated[float, msgspec.Meta(ge=-100)] = 20.0
    """P·E|h|²/N0 per complex sample, N0 total (I and Q); ``inf`` is noiseless."""
    cfo_max_hz: Annotated[float, msgspec.Meta(ge=0, le=1e6)] = 20.0
    """Every device's residual CFO is constant over the run, uniform in ±this. Sample level only."""
    cfo_offsets_hz: tuple[float, ...] = ()
    """Every device's own, as it was measured, within ± ``cfo_max_hz``; drawn where this is empty."""
    delay_max_samples: Annotated[float, msgspec.Meta(ge=0, le=4096)] = 2.0
    """Every device's delay is constant over the run, uniform in [0, this], fractional. Sample level only."""
    start_jitter_samples: Annotated[int, msgspec.Meta(ge=0, le=1 << 20)] = 0
    """Every transmission starts late by a whole number drawn from 0..this. Sample level only."""
    csi: Literal["estimated", "genie"] = "estimated"
    """``genie``: devices are told their true gains; on the symbol level only."""
    transmitter: TransmitterConfig = TransmitterConfig()
    """Hardware of every device."""
    receiver: ReceiverConfig = ReceiverConfig()
    """Hardware of whoever receives."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.csi == "genie" and self.level != "symbol":
            raise RadioConfigError(
                "csi: got 'genie' with level = 'sample'; allowed: 'estimated' there; set level = 'symbol'"
            )
        if self.channel:
            parse(self.channel)
            if self.tdl != "flat" or self.doppler_hz > 0 or self.block_correlation > 0:
                raise RadioConfigError(
                    "channel: got recorded channels with tdl, doppler_hz or block_correlation; allowed: without, as a "
                    "recording has its own; leave them out"
                )
        for measured, largest in (("path_loss_offsets_db", "path_loss_spread_db"), ("cfo_offsets_hz", "cfo_max_hz")):
            for offset in getattr(self, measured):
                if not abs(offset) <= getattr(self, largest):
                    raise RadioConfigError(
                        f"{measured}: got {offset:g} with {largest} = {getattr(self, largest):g}; allowed: at most "
                        "that, on which others rely; raise it"
                    )
        if self.doppler_hz > 0 and self.block_correlation > 0:
            raise RadioConfigError(
                f"block_correlation: got {self.block_correlation:g} with doppler_hz = {self.doppler_hz:g}; allowed: "
                "one of the two; Doppler already makes blocks alike"
            )

    @classmethod
    def perfect(cls) -> AirConfig:
        """Preset ``ideal``: the sum is exact, y = Σ x."""
        return cls(
            level="symbol", fading="none", path_loss_db=0.0, snr_db=math.inf,
            cfo_max_hz=0.0, delay_max_samples=0.0, csi="genie",
        )  # fmt: skip

    @classmethod
    def awgn(cls, snr_db: float = 20.0) -> AirConfig:
        """Preset ``awgn``: equal steady gains and white noise, nothing else."""
        return cls(fading="none", snr_db=snr_db, cfo_max_hz=0.0, delay_max_samples=0.0)

    @classmethod
    def pluto_indoor(cls, snr_db: float = 20.0) -> AirConfig:
        """Preset ``pluto_indoor``: free-running PlutoSDRs in an office, after LO correction and power control."""
        return cls(
            tdl="A", delay_spread_s=39e-9, snr_db=snr_db, cfo_max_hz=20.0, start_jitter_samples=10_000,
            transmitter=TransmitterConfig(
                ppm_max=25.0, phase_noise_deg=0.3, pa="rapp", iq_image_dbc=-45.0, dc_dbc=-40.0, dac_bits=12,
                gain_step_db=0.25, gain_error_db=0.75,
            ),
            receiver=ReceiverConfig(noise_figure_db=2.5, adc_bits=12, iq_image_dbc=-45.0, dc_dbc=-40.0),
        )  # fmt: skip

    @property
    def mean_gain_power(self) -> float:
        """E|h|², linear."""
        return float(10 ** (-self.path_loss_db / 10))

    def noise_power(self, tx_power: float, sample_rate_hz: float = 1e6) -> float:
        """N0, total per complex sample, when `tx_power` is P."""
        from_snr = tx_power * self.mean_gain_power / 10 ** (self.snr_db / 10) if self.snr_db < NOISELESS_SNR_DB else 0.0
        if self.receiver.noise_figure_db is None or self.level == "symbol":
            return from_snr
        return from_snr + thermal_power(
            noise_figure_db=self.receiver.noise_figure_db,
            full_scale_dbm=self.receiver.full_scale_dbm,
            sample_rate_hz=sample_rate_hz,
        )


FILTER_HALF_LENGTH_SAMPLES = 12
"""How far the delay filter of the simulated air rings to either side."""


def check_compatible(air: AirConfig, frame: FrameConfig) -> None:
    """Raise RadioConfigError for a frame of another level than the air, delays beyond half its prefix, or late starts
    that it does not reckon with."""
    if (air.level == "symbol") != frame.is_symbol_level:
        raise RadioConfigError(
            f"frame.samples_per_symbol: got {frame.samples_per_symbol} with air.level = {air.level!r}; "
            "allowed: 1 on the symbol level, a multiple of 4 on the sample level; use FrameConfig.for_level"
        )
    if frame.is_symbol_level:
        return
    if air.start_jitter_samples > frame.start_uncertainty_samples and (
        frame.start_uncertainty_samples > 0 or air.delay_max_samples + air.start_jitter_samples > _half_prefix(frame)
    ):
        raise RadioConfigError(
            f"air.start_jitter_samples: got {air.start_jitter_samples}; allowed: at most "
            f"frame.start_uncertainty_samples = {frame.start_uncertainty_samples}, or within half of "
            f"frame.cyclic_prefix_samples = {frame.cyclic_prefix_samples}; raise frame.start_uncertainty_samples"
        )
    if air.delay_max_samples > _half_prefix(frame):
        raise RadioConfigError(
            f"air.delay_max_samples: got {air.delay_max_samples:g}; allowed: at most half of "
            f"frame.cyclic_prefix_samples = {frame.cyclic_prefix_samples}; lengthen the prefix"
        )


def _half_prefix(frame: FrameConfig) -> float:
    return frame.cyclic_prefix_samples / 2
