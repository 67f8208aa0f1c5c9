"""What is remembered of a device's carrier from round to round."""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(slots=True, kw_only=True)
class CfoTracker:
    """A scalar Kalman filter over rounds for one device's residual carrier offset.

    A crystal's residual is constant but for a slow drift, so old soundings sharpen new ones. The prior is the
    rig's stated bound: uniform in ±bound has variance bound²/3.
    """

    cfo_hz: float
    variance_hz2: float
    drift_hz: float = 0.05
    """Standard deviation of the change from one sounding to the next."""

    @classmethod
    def within(cls, bound_hz: float) -> CfoTracker:
        """A tracker that knows the bound only."""
        return cls(cfo_hz=0.0, variance_hz2=bound_hz**2 / 3, drift_hz=0.05 if bound_hz > 0 else 0.0)

    def update(self, measured_hz: float, variance_hz2: float) -> None:
        """Take in one measurement; one without information (infinite variance) only ages the tracker."""
        predicted = self.variance_hz2 + self.drift_hz**2
        if not math.isfinite(variance_hz2) or predicted == 0:
            self.variance_hz2 = predicted
            return
        weight = predicted / (predicted + variance_hz2)
        self.cfo_hz += weight * (measured_hz - self.cfo_hz)
        self.variance_hz2 = (1 - weight) * predicted
