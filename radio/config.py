"""What the radio layer can be told: strict, frozen records, checked also when built in Python."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache
from typing import Annotated, Any, Literal, get_args, get_origin, get_type_hints

import msgspec

from radio.errors import RadioConfigError

Level = Literal["sample", "symbol"]

MAX_FREQUENCY_HZ = 6e9
MAX_LENGTH_SAMPLES = 1 << 20


class _Checked(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Applies the ranges of the annotations to records built in Python too, where msgspec does not."""

    def __post_init__(self) -> None:
        for name, allowed, meta in _rules(type(self)):
            value = getattr(self, name)
            if allowed and value not in allowed:
                raise RadioConfigError(f"{name}: got {value!r}; allowed: {', '.join(allowed)}")
            if meta is not None and not _within(value, meta):
                raise RadioConfigError(f"{name}: got {value!r}; allowed: {_range_text(meta)}")


@cache
def _rules(record: type[_Checked]) -> list[tuple[str, tuple[str, ...], msgspec.Meta | None]]:
    rules = []
    for name, hint in get_type_hints(record, include_extras=True).items():
        allowed = get_args(hint) if get_origin(hint) is Literal else ()
        metas = [extra for extra in get_args(hint)[1:] if isinstance(extra, msgspec.Meta)]
        rules.append((name, allowed, metas[0] if metas and not allowed else None))
    return rules


def _within(value: Any, meta: msgspec.Meta) -> bool:
    return (
        isinstance(value, (int, float))
        and not math.isnan(value)
        and (meta.gt is None or value > meta.gt)
        and (meta.ge is None or value >= meta.ge)
        and (meta.le is None or value <= meta.le)
        and (meta.multiple_of is None or value % meta.multiple_of == 0)
    )


def _range_text(meta: msgspec.Meta) -> str:
    limits = ((">", meta.gt), (">=", meta.ge), ("<=", meta.le), ("a multiple of", meta.multiple_of))
    return "a number " + " and ".join(f"{sign} {limit:g}" for sign, limit in limits if limit is not None)


class AirConfig(_Checked, frozen=True, kw_only=True):
    """The simulated channel between K devices and one access point.

    Amplitudes are relative to full scale at both ends: `path_loss_db` includes antennas, cables and gains.
    """

    level: Level = "sample"
    """``sample``: complex baseband samples. ``symbol``: y = Σ h x + z, one sample a symbol, no saturation."""
    fading: Literal["rayleigh", "none"] = "rayleigh"
    """``rayleigh``: gains ~ CN(0, E|h|²), drawn per block and link. ``none``: every gain is √E|h|²."""
    path_loss_db: Annotated[float, msgspec.Meta(ge=-60, le=200)] = 20.0
    """−10 log10 E|h|², end to end between full scales."""
    snr_db: Annotated[float, msgspec.Meta(ge=-100)] = 20.0
    """P·E|h|²/N0 per complex sample, N0 total (I and Q); ``inf`` is noiseless."""
    cfo_max_hz: Annotated[float, msgspec.Meta(ge=0, le=1e6)] = 20.0
    """Every device's residual CFO is constant over the run, uniform in ±this. Sample level only."""
    delay_max_samples: Annotated[float, msgspec.Meta(ge=0, le=4096)] = 2.0
    """Every device's delay is constant over the run, uniform in [0, this], fractional. Sample level only."""
    start_jitter_samples: Annotated[int, msgspec.Meta(ge=0, le=1 << 20)] = 0
    """Every transmission starts late by a whole number drawn from 0..this. Sample level only."""
    csi: Literal["estimated", "genie"] = "estimated"
    """``genie``: devices are told their true gains; on the symbol level only."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.csi == "genie" and self.level != "symbol":
            raise RadioConfigError(
                "csi: got 'genie' with level = 'sample'; allowed: 'estimated' there; set level = 'symbol'"
            )

    @classmethod
    def perfect(cls) -> AirConfig:
        """The air on which the sum is exact: y = Σ x."""
        return cls(
            level="symbol", fading="none", path_loss_db=0.0, snr_db=math.inf,
            cfo_max_hz=0.0, delay_max_samples=0.0, csi="genie",
        )  # fmt: skip

    @property
    def mean_gain_power(self) -> float:
        """E|h|², linear."""
        return float(10 ** (-self.path_loss_db / 10))

    def noise_power(self, tx_power: float) -> float:
        """N0, total per complex sample, when `tx_power` is P."""
        return tx_power * self.mean_gain_power / float(10 ** (self.snr_db / 10)) if self.snr_db < math.inf else 0.0


LengthMeta = msgspec.Meta(ge=0, le=MAX_LENGTH_SAMPLES, multiple_of=4)


class FrameConfig(_Checked, frozen=True, kw_only=True):
    """How a transmission is laid out: guard, symbols of a cyclic prefix and a block each, tail."""

    samples_per_symbol: Annotated[int, msgspec.Meta(ge=1, le=1 << 16)] = 256
    """N, the samples of one symbol's block: a multiple of 4, or 1 on the symbol level."""
    cyclic_prefix_samples: Annotated[int, LengthMeta] = 32
    """Copied from the block's end to its front; half of it takes up delays, half of it filter tails."""
    guard_samples: Annotated[int, msgspec.Meta(ge=16, le=MAX_LENGTH_SAMPLES, multiple_of=4)] = 64
    """Silence at the start of every capture, from which the noise power is measured."""
    pilot_spacing_symbols: Annotated[int, msgspec.Meta(ge=1, le=64)] = 2
    """Distance of the two pilots of a sounding, start to start."""
    sounding_to_payload_samples: Annotated[int, LengthMeta] = 1000
    """Air time from the end of the last sounding to the start of the superposed payload."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.samples_per_symbol != 1 and self.samples_per_symbol % 4:
            raise RadioConfigError(
                f"samples_per_symbol: got {self.samples_per_symbol}; allowed: a multiple of 4, or 1 on the symbol level"
            )
        if self.samples_per_symbol == 1 and self.cyclic_prefix_samples:
            raise RadioConfigError(
                f"cyclic_prefix_samples: got {self.cyclic_prefix_samples}; allowed: 0 with samples_per_symbol = 1"
            )
        if self.cyclic_prefix_samples > self.samples_per_symbol:
            raise RadioConfigError(
                f"cyclic_prefix_samples: got {self.cyclic_prefix_samples}; "
                f"allowed: at most samples_per_symbol = {self.samples_per_symbol}"
            )

    @classmethod
    def symbol_level(cls) -> FrameConfig:
        """One sample a symbol, no prefix, and a guard so that noise can still be measured."""
        return cls(
            samples_per_symbol=1, cyclic_prefix_samples=0, guard_samples=64,
            pilot_spacing_symbols=1, sounding_to_payload_samples=0,
        )  # fmt: skip

    def for_level(self, level: Level) -> FrameConfig:
        """This frame, or `symbol_level()` where a sample-level frame is asked to live on the symbol level."""
        return self if level == "sample" or self.is_symbol_level else FrameConfig.symbol_level()

    @property
    def is_symbol_level(self) -> bool:
        """Whether a sample is a symbol."""
        return self.samples_per_symbol == 1

    @property
    def symbol_samples(self) -> int:
        """Samples of one symbol with its prefix."""
        return self.cyclic_prefix_samples + self.samples_per_symbol

    def num_samples(self, num_symbols: int) -> int:
        """Samples of a frame: guard, symbols, a tail as long as the prefix; rounded up to a multiple of 4."""
        return -(-(self.guard_samples + num_symbols * self.symbol_samples + self.cyclic_prefix_samples) // 4) * 4


class RadioConfig(_Checked, frozen=True, kw_only=True):
    """How every radio of the rig is tuned for a run."""

    sample_rate_hz: Annotated[float, msgspec.Meta(ge=1e3, le=61.44e6)] = 1e6
    """Complex samples a second, of transmitters and the receiver."""
    center_freq_hz: Annotated[float, msgspec.Meta(ge=70e6, le=MAX_FREQUENCY_HZ)] = 915e6
    """Local oscillators of transmitters and the receiver. No effect on a simulated air."""
    tx_gain_db: Annotated[float, msgspec.Meta(ge=-89.75, le=0)] = -30.0
    """Attenuation of real transmitters; a simulated air has it in its path loss."""
    rx_gain_db: Annotated[float, msgspec.Meta(ge=-3, le=71)] = 30.0
    """Gain of the real receiver, always manual; a simulated air has it in its path loss."""
    max_power_dbfs: Annotated[float, msgspec.Meta(ge=-90, le=0)] = -6.0
    """Mean power of a transmitted symbol at most; its peak never exceeds full scale."""
    residual_cfo_max_hz: Annotated[float, msgspec.Meta(ge=0, le=1e6)] = 20.0
    """What the rig's clocks are promised to stay within; the prior of the access point's CFO trackers."""

    @property
    def max_power(self) -> float:
        """P, linear, full scale is 1."""
        return float(10 ** (self.max_power_dbfs / 10))


@dataclass(frozen=True, slots=True, kw_only=True)
class Capabilities:
    """What a rig's radios can do; schemes ask for these by name."""

    trigger: bool
    """Radios can start together to within a sample or so."""
    streaming: bool
    """Transmitters keep a gapless sample count."""
    shared_clock: bool
    """All radios run from one reference oscillator."""


FILTER_HALF_LENGTH_SAMPLES = 12
"""How far the delay filter of the simulated air rings to either side."""


def check_compatible(air: AirConfig, frame: FrameConfig) -> None:
    """Raise RadioConfigError for a frame of another level than the air, or delays beyond half its prefix."""
    if (air.level == "symbol") != frame.is_symbol_level:
        raise RadioConfigError(
            f"frame.samples_per_symbol: got {frame.samples_per_symbol} with air.level = {air.level!r}; "
            "allowed: 1 on the symbol level, a multiple of 4 on the sample level; use FrameConfig.for_level"
        )
    latest = air.delay_max_samples + air.start_jitter_samples
    if not frame.is_symbol_level and latest > frame.cyclic_prefix_samples / 2:
        raise RadioConfigError(
            f"air.delay_max_samples + air.start_jitter_samples: got {latest:g}; allowed: at most half of "
            f"frame.cyclic_prefix_samples = {frame.cyclic_prefix_samples}; lengthen the prefix"
        )
