"""Majority decisions, and how likely they are wrong. Every device votes up or down with equal odds a priori."""

from __future__ import annotations

import numpy as np
from scipy.special import gammaln, logsumexp, xlog1py, xlogy

from radio.arrays import Reals

SMALLEST_STD = 1e-6  # in votes


def _log_prior(num_devices: int) -> Reals:
    """ln of the binomial probability of m votes up, shape [K + 1]."""
    ups = np.arange(num_devices + 1)
    log_choose = gammaln(num_devices + 1) - gammaln(ups + 1) - gammaln(num_devices - ups + 1)
    return np.asarray(log_choose - num_devices * np.log(2))


def _decide(log_posterior: Reals) -> tuple[Reals, Reals]:
    """The vote ±1 and its mean squared error against sign(n), from ln weights [Q, K + 1] of m votes up."""
    num_devices = log_posterior.shape[1] - 1
    posterior = np.exp(log_posterior - logsumexp(log_posterior, axis=1, keepdims=True))
    truth = np.sign(2 * np.arange(num_devices + 1) - num_devices)
    votes = np.where(posterior @ truth >= 0, 1.0, -1.0)
    return votes, np.sum(posterior * (votes[:, None] - truth) ** 2, axis=1)


def decide_sums(sums: Reals, variances: Reals, num_devices: int) -> tuple[Reals, Reals]:
    """From measured sums of signs [Q], with Gaussian errors."""
    counts = 2 * np.arange(num_devices + 1) - num_devices
    variances = np.maximum(variances, SMALLEST_STD**2)
    log_likelihood = -((sums[:, None] - counts) ** 2) / (2 * variances[:, None])
    return _decide(log_likelihood + _log_prior(num_devices))


def decide_shares(shares: Reals, variances: Reals, num_devices: int) -> tuple[Reals, Reals]:
    """From the share [Q] of the energy that voted up, where each device arrives with an exponential power (Rayleigh).

    With m of K up the share is Beta(m, K − m); with none or all it is 0 or 1, give or take the measurement.
    """
    ups = np.arange(1, num_devices)
    std = np.sqrt(np.maximum(variances, SMALLEST_STD**2))[:, None]
    inside = np.clip(shares[:, None], std, 1 - np.minimum(std, 0.5))
    log_beta = gammaln(ups) + gammaln(num_devices - ups) - gammaln(num_devices)
    mixed = xlogy(ups - 1, inside) + xlog1py(num_devices - ups - 1, -inside) - log_beta
    pure = [-((shares[:, None] - end) ** 2) / (2 * std**2) - np.log(std * np.sqrt(np.pi / 2)) for end in (0.0, 1.0)]
    return _decide(np.concatenate((pure[0], mixed, pure[1]), axis=1) + _log_prior(num_devices))
