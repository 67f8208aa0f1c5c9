"""Noncoherent majority vote: everybody at full power on one of two resources (after arXiv 2209.09954).

Needs block timing only: no sounding, no inversion. Strong links outvote weak ones, which the stated error includes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np

from radio.arrays import Complexes, Reals
from radio.errors import SignalError
from radio.records import Csi, Estimate, Plan, Received
from radio.schemes.base import Scheme, only_payload, reason_to_reject, rejected_estimate
from radio.schemes.votes import decide_shares
from radio.waveform.base import SymbolFormat

HEARD_STDS = 5.0


class FskVote(Scheme):
    """Full power on resource 0 where p_k ≥ 0, on resource 1 where not; the estimate is the majority, ±1."""

    name: str = "fsk_vote"
    exposes: Literal["sum", "each", "unknown"] = "each"
    waveform = "tones"
    needs_sounding: bool = False
    votes: bool = True

    def encode(self, values: Reals, plan: Plan, csi: Csi | None, symbol_format: SymbolFormat) -> Complexes:
        """Amplitudes on the resources, flat [Q·2]; needs no CSI."""
        amplitudes = np.zeros((values.size, 2), dtype=np.complex128)
        if plan.gain > 0:
            resource = np.where(values >= 0, 0, 1)
            amplitudes[np.arange(values.size), resource] = np.sqrt(symbol_format.tone_power / values.size)
        return amplitudes.reshape(-1)

    def estimate(self, received: Sequence[Received], plan: Plan) -> Estimate:
        """Who has more energy, with the posterior mean squared error against the true majority (Rayleigh links)."""
        payload = only_payload(received, self.name)
        reason = reason_to_reject(payload, plan)
        if reason is not None:
            return rejected_estimate(reason, plan, payload.symbol_snr_db)
        if payload.energies is None or payload.energy_variances is None:
            raise SignalError(f"{self.name}: got symbols; allowed: energies of tones")
        total = payload.energies.sum(axis=1)
        std = np.sqrt(payload.energy_variances.sum(axis=1))
        if not (total > HEARD_STDS * std).all():
            return rejected_estimate("no energy above the noise: nobody was heard", plan, payload.symbol_snr_db)
        votes, errors = decide_shares(payload.energies[:, 0] / total, (std / total) ** 2, len(plan.active))
        return Estimate(values=votes, error_variance=errors, symbol_snr_db=payload.symbol_snr_db)
