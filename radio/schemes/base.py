"""What every scheme is: a pure map from values to symbols and back, and a statement of what it needs."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Literal, final

import numpy as np

from radio.air.config import AirConfig
from radio.arrays import Complexes, Reals
from radio.errors import SignalError
from radio.records import Csi, Estimate, Plan, Received
from radio.waveform.base import SymbolFormat


def rejected_estimate(reason: str, plan: Plan, symbol_snr_db: float = math.nan) -> Estimate:
    """An estimate that must not be used, and why."""
    return Estimate(
        values=np.full(plan.num_queries, np.nan),
        error_variance=np.full(plan.num_queries, np.inf),
        symbol_snr_db=symbol_snr_db,
        rejected=reason,
    )


def reason_to_reject(received: Received, plan: Plan) -> str | None:
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


class Scheme(ABC):
    """How values become symbols and back, and what that needs and gives away; pure, of real values unless overridden.

    `name`, `encode` and `estimate` must be given; every other attribute and method has a default for schemes of real
    values in one superposed payload.
    """

    name: str
    """Its name in experiments."""
    needs: tuple[frozenset[str], ...] = ()
    """Groups of capability names; a rig must have at least one of every group."""
    waveform: Literal["symbols", "tones"] = "symbols"
    """Amplitudes on a known block, or powers on random-phase tones."""
    superposed: bool = True
    """Whether all devices transmit in one payload slot; otherwise each has a slot with its own pilots."""
    needs_sounding: bool = True
    """Whether devices must know their channels before the payload."""
    votes: bool = False
    """Whether the estimate is the majority of the values' signs instead of their mean."""
    exposes: Literal["sum", "each", "unknown"] = "unknown"
    """What whoever hears the payload learns: "sum", the gain times the sum of all devices' values on every symbol, so
    that receiver noise may be counted; "each", a device's own values, which only its own noise protects; or nobody
    knows, and no privacy may be claimed."""
    sent_bound: float | None = None
    """Largest magnitude of what is sent of a value, whatever the clip: 1 of signs. None: values are sent as they are;
    schemes with a `mapped` of their own must say it, or no privacy may be claimed."""
    air_override: AirConfig | None = None
    """The air this scheme is defined on, whatever the rig simulates."""

    @abstractmethod
    def encode(self, values: Reals, plan: Plan, csi: Csi | None, symbol_format: SymbolFormat) -> Complexes:
        """Symbols [S] of one device's clipped and noised values [Q]; of tones, amplitudes [2·Q] on the resources."""

    @abstractmethod
    def estimate(self, received: Sequence[Received], plan: Plan) -> Estimate:
        """The mean over the active devices, from the one superposed payload or from every slot."""

    def mapped(self, values: Reals) -> Reals:
        """What a device sends of its clipped values, before its artificial noise; any shape."""
        return values

    @final
    def mapped_clip(self, clip: float) -> float:
        """The bound of what is sent of values within ±clip; a privacy claim rests on it."""
        return clip if self.sent_bound is None else self.sent_bound

    @final
    @property
    def missing_fact(self) -> str | None:
        """What it does not say of itself though a privacy claim needs it, in words; None where nothing is missing."""
        if self.exposes not in ("sum", "each"):
            return f"exposes = {self.exposes!r}, not 'sum' or 'each': what whoever hears a payload learns"
        if self.sent_bound is None and type(self).mapped is not Scheme.mapped:
            return "sent_bound = None though it maps values: the largest magnitude of what is sent"
        if self.sent_bound is not None and not 0 < self.sent_bound < math.inf:
            return f"sent_bound = {self.sent_bound}, which is no bound: the largest magnitude of what is sent"
        return None

    def reference(self, values: Reals) -> Reals:
        """What a perfect round estimates from the active devices' clipped values [K, Q]: their mean, or the sign of
        the sum of signs."""
        if not self.votes:
            return np.asarray(values.mean(axis=0))
        return np.sign(np.sign(values).sum(axis=0))

    def frame_symbols(self, num_queries: int) -> int:
        """Data symbols of one device's transmission, without pilots: one a value; of tones, two resources."""
        return num_queries if self.waveform == "symbols" else 2 * num_queries

    def payload_symbols(self, num_queries: int, num_devices: int) -> int:
        """Data symbols on the air in one round, of all devices: however many, they share the symbols."""
        return self.frame_symbols(num_queries)

    def uplink_bits_per_device(self, num_queries: int) -> int | None:
        """Payload bits of one device and round: one a vote; None for analog schemes."""
        return num_queries if self.votes else None
