"""The optimum where receiver noise is not trusted: artificial noise costs power too.

A device that adds σ may send p + n up to γ + 4σ, so the gain falls and the receiver's noise weighs more:
total noise of the sum = K·σ² + N0'(γ + 4σ)²/(P min|h|²), of which only m·σ² counts for privacy.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from radio.records import NOISE_CLIP_STDS

Floats = NDArray[np.float64]

_NEWTON_STEPS = 40
_MAX_LOG = 300.0


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class DeviceNoise:
    """The noise that K devices add themselves, of which m sources count."""

    receiver: Floats
    """[T], N0'/(P min|h|²): the receiver's noise at full power, in units of γ²"""
    num_devices: int
    num_noise_sources: int
    clip: float
    """γ"""

    def total(self, credited: Floats) -> Floats:
        """Noise of the sum when σ = √(u/m)."""
        std = np.sqrt(credited / self.num_noise_sources)
        return np.asarray(self.num_devices * std**2 + self.receiver * (self.clip + NOISE_CLIP_STDS * std) ** 2)

    def inverse(self, sensitivity: float) -> Callable[[Floats], Floats]:
        """What `fill` needs to minimise Σ W_t·total: the leak at which one unit more saves what it costs.

        With v = √u, stationarity reads a_t·v⁴ + b_t·v³ = price/W_t up to a constant, for costs that are linear in ρ;
        solved by Newton from above, where the left side is convex.
        """
        quadratic = (
            self.num_devices / self.num_noise_sources + NOISE_CLIP_STDS**2 * self.receiver / self.num_noise_sources
        )
        linear = NOISE_CLIP_STDS * self.clip * self.receiver / math.sqrt(self.num_noise_sources)  # [T], as quadratic
        log_square = 2 * math.log(sensitivity) - math.log(2)
        with np.errstate(divide="ignore"):
            log_ratio, log_quadratic = np.log(linear) - np.log(quadratic), np.log(quadratic)

        def inverse(log_prices: Floats) -> Floats:
            # a·u² + b·u^{3/2} = e^goal at the optimum, as ρ = Δ²/(2u); in units of s = (e^goal/a)^{1/4}: x⁴ + βx³ = 1
            log_unit = (2 * log_square - log_prices - log_quadratic) / 4
            bent = np.exp(np.minimum(log_ratio - log_unit, _MAX_LOG))
            root = np.minimum(1.0, np.maximum(bent, 1.0) ** (-1 / 3))
            for _ in range(_NEWTON_STEPS):
                step = ((root + bent) * root**3 - 1) / ((4 * root + 3 * bent) * root**2)
                root = root - step
                if np.all(np.abs(step) <= 1e-14 * root):
                    break
            return np.asarray(log_square - 2 * (log_unit + np.log(root)))

        return inverse
