"""Alternatives to aligning everybody to the weakest device: whom to leave out, or whom to let arrive too weak.

Errors are of p̂ against the mean over all K devices, for independent p_k of mean square s² (a public prior). A privacy
bound enters as the largest amplitude at which any device may arrive.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Inversion:
    """How devices arrive: amplitudes [K] per unit of p_k, and what the sum is divided by."""

    amplitudes: Floats
    divisor: float
    mean_square_error: float


def aligned(strongest: Floats, *, noise_variance: float, mean_square: float, max_gain: float = np.inf) -> Inversion:
    """Everybody arrives like the weakest; ``strongest`` [K] is √P_k|h_k|/γ_k, each device's gain at full power."""
    gain = min(float(strongest.min()), max_gain)
    return _judged(np.full(len(strongest), gain), len(strongest) * gain, noise_variance, mean_square)


def truncated(strongest: Floats, *, noise_variance: float, mean_square: float, max_gain: float = np.inf) -> Inversion:
    """The weakest devices are silent and the others align, their number chosen for the least mean square error."""
    best: Inversion | None = None
    for num_active in range(1, len(strongest) + 1):
        threshold = np.sort(strongest)[-num_active]
        active = strongest >= threshold
        gain = min(float(threshold), max_gain)
        candidate = _judged(np.where(active, gain, 0.0), float(active.sum()) * gain, noise_variance, mean_square)
        if best is None or candidate.mean_square_error < best.mean_square_error:
            best = candidate
    assert best is not None
    return best


def regularised(strongest: Floats, *, noise_variance: float, mean_square: float, max_gain: float = np.inf) -> Inversion:
    """Weak devices send at full power and arrive too weak, strong ones align (Cao et al., arXiv 1906.06858).

    The least mean square error over the common gain and the divisor; where privacy caps the gain, the divisor alone is
    optimised, which shrinks.
    """
    candidates = []
    weakest_first = np.sort(strongest)
    sums, squares = np.cumsum(weakest_first), np.cumsum(weakest_first**2)
    for gain in {*map(float, (squares + noise_variance / mean_square) / sums), float(weakest_first[0])}:
        amplitudes = np.minimum(strongest, min(gain, max_gain))
        power = float(np.sum(amplitudes**2)) + noise_variance / mean_square
        divisor = len(strongest) * power / float(np.sum(amplitudes))
        candidates.append(_judged(amplitudes, divisor, noise_variance, mean_square))
    return min(candidates, key=lambda each: each.mean_square_error)


def _judged(amplitudes: Floats, divisor: float, noise_variance: float, mean_square: float) -> Inversion:
    share = amplitudes / divisor - 1 / len(amplitudes)
    error = mean_square * float(np.sum(share**2)) + noise_variance / divisor**2
    return Inversion(amplitudes=amplitudes, divisor=divisor, mean_square_error=error)
