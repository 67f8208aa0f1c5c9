"""The keys of the namespace ``airzero``, one record for each object of SigMF's JSON (docs/sigmf.md)."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Annotated, Any, Literal

import msgspec
import numpy as np

from radio.arrays import Complexes
from radio.records import Plan
from radio.waveform.base import Known
from radio.waveform.estimates import ChannelEstimate, PowerEstimate, Sounding

NAMESPACE = "airzero"
VERSION = "1.1.0"
PROBE_DATATYPE, PAYLOAD_DATATYPE = "ci16_le", "cf32_le"
Count = Annotated[int, msgspec.Meta(ge=0, le=(1 << 63) - 1)]
Power = Annotated[float, msgspec.Meta(ge=0)]
Complex = tuple[float, float]
"""Real and imaginary part."""


def _own(name: str) -> str:
    return f"{NAMESPACE}:{name}"


class ProbeKeys(msgspec.Struct, frozen=True, kw_only=True, rename=_own):
    """Global, of a capture of a repeated probe."""

    device: Count
    direction: Literal["uplink", "downlink"]
    capture: Count = 0
    """Its number among the link's captures."""
    num_samples: Count | None = None
    probe_period_samples: int
    probe_power_dbfs: float
    full_scale: Annotated[int, msgspec.Meta(ge=1)]
    coarse_cfo_hz: float = 0.0
    """What was known of the carrier beforehand."""


class PlanKeys(msgspec.Struct, frozen=True, kw_only=True):
    """`radio.records.Plan` with its names."""

    gain: float
    artificial_noise_std: float
    clip: float
    num_queries: int
    active: tuple[int, ...]
    ridge: float
    round_index: int

    @classmethod
    def of(cls, plan: Plan) -> PlanKeys:
        """What was announced."""
        return cls(**msgspec.structs.asdict(plan))

    def plan(self) -> Plan:
        """Raises SignalError for what cannot be sent."""
        return Plan(**msgspec.structs.asdict(self))


class ChannelSounding(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag="channel"):
    """`ChannelEstimate`; null is infinite."""

    gain: Complex
    cfo_hz: float
    gain_variance: Power | None
    cfo_variance_hz2: Power | None
    noise_power: Power
    time_samples: float
    sample_rate_hz: Annotated[float, msgspec.Meta(gt=0)]


class PowerSounding(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag="powers"):
    """`PowerEstimate`; null is infinite."""

    resource_powers: tuple[float, float]
    resource_variances: tuple[Power | None, Power | None]
    noise_power: Power
    cfo_hz: float = 0.0


class ChannelKeys(msgspec.Struct, frozen=True, kw_only=True):
    """What the access point knew of an active device's channel."""

    device: Count
    gain: Complex
    sounding: ChannelSounding | PowerSounding | None = None
    """Null where there was none: gains were told or are not needed."""


class PayloadKeys(msgspec.Struct, frozen=True, kw_only=True, rename=_own):
    """Global, of a received payload."""

    round: Count
    attempt: Annotated[int, msgspec.Meta(ge=1)]
    scheme: str
    run_id: str
    air_level: Literal["sample", "symbol"]
    num_samples: Count
    plan: PlanKeys
    channels: tuple[ChannelKeys, ...]
    """Of the plan's active devices, in its order."""
    sounding_saturated: bool


class PayloadSegmentKeys(msgspec.Struct, frozen=True, kw_only=True, rename=_own, omit_defaults=True):
    """Of one capture of a payload, or of one device's slot of it."""

    noise_power: Power
    value_power: Power
    device: Count | None = None


def channels_of(plan: Plan, known: Known) -> tuple[ChannelKeys, ...]:
    """What was known of the active devices."""
    return tuple(
        ChannelKeys(device=device, gain=_pair(complex(gain)), sounding=_written(known.soundings.get(device)))
        for device, gain in zip(plan.active, known.gains.tolist(), strict=True)
    )


def gains_of(channels: tuple[ChannelKeys, ...]) -> Complexes:
    """ĥ, shape [K']."""
    return np.array([complex(*channel.gain) for channel in channels], dtype=np.complex128)


def soundings_of(channels: tuple[ChannelKeys, ...]) -> Mapping[int, Sounding]:
    """Those that there were, by device."""
    return {channel.device: _read(channel.sounding) for channel in channels if channel.sounding is not None}


def _written(sounding: Sounding | None) -> ChannelSounding | PowerSounding | None:
    if sounding is None:
        return None
    if isinstance(sounding, PowerEstimate):
        first, second = (_finite(each) for each in sounding.resource_variances)
        return PowerSounding(
            resource_powers=(float(sounding.resource_powers[0]), float(sounding.resource_powers[1])),
            resource_variances=(first, second),
            noise_power=float(sounding.noise_power),
            cfo_hz=float(sounding.cfo_hz),
        )
    return ChannelSounding(
        gain=_pair(complex(sounding.gain)),
        cfo_hz=float(sounding.cfo_hz),
        gain_variance=_finite(sounding.gain_variance),
        cfo_variance_hz2=_finite(sounding.cfo_variance_hz2),
        noise_power=float(sounding.noise_power),
        time_samples=float(sounding.time_samples),
        sample_rate_hz=float(sounding.sample_rate_hz),
    )


def _read(sounding: ChannelSounding | PowerSounding) -> Sounding:
    if isinstance(sounding, PowerSounding):
        first, second = (_or_infinite(each) for each in sounding.resource_variances)
        return PowerEstimate(
            resource_powers=sounding.resource_powers,
            resource_variances=(first, second),
            noise_power=sounding.noise_power,
            cfo_hz=sounding.cfo_hz,
        )
    plain: dict[str, Any] = msgspec.structs.asdict(sounding)
    return ChannelEstimate(
        **plain
        | {
            "gain": complex(*sounding.gain),
            "gain_variance": _or_infinite(sounding.gain_variance),
            "cfo_variance_hz2": _or_infinite(sounding.cfo_variance_hz2),
        }
    )


def _pair(value: complex) -> Complex:
    return (value.real, value.imag)


def _finite(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None


def _or_infinite(value: float | None) -> float:
    return math.inf if value is None else value
