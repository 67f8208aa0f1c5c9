"""What a comparison writes: a round of one method, a method's end, all of them together."""

from __future__ import annotations

import msgspec


class MethodRound(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One line of methods/NAME.jsonl."""

    round: int
    deadline_s: float
    """Modelled: when the slowest client has sent, with what its mask really keeps."""
    wall_clock_s: float
    """Modelled, of all rounds so far."""
    wanted_deadline_s: float
    """Of the allocation before masks rounded it to whole rows."""
    pruning: tuple[float, ...]
    """[K], as realised"""
    shares: tuple[float, ...]
    """[K], of the bandwidth"""
    weights_sent: tuple[int, ...]
    """[K]"""
    loss: float
    """Mean training loss of clients and local steps, of the pruned models"""
    eval_loss: float | None = None
    """On the test split after this round, of what the client keeps that pruned least, where it was evaluated"""
    metric: float | None = None


class Point(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One evaluation."""

    round: int
    """Rounds before it"""
    wall_clock_s: float
    loss: float
    metric: float


class MethodResult(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What became of one method."""

    name: str
    words: str
    num_rounds: int
    wall_clock_s: float
    """Modelled, of the whole run"""
    loss: float
    """Mean of the last three evaluations on the test split"""
    metric: float
    """Mean of the same"""
    mean_pruning: float | None
    uplink_bits_per_device: float
    """Of the whole run, mean over devices"""
    curve: tuple[Point, ...]
    """From the untouched model on"""


class Comparison(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """results.json."""

    name: str
    seed: int
    num_devices: int
    num_parameters: int
    metric_name: str
    started: str
    versions: dict[str, str]
    git: str | None
    methods: tuple[MethodResult, ...]
    stopped: str
    """completed | interrupted"""


def mean_of_last(curve: tuple[Point, ...], count: int = 3) -> tuple[float, float]:
    """Loss and metric, mean of the last evaluations; the untouched model counts only where there is nothing else."""
    last = curve[1:][-count:] or curve
    return sum(p.loss for p in last) / len(last), sum(p.metric for p in last) / len(last)
