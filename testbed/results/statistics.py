"""Figures over rounds."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Sequence

from testbed.results.records import RoundRecord


def nmse_db(estimate: Sequence[float], true_mean: Sequence[float]) -> float | None:
    """10 log10(|e|²/|p̄|²) over the queries of one round; None where p̄ is zero or the error is."""
    error = sum((a - b) ** 2 for a, b in zip(estimate, true_mean, strict=True))
    power = sum(b**2 for b in true_mean)
    return 10 * math.log10(error / power) if error > 0 and power > 0 else None


def pooled_nmse_db(records: Iterable[RoundRecord]) -> float | None:
    """10 log10(Σ|e|²/Σ|p̄|²) over all rounds that have both."""
    error = power = 0.0
    for record in records:
        if record.estimate and record.true_mean:
            error += sum((a - b) ** 2 for a, b in zip(record.estimate, record.true_mean, strict=True))
            power += sum(b**2 for b in record.true_mean)
    return 10 * math.log10(error / power) if error > 0 and power > 0 else None


def median(values: Iterable[float | None]) -> float | None:
    """The median of what is known."""
    known = [value for value in values if value is not None]
    return statistics.median(known) if known else None
