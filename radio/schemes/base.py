"""What every scheme is: a pure map from values to symbols and back, and a statement of what it needs."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from radio.config import AirConfig, FrameConfig, RadioConfig
from radio.errors import SignalError
from radio.precoding import Csi, value_bound
from radio.waveform import max_symbol_amplitude

__all__ = ["Csi", "Estimate", "Received", "Scheme", "SymbolFormat", "TransmitPlan", "rejected_estimate"]


@dataclass(frozen=True, slots=True, kw_only=True)
class TransmitPlan:
    """What the access point announces for one round; public. Raises SignalError for what cannot be sent."""

    gain: float
    """c: the amplitude at which a value of 1 arrives; 0 is a silent round. Digital schemes ignore it."""
    artificial_noise_std: float
    """σ that every active device adds to each value."""
    clip: float
    """γ: values are clipped to ±γ before the noise."""
    num_queries: int
    """Q, values per device."""
    active: tuple[int, ...]
    """Devices that transmit, ascending."""

    def __post_init__(self) -> None:
        for name, allowed, fine in (
            ("gain", "finite and >= 0", 0 <= self.gain < math.inf),
            ("artificial_noise_std", "finite and >= 0", 0 <= self.artificial_noise_std < math.inf),
            ("clip", "finite and > 0", 0 < self.clip < math.inf),
            ("num_queries", "at least 1", self.num_queries >= 1),
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

    @classmethod
    def of(cls, frame: FrameConfig, radio_config: RadioConfig) -> SymbolFormat:
        """Under this frame and tuning."""
        return cls(
            max_amplitude=max_symbol_amplitude(frame, radio_config),
            period_s=frame.symbol_samples / radio_config.sample_rate_hz,
        )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Received:
    """One matched-filtered payload: of all devices at once, or of one device's slot."""

    symbols: NDArray[np.complex128]
    """Shape [S], after the matched filter; those of slots are divided by the channel."""
    noise_variance: float
    """N0' = Var(Re z) of a symbol after the matched filter: N0/(2N)."""
    symbol_snr_db: float
    """P·mean|ĥ|²/N0' of the devices that were heard."""
    saturated: bool = False
    """Whether the receiver hit full scale."""
    device: int | None = None
    """Whose slot it is; None when superposed."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Estimate:
    """The access point's estimate of the mean over the active devices."""

    values: NDArray[np.float64]
    """Shape [Q]; NaN when rejected."""
    error_variance: NDArray[np.float64]
    """Shape [Q]: receiver and artificial noise (and quantisation); infinite when rejected."""
    symbol_snr_db: float
    rejected: str | None = None
    """Why the round must not be used."""


def rejected_estimate(reason: str, plan: TransmitPlan, symbol_snr_db: float = math.nan) -> Estimate:
    """An estimate that must not be used, and why."""
    return Estimate(
        values=np.full(plan.num_queries, np.nan),
        error_variance=np.full(plan.num_queries, np.inf),
        symbol_snr_db=symbol_snr_db,
        rejected=reason,
    )


class Scheme(Protocol):
    """How values become symbols and back; pure."""

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
        """Symbols [S] of one device's clipped and noised values [Q]."""
        ...

    def estimate(self, received: Sequence[Received], plan: TransmitPlan) -> Estimate:
        """The mean over the active devices, from the one superposed payload or from every slot."""
        ...
