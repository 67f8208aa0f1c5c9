"""Coherent majority vote: devices send signs, the air adds them (Sign-pAirZero, arXiv 2604.12401, eq. 11)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from radio.arrays import Reals
from radio.records import Estimate, Plan, Received
from radio.schemes.coherent import Coherent
from radio.schemes.votes import decide_sums


class Sign(Coherent):
    """x_k = (c/ĥ_k)(sign(p_k) + n_k); the estimate is the majority, ±1."""

    name: str = "sign"
    votes: bool = True
    sent_bound: float | None = 1.0

    def mapped(self, values: Reals) -> Reals:
        """±1, or 0 of a value of exactly 0."""
        return np.sign(values)

    def estimate(self, received: Sequence[Received], plan: Plan) -> Estimate:
        """The sign of the sum, with the posterior mean squared error against the true majority."""
        mean = super().estimate(received, plan)
        if mean.rejected is not None:
            return mean
        num_active = len(plan.active)
        votes, errors = decide_sums(mean.values * num_active, mean.error_variance * num_active**2, num_active)
        return replace(mean, values=votes, error_variance=errors)
