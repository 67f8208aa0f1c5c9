"""Analog over-the-air mean: devices invert channels, the air adds (pAirZero, arXiv 2604.12401, eq. 8)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from radio.config import AirConfig
from radio.errors import SignalError
from radio.precoding import Csi, precode
from radio.schemes.base import Estimate, Received, SymbolFormat, TransmitPlan, rejected_estimate


class Coherent:
    """x_k = (c/ĥ_k)(p_k + n_k), so y = c Σ(p_k + n_k) + z, and p̂ = Re(y)/(K c)."""

    name: str = "coherent"
    needs: tuple[frozenset[str], ...] = (frozenset({"shared_clock"}), frozenset({"trigger", "streaming"}))
    superposed: bool = True
    needs_sounding: bool = True
    air_override: AirConfig | None = None

    def frame_symbols(self, num_queries: int) -> int:
        """One symbol a value."""
        return num_queries

    def payload_symbols(self, num_queries: int, num_devices: int) -> int:
        """One symbol a value, however many devices."""
        return num_queries

    def uplink_bits_per_device(self, num_queries: int) -> int | None:
        """Analog: no bits."""
        return None

    def encode(
        self, values: NDArray[np.float64], plan: TransmitPlan, csi: Csi | None, symbol_format: SymbolFormat
    ) -> NDArray[np.complex128]:
        """Channel-inverted symbols [Q]. Raises SignalError without CSI."""
        if csi is None:
            raise SignalError(f"{self.name}: got no CSI; allowed: the device's own, from this round's sounding")
        return precode(values, gain=plan.gain, csi=csi, symbol_period_s=symbol_format.period_s)

    def estimate(self, received: Sequence[Received], plan: TransmitPlan) -> Estimate:
        """p̂ = Re(y)/(K c), variance N0'/(K c)² + σ²/K; rejected when silent, saturated or not finite."""
        if len(received) != 1:
            raise SignalError(f"{self.name}: got {len(received)} payloads; allowed: the one superposed payload")
        payload = received[0]
        snr_db = payload.symbol_snr_db
        if plan.gain == 0 or not plan.active:
            return rejected_estimate("silent round: gain 0 or no active device; nothing was sent", plan, snr_db)
        if payload.saturated:
            return rejected_estimate("receiver saturated; lower rx_gain_db or max_power_dbfs", plan, snr_db)
        if not np.isfinite(payload.symbols).all():
            return rejected_estimate("received symbols are not finite", plan, snr_db)
        num_active = len(plan.active)
        variance = payload.noise_variance / (num_active * plan.gain) ** 2 + plan.artificial_noise_std**2 / num_active
        return Estimate(
            values=payload.symbols.real / (num_active * plan.gain),
            error_variance=np.full(plan.num_queries, variance),
            symbol_snr_db=snr_db,
        )
