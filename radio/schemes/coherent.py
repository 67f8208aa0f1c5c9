"""Scheme over-the-air mean: devices invert channels, the air adds (pAirZero, arXiv 2604.12401, eq. 8)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np

from radio.arrays import Complexes, Reals
from radio.errors import SignalError
from radio.records import Csi, Estimate, Plan, Received
from radio.schemes.base import Scheme, only_payload, reason_to_reject, rejected_estimate
from radio.waveform.base import SymbolFormat
from radio.waveform.precoding import precode


class Coherent(Scheme):
    """x_k = (c/ĥ_k)(p_k + n_k), so y = c Σ(p_k + n_k) + z, and p̂ = Re(y)/(K c)."""

    name: str = "coherent"
    exposes: Literal["sum", "each", "unknown"] = "sum"
    needs: tuple[frozenset[str], ...] = (frozenset({"shared_clock"}), frozenset({"trigger", "streaming"}))

    def encode(self, values: Reals, plan: Plan, csi: Csi | None, symbol_format: SymbolFormat) -> Complexes:
        """Channel-inverted symbols [Q]. Raises SignalError without CSI."""
        if csi is None:
            raise SignalError(f"{self.name}: got no CSI; allowed: the device's own, from this round's sounding")
        return precode(
            values,
            gain=plan.gain,
            csi=csi,
            symbol_period_s=symbol_format.period_s,
            ridge=plan.ridge,
            max_factor=symbol_format.max_amplitude / plan.value_bound,
        )

    def estimate(self, received: Sequence[Received], plan: Plan) -> Estimate:
        """p̂ = Re(y)/(K c); its variance has receiver and artificial noise, and misalignment on values of known power.

        Var = N0'/(K c)² + σ²/K + Σ E(g_k − 1)²·E p²/K². Rejected when silent, saturated, not finite or misaligned.
        """
        payload = only_payload(received, self.name)
        reason = reason_to_reject(payload, plan)
        if reason is not None:
            return rejected_estimate(reason, plan, payload.symbol_snr_db)
        num_active = len(plan.active)
        variance = (
            payload.noise_variance / (num_active * plan.gain) ** 2
            + plan.artificial_noise_std**2 / num_active
            + payload.misalignment * payload.value_power / num_active**2
        )
        return Estimate(
            values=payload.symbols.real / (num_active * plan.gain),
            error_variance=np.full(plan.num_queries, variance),
            symbol_snr_db=payload.symbol_snr_db,
        )
