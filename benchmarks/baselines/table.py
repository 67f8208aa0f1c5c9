"""From outcomes by seed to rows, paired differences and Markdown; pure."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

import msgspec
import numpy as np
from scipy.stats import t as student

from benchmarks.baselines.records import Outcome

CONFIDENCE = 0.95
BySeed = Mapping[int, Outcome]


class Interval(msgspec.Struct, frozen=True):
    """A mean of paired differences; its ends are null with fewer than two pairs."""

    mean: float
    low: float | None
    high: float | None


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """One method on one task; costs are means over the seeds that did not fail."""

    method: str
    task: str
    seeds: tuple[int, ...]
    metric_name: str
    metric: float | None
    metrics: tuple[float, ...]
    """By seed, without those that failed."""
    loss: float | None
    reference: str
    """The method that differences are to."""
    difference: Interval | None
    """Of the metric, seed by seed."""
    loss_difference: Interval | None
    learning_rate: float | None
    rounds: float | None
    rounds_lost: float | None
    forwards: float | None
    backwards: float | None
    bytes_up: float | None
    values_up: float | None
    bytes_down: float | None
    airtime_up_s: float | None
    airtime_down_s: float | None
    airtime_s: float | None
    """Both."""
    wall_s: float | None
    peak_mib: float | None
    epsilon: float | None
    """The largest of any seed."""
    delta: float | None
    threat_model: str
    failures: tuple[str, ...]


def paired(ours: BySeed, theirs: BySeed, field: str) -> Interval | None:
    """Student's interval of the mean difference over seeds that neither failed; None without any."""
    both = [seed for seed in ours if seed in theirs]
    all_ = np.array([ours[seed].last(field) - theirs[seed].last(field) for seed in both])
    found = all_[np.isfinite(all_)]
    if not len(found):
        return None
    mean = float(found.mean())
    if len(found) < 2:
        return Interval(mean, None, None)
    half = float(student.ppf((1 + CONFIDENCE) / 2, len(found) - 1) * found.std(ddof=1) / math.sqrt(len(found)))
    return Interval(mean, mean - half, mean + half)


def row(method: str, task: str, outcomes: BySeed, reference: str, theirs: BySeed) -> Row:
    """What the seeds of one method come to, beside those of the reference."""
    whole = [outcome for outcome in outcomes.values() if outcome.failure is None]
    epsilons = [outcome.epsilon for outcome in whole if outcome.epsilon is not None]

    def mean(of: Callable[[Outcome], float | None]) -> float | None:
        values = [value for value in map(of, whole) if value is not None]
        return float(np.mean(values)) if values else None

    return Row(
        method=method,
        task=task,
        seeds=tuple(outcomes),
        metric_name=whole[0].metric_name if whole else "accuracy",
        metric=mean(lambda o: o.last("metric")),
        metrics=tuple(o.last("metric") for o in whole),
        loss=mean(lambda o: o.last("loss")),
        reference=reference,
        difference=paired(outcomes, theirs, "metric"),
        loss_difference=paired(outcomes, theirs, "loss"),
        learning_rate=next((o.learning_rate for o in outcomes.values()), None),
        rounds=mean(lambda o: o.rounds),
        rounds_lost=mean(lambda o: o.rounds_lost),
        forwards=mean(lambda o: o.forwards),
        backwards=mean(lambda o: o.backwards),
        bytes_up=mean(lambda o: o.bytes_up),
        values_up=mean(lambda o: o.values_up),
        bytes_down=mean(lambda o: o.bytes_down),
        airtime_up_s=mean(lambda o: o.airtime_up_s),
        airtime_down_s=mean(lambda o: o.airtime_down_s),
        airtime_s=mean(
            lambda o: None if o.airtime_up_s is None or o.airtime_down_s is None else o.airtime_up_s + o.airtime_down_s
        ),
        wall_s=mean(lambda o: o.wall_s),
        peak_mib=mean(lambda o: o.peak_mib),
        epsilon=max(epsilons, default=None),
        delta=next((o.delta for o in whole if o.delta is not None), None),
        threat_model=whole[0].threat_model if whole else "unknown: every seed failed",
        failures=tuple(f"seed {seed}: {o.failure}" for seed, o in outcomes.items() if o.failure is not None),
    )


def markdown(rows: Sequence[Row], claims: Mapping[str, str]) -> str:
    """One table of one task; bytes and analog values are one device's, airtime is everybody's."""
    heads = (
        rows[0].metric_name, "difference [95 %]", "loss", "rounds (lost)", "forwards", "backwards", "up", "down",
        "air up / down, s", "wall, s", "peak, MiB", "(ε, δ)", "protects; against", "failed",
    )  # fmt: skip
    lines = [f"| method | {' | '.join(heads)} |", "|---" * (len(heads) + 1) + "|"]
    for each in rows:
        up = _bytes(each.bytes_up) if each.bytes_up is not None else f"{_count(each.values_up)} analog"
        cells = (
            each.method,
            "failed" if each.metric is None else f"{each.metric:.1%}",
            percents(each.difference),
            "–" if each.loss is None else f"{each.loss:.3f}",
            f"{_count(each.rounds)} ({_short(each.rounds_lost)})",
            _count(each.forwards),
            _count(each.backwards),
            up,
            _bytes(each.bytes_down),
            f"{_short(each.airtime_up_s)} / {_short(each.airtime_down_s)}",
            _short(each.wall_s),
            _short(each.peak_mib),
            "–" if each.epsilon is None else f"({each.epsilon:.3g}, {each.delta:g})",
            claims[each.method],
            f"{len(each.failures)} of {len(each.seeds)}",
        )
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def percents(interval: Interval | None) -> str:
    """In points of a hundred."""
    if interval is None:
        return "–"
    if interval.low is None or interval.high is None:
        return f"{100 * interval.mean:+.1f}"
    return f"{100 * interval.mean:+.1f} [{100 * interval.low:+.1f}, {100 * interval.high:+.1f}]"


def nats(interval: Interval | None) -> str:
    """As a loss."""
    if interval is None:
        return "–"
    if interval.low is None or interval.high is None:
        return f"{interval.mean:+.4f}"
    return f"{interval.mean:+.4f} [{interval.low:+.4f}, {interval.high:+.4f}]"


def _count(value: float | None) -> str:
    return "–" if value is None else f"{value:,.0f}"


def _short(value: float | None) -> str:
    return "–" if value is None else f"{value:,.3g}" if value < 1000 else f"{value:,.0f}"


def _bytes(value: float | None) -> str:
    if value is None:
        return "–"
    for unit, size in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if value >= size:
            return f"{value / size:.3g} {unit}"
    return f"{value:.0f} B"
