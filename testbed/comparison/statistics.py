"""Means of few runs, and differences of runs that share a seed, with Student's intervals; pure."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence

import msgspec
from scipy.special import stdtrit

LEVEL = 0.95
"""Confidence of every interval that is shown."""


class Interval(msgspec.Struct, frozen=True, kw_only=True):
    """A mean of n independent values, and where the true one lies with the confidence `LEVEL`."""

    mean: float
    low: float | None
    """None of a single value, which says nothing about its spread."""
    high: float | None
    num: int


def interval(values: Sequence[float], *, within: tuple[float, float] = (-math.inf, math.inf)) -> Interval | None:
    """The mean of ``values`` and its Student interval, for values that are normal or many; None without values.

    ``within``: where every value must lie, as shares between 0 and 1; an interval ends there.
    """
    num = len(values)
    if num == 0:
        return None
    mean = math.fsum(values) / num
    if num == 1:
        return Interval(mean=mean, low=None, high=None, num=1)
    half = float(stdtrit(num - 1, (1 + LEVEL) / 2)) * statistics.stdev(values) / math.sqrt(num)
    return Interval(mean=mean, low=max(within[0], mean - half), high=min(within[1], mean + half), num=num)


def paired_difference(of: Mapping[int, float], minus: Mapping[int, float]) -> Interval | None:
    """The mean difference over the seeds that both have, and its interval; None where they share none.

    What a seed decides (data, batches, channels) hits both alike and drops out, which unpaired means would not use.
    """
    return interval([of[seed] - minus[seed] for seed in sorted(set(of) & set(minus))])


def words_of(found: Interval | None, *, scale: float = 1.0, digits: int = 1, sign: bool = False) -> str:
    """An interval in words: "+1.2 [0.4, 2.0], n = 5"."""
    if found is None:
        return "–"
    form = f"{'+' if sign else ''}.{digits}f"
    text = format(scale * found.mean, form)
    if found.low is None or found.high is None:
        return f"{text}, n = {found.num}"
    return f"{text} [{scale * found.low:{form}}, {scale * found.high:{form}}], n = {found.num}"
