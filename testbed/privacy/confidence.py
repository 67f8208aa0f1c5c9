"""Bounds on what is estimated, so that a ledger never relies on a lucky estimate."""

from __future__ import annotations

import math

from scipy.special import chdtri


def amplitude_margin(amplitude: float, variance: float, failure: float) -> float:
    """By what factor |h| may exceed |ĥ|, but for a probability ``failure``.

    ĥ − h is CN(0, variance), so P(|ĥ − h|² > x·variance) = e^{−x}.
    """
    return 1 + math.sqrt(math.log(1 / failure) * variance) / amplitude if failure < 1 else 1.0


def least_variance(estimate: float, num_samples: float, failure: float) -> float:
    """What a noise power is at least, but for a probability ``failure``, when N complex samples average ``estimate``.

    2N·estimate/power is chi-squared with 2N degrees of freedom.
    """
    if failure >= 1 or math.isinf(num_samples):
        return estimate
    freedom = 2 * num_samples
    return estimate * freedom / float(chdtri(freedom, failure))
