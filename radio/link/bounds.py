"""What is declared of channels and noise, and how strong a device can arrive by it (docs/method.md §2.4). Pure."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

from scipy.special import gammainccinv, gammaincinv, ndtri


@dataclass(frozen=True, slots=True, kw_only=True)
class ChannelBounds:
    """What a claim that counts receiver noise stands on; of every device, between full scales."""

    noise_power: float
    """N0 that the receiver has at least, total per complex sample."""
    doppler_rms_hz: float
    """Root mean square of the paths' Doppler shifts, by their powers; 0 where nothing moves within a block."""
    moving_power: float
    """E|h|² of what moves, at most."""
    stretch: float
    """Delays: how many times the matched filter's |h| the root mean square of |h| over the payload's bins may be."""
    dispersed_power: float
    """Mean power of what echoes add to that root mean square, at most."""
    gain_drift_db: float
    """By how much a transmitter may be stronger at the payload than at its sounding."""
    cfo_max_hz: float

    def change_power(self, elapsed_s: float) -> float:
        """E|h(t + elapsed) − h(t)|² at most: paths turn by x = 2πf·elapsed, and |e^{jx} − 1| ≤ min(x, 2)."""
        turn_rad = 2 * math.pi * self.doppler_rms_hz * elapsed_s
        return self.moving_power * min(turn_rad**2, 4.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Sounded:
    """What is known of one device's channel."""

    amplitude: float
    """|ĥ|"""
    variance: float
    """E|ĥ − h|²"""
    elapsed_s: float
    """From the first sample of the sounding's pilots to the last one of the payload."""
    cfo_hz: float = 0.0
    """By which the pilots were turned before they were added."""
    spacing_s: float = 0.0
    """From one pilot to the other."""
    block_s: float = 0.0
    """What the matched filter integrates over."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Credit:
    """What of a coming payload a claim may count on, each but for a small probability."""

    noise_variance: float
    """N0' on the payload's own bins, at least."""
    margin: float
    """c'/c: how strong the strongest |h_k α_k| can be, against the gain that was asked for."""


def largest_amplitude(sounded: Sounded, bounds: ChannelBounds, failure: float) -> float:
    """How strong the channel can be at the payload, root mean square over its bins and symbols.

    Each of three parts exceeds its bound with a probability of ``failure`` at most: the estimate's error, what moved,
    what the matched filter does not see of echoes.
    """
    offset_rad = math.pi * (bounds.cfo_max_hz + abs(sounded.cfo_hz)) * sounded.spacing_s
    if not offset_rad < math.pi / 2:
        return math.inf
    turn_rad = math.pi * bounds.cfo_max_hz * sounded.block_s
    seen = math.cos(offset_rad) * (math.sin(turn_rad) / turn_rad if turn_rad > 0 else 1.0)
    likely = tail(failure)
    towards = max(0.0, -float(ndtri(failure))) if failure < 1 else 0.0
    arrived = (
        sounded.amplitude
        + towards * math.sqrt(sounded.variance / 2)  # |ĥ| < |h| − x only if the error along h is below −x
        + math.sqrt(likely * bounds.change_power(sounded.elapsed_s))
    )
    echoes = math.sqrt(likely * bounds.dispersed_power)
    return (arrived / seen * bounds.stretch + echoes) * 10 ** (bounds.gain_drift_db / 20)


@lru_cache  # the same for all devices and rounds
def tail(failure: float) -> float:
    """x with P(|s|² > x·E|s|²) ≤ failure, for sums of independent phasors with uniform phases, or Gaussian vectors.

    Both have E e^{r|s|²/E|s|²} ≤ 1/(1 − r), and so has the mean of such |s|² over time. By Chernoff's bound x solves
    e·x·e^{−x} = failure.
    """
    if failure >= 1:
        return 0.0
    x = math.log(1 / failure) + 1
    for _ in range(60):
        x = math.log(1 / failure) + 1 + math.log(x)
    return x


def least_variance(estimate: float, num_samples: float, failure: float) -> float:
    """What a noise power is at least, but for a probability ``failure``, when N complex samples average ``estimate``.

    2N·estimate/power is chi-squared with 2N degrees of freedom.
    """
    if failure >= 1 or math.isinf(num_samples):
        return estimate
    return estimate * num_samples / float(gammainccinv(num_samples, failure))


def largest_variance(estimate: float, num_samples: float, failure: float) -> float:
    """What it is at most, likewise."""
    if failure >= 1 or math.isinf(num_samples):
        return estimate
    return estimate * num_samples / float(gammaincinv(num_samples, failure))
