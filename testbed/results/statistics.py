"""Figures over rounds."""

from __future__ import annotations

import math
import re
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from testbed.results.records import InitialEvaluation, RoundRecord

_TROUBLED = ("retried", "skipped", "rejected")
_NUMBER = re.compile(r"[-−+]?\d+(?:\.\d+)?(?:e[-+]?\d+)?")


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


def troubles_of(records: Iterable[RoundRecord], *, num: int = 5) -> tuple[str, ...]:
    """Why rounds did not go well at once: "14 retried: …", at most ``num``, the most frequent first.

    Reasons that differ in their numbers only are counted as one, of which the first is quoted.
    """
    alike: dict[tuple[str, str], list[str]] = {}
    for record in records:
        if record.status in _TROUBLED:
            reason = record.reason or "no reason recorded"
            alike.setdefault((record.status, _NUMBER.sub("#", reason)), []).append(reason)
    ordered = sorted(alike.items(), key=lambda item: -len(item[1]))
    words = [
        f"{len(reasons)} {status}: {reasons[0]}{' (and alike, with other numbers)' if len(set(reasons)) > 1 else ''}"
        for (status, _), reasons in ordered[:num]
    ]
    left = sum(len(reasons) for _, reasons in ordered[num:])
    return (*words, f"{left} for other reasons (rounds.jsonl)") if left else tuple(words)


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluations:
    """Who evaluated the model in a run, and whether anybody checked."""

    words: str
    num: int
    """How many there were, with that of the untouched model."""
    num_unverified: int
    """Of those, how many came from another process that no second host agreed with."""

    @property
    def warning(self) -> str | None:
        """What a reader must not miss."""
        if not self.num_unverified:
            return None
        return f"{self.num_unverified} of {self.num} evaluations were checked by nobody: {self.words}"


def evaluations_of(initial: InitialEvaluation | None, records: Iterable[RoundRecord]) -> Evaluations:
    """Of the untouched model's evaluation and those of the rounds."""
    seen = [record for record in records if record.metric is not None]
    each: list[InitialEvaluation | RoundRecord] = [*([initial] if initial is not None else []), *seen]
    elsewhere = [evaluation.evaluated_by for evaluation in each if not evaluation.evaluated_here]
    checked = [num for num in elsewhere if num > 1]
    groups = (
        (len(each) - len(elsewhere), "this process itself"),
        (len(checked), _agreed(checked)),
        (elsewhere.count(1), "one host, which nobody checked"),
        (elsewhere.count(0), "not recorded by whom"),
    )
    found = [(count, words) for count, words in groups if count]
    words = found[0][1] if len(found) == 1 else ", ".join(f"{count}: {words}" for count, words in found)
    return Evaluations(words=words or "none", num=len(each), num_unverified=len(elsewhere) - len(checked))


def _agreed(nums: Sequence[int]) -> str:
    if not nums:
        return ""
    if min(nums) < max(nums):
        return f"{min(nums)} to {max(nums)} hosts agreed"
    return f"{'two' if nums[0] == 2 else nums[0]} hosts agreed"
