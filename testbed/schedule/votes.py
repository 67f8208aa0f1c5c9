"""Schedules for Sign-pAirZero: the sum of K signs, of which the update uses the sign.

v = c²/N0' = 1/u is the SNR of one vote, and a round leaks ρ = 2v, since one example can turn a vote by Δ = 2.
e0 is the probability that a device's sign is wrong.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import log_ndtr, logsumexp, ndtr

Floats = NDArray[np.float64]

_LOG_SNRS = np.linspace(-60.0, 60.0, 4097)


@dataclass(frozen=True, slots=True, kw_only=True)
class Votes:
    """K devices that are each wrong with probability e0 < 1/2."""

    num_devices: int
    error_probability: float

    @property
    def variance(self) -> float:
        """B1 = 4K·e0(1 − e0), of the sum of votes."""
        return 4 * self.num_devices * self.error_probability * (1 - self.error_probability)

    @property
    def margin(self) -> float:
        """√B2 = K(1 − 2e0), the mean of the sum in the right direction."""
        return self.num_devices * (1 - 2 * self.error_probability)

    def wrong(self, vote_snr: Floats) -> Floats:
        """Probability of a wrong update at v: Q(√B2/√(B1 + 1/v)); ½ in a silent round."""
        return np.asarray(ndtr(-self._quantile(vote_snr)))

    def published_log_leak(self, log_prices: Floats) -> Floats:
        """log ρ of the published optimum (arXiv 2604.12401, Theorem 4), corrected and clamped at silence.

        v = max(0, √(W·B2/(2ζ)) − 1)/(B1 + B2), with B1 and B2 the right way round.
        """
        square = self.margin**2
        with np.errstate(divide="ignore", over="ignore"):
            excess = np.maximum(0.0, np.exp((log_prices + math.log(square / 2)) / 2) - 1)
            return np.asarray(np.log(2 * excess / (self.variance + square)))

    def log_leak(self, log_prices: Floats) -> Floats:
        """log ρ that maximises W·(1 − 2·wrong) at a price: where the slope in v, which falls with v, is price/W.

        Infinite where leaks are free.
        """
        is_free = np.isposinf(log_prices)
        log_prices = np.where(is_free, 0.0, log_prices)
        table = self._log_slope(_LOG_SNRS)
        log_snr = np.interp(-log_prices, table[::-1], _LOG_SNRS[::-1])
        for _ in range(2):  # Newton, from the table's straight lines to the curve
            step = 1e-5
            slope = (self._log_slope(log_snr + step) - self._log_slope(log_snr - step)) / (2 * step)
            log_snr = log_snr - (self._log_slope(log_snr) + log_prices) / slope
        return np.where(is_free, np.inf, log_snr + math.log(2))

    def log_loss(self, log_weights: Floats, leaks: Floats) -> float:
        """log of Σ W·2·wrong / Σ W: 0 when every update is a coin's, lower is better."""
        terms = log_weights - log_weights.max()
        wrong = np.log(2) + log_ndtr(-self._quantile(leaks / 2))
        return float(logsumexp(terms + wrong) - logsumexp(terms))

    def _quantile(self, vote_snr: Floats) -> Floats:
        return np.asarray(self.margin * np.sqrt(vote_snr / (self.variance * vote_snr + 1)))

    def _log_slope(self, log_snr: Floats) -> Floats:
        """log d(1 − 2·wrong)/dv."""
        softened = np.logaddexp(0.0, log_snr + math.log(self.variance))  # log(1 + B1 v)
        square = self.margin**2 * np.exp(log_snr - softened)
        return np.asarray(math.log(self.margin / math.sqrt(2 * math.pi)) - (square + log_snr + 3 * softened) / 2)
