"""A scheme: every value goes twice through the air and is averaged, which halves the receiver's noise."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

import testbed
from radio.records import Csi, Estimate, Plan, Received
from radio.schemes.base import Scheme, only_payload, reason_to_reject, rejected_estimate
from radio.waveform.base import SymbolFormat
from radio.waveform.precoding import precode

NUM_REPEATS = 2


@testbed.register
class Repeated(Scheme):
    """x_k = (c/ĥ_k)(p_k + n_k), twice; p̂ is the mean of both sums over K c."""

    name = "repeated"
    exposes = "sum"  # no symbol holds more than c·Σ(p_k + n_k): receiver noise may hide one device behind the others
    needs = (frozenset({"shared_clock"}), frozenset({"trigger", "streaming"}))

    def frame_symbols(self, num_queries: int) -> int:
        """Two symbols a value; the privacy ledger charges both."""
        return NUM_REPEATS * num_queries

    def encode(
        self, values: NDArray[np.float64], plan: Plan, csi: Csi | None, symbol_format: SymbolFormat
    ) -> NDArray[np.complex128]:
        """Channel-inverted symbols [2·Q]."""
        assert csi is not None, "a scheme that needs sounding is told its channel"
        return precode(
            np.repeat(values, NUM_REPEATS),
            gain=plan.gain,
            csi=csi,
            symbol_period_s=symbol_format.period_s,
            ridge=plan.ridge,
            max_factor=symbol_format.max_amplitude / plan.value_bound,
        )

    def estimate(self, received: Sequence[Received], plan: Plan) -> Estimate:
        """The mean, and its variance; rejected where nothing can be said."""
        payload = only_payload(received, self.name)
        reason = reason_to_reject(payload, plan)
        if reason is not None:
            return rejected_estimate(reason, plan, payload.symbol_snr_db)
        num_active = len(plan.active)
        sums = payload.symbols.real.reshape(plan.num_queries, NUM_REPEATS).mean(axis=1)
        variance = (
            payload.noise_variance / NUM_REPEATS / (num_active * plan.gain) ** 2
            + plan.artificial_noise_std**2 / num_active
            + payload.misalignment * payload.value_power / num_active**2
        )
        return Estimate(
            values=sums / (num_active * plan.gain),
            error_variance=np.full(plan.num_queries, variance),
            symbol_snr_db=payload.symbol_snr_db,
        )
