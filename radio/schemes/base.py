"""What every scheme is: a pure map from values to symbols and back, and a statement of what it needs."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from radio.air.config import AirConfig
from radio.errors import SignalError
from radio.records import Csi, Estimate, Received, TransmitPlan
from radio.waveform.format import SymbolFormat


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
