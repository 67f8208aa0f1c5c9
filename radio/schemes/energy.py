"""Noncoherent over-the-air mean: the difference of energies on two resources (after arXiv 1210.2967 and 2605.07263).

Needs block timing and slow power control, neither phase nor frequency lock. A device's phases are its secret, so that
the access point cannot tell devices apart by known sequences.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np

from radio.arrays import Complexes, Reals
from radio.errors import SignalError
from radio.records import Csi, Estimate, Plan, Received
from radio.schemes.base import Scheme, only_payload, reason_to_reject, rejected_estimate
from radio.waveform.base import SymbolFormat

POWER_TOLERANCE = 1e-9


class Energy(Scheme):
    """Power c|p_k|/|ĥ_k|² on resource 0 where p_k ≥ 0, on resource 1 where not, so that E_0 − E_1 = c Σ p_k."""

    name: str = "energy"
    exposes: Literal["sum", "each", "unknown"] = "each"
    waveform = "tones"

    def encode(self, values: Reals, plan: Plan, csi: Csi | None, symbol_format: SymbolFormat) -> Complexes:
        """Amplitudes on the resources, flat [Q·2]. Raises SignalError without CSI or over power."""
        amplitudes = np.zeros((values.size, 2), dtype=np.complex128)
        if plan.gain == 0:
            return amplitudes.reshape(-1)
        if csi is None or csi.resource_powers is None or not min(csi.resource_powers) > 0:
            raise SignalError(f"{self.name}: got CSI {csi}; allowed: |h|² > 0 on both resources, from this round")
        resource = np.where(values >= 0, 0, 1)
        powers = plan.gain * np.abs(values) / np.array(csi.resource_powers)[resource]  # [Q]
        limit = symbol_format.tone_power / values.size
        if powers.max() > limit * (1 + POWER_TOLERANCE):
            raise SignalError(
                f"{self.name}: got a value with more power than its share; allowed: at most {limit:.6g} "
                "(max_power_dbfs, crest and number of queries); lower the alignment gain"
            )
        amplitudes[np.arange(values.size), resource] = np.sqrt(powers)
        return amplitudes.reshape(-1)

    def estimate(self, received: Sequence[Received], plan: Plan) -> Estimate:
        """p̂ = (E_0 − E_1)/(K c); noise has equal energy on both and cancels.

        Var = (Var E_0 + Var E_1)/(K c)² + σ²/K + Σ E(g_k − 1)²·E p²/K², g_k in power.
        """
        payload = only_payload(received, self.name)
        reason = reason_to_reject(payload, plan)
        if reason is not None:
            return rejected_estimate(reason, plan, payload.symbol_snr_db)
        if payload.energies is None or payload.energy_variances is None:
            raise SignalError(f"{self.name}: got symbols; allowed: energies of tones")
        num_active = len(plan.active)
        scale = num_active * plan.gain
        variance = (
            payload.energy_variances.sum(axis=1) / scale**2
            + plan.artificial_noise_std**2 / num_active
            + payload.misalignment * payload.value_power / num_active**2
        )
        return Estimate(
            values=(payload.energies[:, 0] - payload.energies[:, 1]) / scale,
            error_variance=variance,
            symbol_snr_db=payload.symbol_snr_db,
        )
