"""Automatic gain, one step of it: what each mode does with the power that it measured (AD9361 reference manual UG-570).

Slow attack keeps the mean power in a window by steps that grow with the distance. Fast attack goes to its level at
once and stays there until the signal is lost or overloads. Hybrid waits for a pin that a PlutoSDR does not wire: it
backs out of overloads, no more. Thresholds and steps are settings of the driver; these are ours.
"""

from __future__ import annotations

from dataclasses import dataclass

from radio.virtual_pluto.bench.chip import RX_GAIN_RANGE_DB

PIECE_SAMPLES = 1 << 12
"""Over which power is measured."""
TARGET_DBFS = -12.0
OVERLOAD_DBFS = -4.0
INNER_DB, OUTER_DB = 1.5, 6.0
SMALL_STEP_DB, LARGE_STEP_DB, OVERLOAD_STEP_DB = 1.0, 4.0, 10.0
LOST_DB = 10.0
"""Below its level at which fast attack takes the signal for gone."""


@dataclass(slots=True)
class GainControl:
    """Where automatic gain stands."""

    is_locked: bool = False
    """Fast attack has found its level."""

    def step(self, mode: str, gain_db: float, power_dbfs: float) -> float:
        """The gain after a piece of so much power was received."""
        error_db = TARGET_DBFS - power_dbfs
        overloaded = power_dbfs > OVERLOAD_DBFS
        if mode == "fast_attack":
            change_db = self._fast(error_db, overloaded=overloaded)
        elif overloaded:
            change_db = -OVERLOAD_STEP_DB
        elif mode == "hybrid" or abs(error_db) <= INNER_DB:
            change_db = 0.0
        else:
            size_db = LARGE_STEP_DB if abs(error_db) > OUTER_DB else SMALL_STEP_DB
            change_db = size_db if error_db > 0 else -size_db
        low_db, high_db = RX_GAIN_RANGE_DB
        return min(max(gain_db + change_db, low_db), high_db)

    def _fast(self, error_db: float, *, overloaded: bool) -> float:
        if self.is_locked and not overloaded and error_db < LOST_DB:
            return 0.0
        self.is_locked = abs(error_db) < INNER_DB
        if overloaded:
            return -2 * OVERLOAD_STEP_DB
        return float(round(error_db))
