"""What every scheme is: a pure map from values to symbols and back, and a statement of what it needs."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from radio.config import AirConfig, FrameConfig, RadioConfig
from radio.errors import SignalError
from radio.precoding import Csi, value_bound
from radio.tones import PILOT_SHARE, max_tone_power
from radio.waveform import max_symbol_amplitude

__all__ = [
    "Analog",
    "Csi",
    "Estimate",
    "Received",
    "Scheme",
    "SymbolFormat",
    "TransmitPlan",
    "only_payload",
    "reason_to_reject",
    "rejected_estimate",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class TransmitPlan:
    """What the access point announces for one round; public. Raises SignalError for what cannot be sent."""

    gain: float
    """c: as what a value of 1 arrives, in amplitude or, of tones, in power; 0 is a silent round. Digital ignores it."""
    artificial_noise_std: float
    """σ that every active device adds to each value."""
    clip: float
    """γ: values are clipped to ±γ before the noise."""
    num_queries: int
    """Q, values per device."""
    active: tuple[int, ...]
    """Devices that transmit, ascending."""
    ridge: float = 0.0
    """λ of regularised inversion; 0 inverts channels fully."""
    round_index: int = 0
    """Pilots move on by one code a round, so that who sends in the wrong round is noticed."""

    def __post_init__(self) -> None:
        for name, allowed, fine in (
            ("gain", "finite and >= 0", 0 <= self.gain < math.inf),
            ("artificial_noise_std", "finite and >= 0", 0 <= self.artificial_noise_std < math.inf),
            ("clip", "finite and > 0", 0 < self.clip < math.inf),
            ("num_queries", "at least 1", self.num_queries >= 1),
            ("ridge", "finite and >= 0", 0 <= self.ridge < math.inf),
            ("round_index", "at least 0", self.round_index >= 0),
            ("active", "distinct, ascending", list(self.active) == sorted(set(self.active))),
        ):
            if not fine:
                raise SignalError(f"plan.{name}: got {getattr(self, name)!r}; allowed: {allowed}")

    @property
    def value_bound(self) -> float:
        """The public bound on a value with its noise."""
        return value_bound(self.clip, self.artificial_noise_std)


@dataclass(frozen=True, slots=True, kw_only=True)
class SymbolFormat:
    """What a symbol may be."""

    max_amplitude: float
    """√P, or less where the peak would pass full scale."""
    period_s: float
    """From one symbol to the next."""
    tone_power: float = 0.0
    """P of random-phase tones, less the pilots' share."""

    @classmethod
    def of(cls, frame: FrameConfig, radio_config: RadioConfig) -> SymbolFormat:
        """Under this frame and tuning."""
        return cls(
            max_amplitude=max_symbol_amplitude(frame, radio_config),
            period_s=frame.symbol_samples / radio_config.sample_rate_hz,
            tone_power=max_tone_power(radio_config.max_power) * (1 - PILOT_SHARE),
        )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Received:
    """One received payload: of all devices at once, or of one device's slot."""

    symbols: NDArray[np.complex128]
    """Shape [S], after the matched filter; those of slots are divided by the channel. Empty for tones."""
    noise_variance: float
    """N0' = Var(Re z) of a symbol after the matched filter: N0/(2N)."""
    symbol_snr_db: float
    """P·mean|ĥ|²/N0' of the devices that were heard."""
    saturated: bool = False
    """Whether the receiver hit full scale."""
    device: int | None = None
    """Whose slot it is; None when superposed."""
    energies: NDArray[np.float64] | None = None
    """Of tones, mean power on each resource, shape [Q, 2]."""
    energy_variances: NDArray[np.float64] | None = None
    """Their variances, shape [Q, 2]."""
    misalignment: float = 0.0
    """Σ_k E(g_k − 1)² over the active devices, g_k being what of device k's value arrives, over c."""
    value_power: float = 0.0
    """E p_k² as known to the access point; misalignment costs in proportion to it."""
    problem: str | None = None
    """What makes the payload useless whatever the scheme."""
    quality: Mapping[str, float] = field(default_factory=dict)
    """What pilots and noise showed, by name with unit."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Estimate:
    """The access point's estimate of the mean over the active devices; of votes, of their majority."""

    values: NDArray[np.float64]
    """Shape [Q]; NaN when rejected."""
    error_variance: NDArray[np.float64]
    """Shape [Q]: receiver and artificial noise, misalignment (and quantisation); infinite when rejected."""
    symbol_snr_db: float
    rejected: str | None = None
    """Why the round must not be used."""
    quality: Mapping[str, float] = field(default_factory=dict)
    """The scheme's own report of how well the round went, by name with unit."""


def rejected_estimate(reason: str, plan: TransmitPlan, symbol_snr_db: float = math.nan) -> Estimate:
    """An estimate that must not be used, and why."""
    return Estimate(
        values=np.full(plan.num_queries, np.nan),
        error_variance=np.full(plan.num_queries, np.inf),
        symbol_snr_db=symbol_snr_db,
        rejected=reason,
    )


def reason_to_reject(received: Received, plan: TransmitPlan) -> str | None:
    """What every superposed scheme refuses to estimate from."""
    if plan.gain == 0 or not plan.active:
        return "silent round: gain 0 or no active device; nothing was sent"
    if received.saturated:
        return "receiver saturated; lower rx_gain_db or max_power_dbfs"
    if received.problem is not None:
        return received.problem
    numbers = received.symbols if received.energies is None else received.energies
    if not np.isfinite(numbers).all():
        return "received symbols are not finite"
    return None


def only_payload(received: Sequence[Received], name: str) -> Received:
    """The one superposed payload. Raises SignalError."""
    if len(received) != 1:
        raise SignalError(f"{name}: got {len(received)} payloads; allowed: the one superposed payload")
    return received[0]


class Scheme(Protocol):
    """How values become symbols and back; pure."""

    @property
    def waveform(self) -> Literal["symbols", "tones"]:
        """Amplitudes on a known block, or powers on random-phase tones."""
        ...

    @property
    def votes(self) -> bool:
        """Whether the estimate is the majority of the values' signs instead of their mean."""
        ...

    def mapped(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """What a device sends of its clipped values, before its artificial noise; any shape."""
        ...

    def mapped_clip(self, clip: float) -> float:
        """The bound of what is sent of values within ±clip."""
        ...

    def reference(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """What a perfect round estimates from the active devices' clipped values [K, Q]."""
        ...

    @property
    def name(self) -> str:
        """Its name in experiments."""
        ...

    @property
    def needs(self) -> tuple[frozenset[str], ...]:
        """Groups of capability names; a rig must have at least one of every group."""
        ...

    @property
    def superposed(self) -> bool:
        """Whether all devices transmit in one payload slot; otherwise each has a slot with its own pilots."""
        ...

    @property
    def needs_sounding(self) -> bool:
        """Whether devices must know their channels before the payload."""
        ...

    @property
    def air_override(self) -> AirConfig | None:
        """The air this scheme is defined on, whatever the rig simulates."""
        ...

    def frame_symbols(self, num_queries: int) -> int:
        """Data symbols of one device's transmission, without pilots."""
        ...

    def payload_symbols(self, num_queries: int, num_devices: int) -> int:
        """Data symbols on the air in one round, of all devices."""
        ...

    def uplink_bits_per_device(self, num_queries: int) -> int | None:
        """Payload bits of one device and round; None for analog schemes."""
        ...

    def encode(
        self, values: NDArray[np.float64], plan: TransmitPlan, csi: Csi | None, symbol_format: SymbolFormat
    ) -> NDArray[np.complex128]:
        """Symbols [S] of one device's clipped and noised values [Q]; of tones, amplitudes [2·Q] on the resources."""
        ...

    def estimate(self, received: Sequence[Received], plan: TransmitPlan) -> Estimate:
        """The mean over the active devices, from the one superposed payload or from every slot."""
        ...


class Analog:
    """What schemes of real values have in common; each overrides what differs."""

    name: str = ""
    needs: tuple[frozenset[str], ...] = ()
    superposed: bool = True
    needs_sounding: bool = True
    waveform: Literal["symbols", "tones"] = "symbols"
    votes: bool = False
    air_override: AirConfig | None = None

    def mapped(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """The values themselves."""
        return values

    def mapped_clip(self, clip: float) -> float:
        """The clip itself."""
        return clip

    def reference(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """The mean over devices, or the sign of the sum of signs."""
        if not self.votes:
            return np.asarray(values.mean(axis=0))
        return np.sign(np.sign(values).sum(axis=0))

    def frame_symbols(self, num_queries: int) -> int:
        """One symbol a value; of tones, two resources."""
        return num_queries if self.waveform == "symbols" else 2 * num_queries

    def payload_symbols(self, num_queries: int, num_devices: int) -> int:
        """However many devices, all of them share the symbols."""
        return self.frame_symbols(num_queries)

    def uplink_bits_per_device(self, num_queries: int) -> int | None:
        """One bit a vote; analog values have no bits."""
        return num_queries if self.votes else None
