"""`testbed run` of an experiment with ``method = "jcpba"``: every method by modelled wall clock, then pAirZero.

pAirZero is a run like any other, in the directory pairzero/ of the comparison, on the same rig, seed, model and data;
to its air time the zeroth-order arithmetic of the slowest device is added, by the same count of operations.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import Protocol

import msgspec

from testbed.bench.rig import resolve
from testbed.config.schema import RunConfig
from testbed.config.words import Allocating
from testbed.errors import ConfigError
from testbed.jcpba.directory import ComparisonDirectory
from testbed.jcpba.links import speeds_ops, workload
from testbed.jcpba.pictures import loss_by_time
from testbed.jcpba.records import Comparison, MethodResult, MethodRound, Point, mean_of_last
from testbed.jcpba.training import Bench, train
from testbed.planning.terms import is_simulated
from testbed.results.plots import rendered
from testbed.results.provenance import git_revision, versions
from testbed.results.records import RoundRecord, RunInfo
from testbed.results.run import Run
from testbed.rounds.processes import run_in_one_process

COMPLETED, INTERRUPTED = "completed", "interrupted"
PAIRZERO_WORDS = "pAirZero, scalars over the air"


class ComparisonProgress(Protocol):
    """Whoever watches a comparison."""

    def begins(self, words: str, first_round: int, num_rounds: int) -> None:
        """A method, or pAirZero."""

    def round_done(self, round_number: int, wall_clock_s: float | None, loss: float | None) -> None:
        """One round; the loss is on the test split, where it was evaluated."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Compared:
    """What a comparison left behind."""

    directory: ComparisonDirectory
    comparison: Comparison


def run_comparison(
    config: RunConfig,
    *,
    out: Path | None = None,
    resume: Path | None = None,
    progress: ComparisonProgress,
    should_stop: Callable[[], bool] = lambda: False,
) -> Compared:
    """Train every method that the experiment names; a comparison that was cut off goes on where it stood.

    Raises ConfigError for a rig of real radios, or what cannot be trained by gradients here; LearnerError.
    """
    directory = ComparisonDirectory.open(resume) if resume is not None else None
    if directory is not None:
        config = resolve(directory.read_config())
    if not is_simulated(config.rig):
        raise ConfigError(
            f"method: got 'jcpba' on a rig of backend {config.rig.backend!r}, whose channels nobody knows beforehand; "
            "allowed: on simulated rigs; choose --rig loopback, or play measured channels by air.channel"
        )
    bench = Bench.of(config)
    directory = directory or ComparisonDirectory.create(out, config)
    initial = directory.read_initial()
    if initial is None:
        loss, metric = bench.evaluation()
        initial = Point(round=0, wall_clock_s=0.0, loss=loss, metric=metric)
        directory.write_initial(initial)
    results = []
    for method in dict.fromkeys(config.experiment.jcpba.methods):
        results.append(_trained(bench, method, directory, initial, progress, should_stop))
        if should_stop():
            break
    if config.experiment.jcpba.pairzero and not should_stop():
        results.append(_pairzero(bench, directory, initial, progress, should_stop))
    comparison = Comparison(
        name=config.experiment.name, seed=config.experiment.seed, num_devices=config.rig.num_devices,
        num_parameters=bench.judge.num_parameters, metric_name=bench.task.template.metric,
        started=time.strftime("%Y-%m-%dT%H:%M:%S%z"), versions=versions(), git=git_revision(),
        methods=tuple(results), stopped=INTERRUPTED if should_stop() else COMPLETED,
    )  # fmt: skip
    directory.write_results(comparison, rendered(loss_by_time(comparison)))
    return Compared(directory=directory, comparison=comparison)


def _trained(
    bench: Bench,
    method: Allocating,
    directory: ComparisonDirectory,
    initial: Point,
    progress: ComparisonProgress,
    should_stop: Callable[[], bool],
) -> MethodResult:
    def done(record: MethodRound) -> None:
        progress.round_done(record.round + 1, record.wall_clock_s, record.eval_loss)

    def begins(words: str, first_round: int) -> None:
        progress.begins(words, first_round, bench.config.experiment.jcpba.num_rounds)

    return train(bench, method, directory, initial, begins=begins, round_done=done, should_stop=should_stop)


class _Forwarded:
    """A run's progress as a comparison's."""

    def __init__(self, progress: ComparisonProgress) -> None:
        self._progress = progress

    def waiting(self, missing: list[int]) -> None:
        """Nobody is waited for in one process."""

    def started(self, info: RunInfo, first_round: int, num_rounds: int) -> None:
        """The run begins."""
        self._progress.begins(PAIRZERO_WORDS, first_round, num_rounds)

    def round_done(self, record: RoundRecord) -> None:
        """One round is on disk."""
        self._progress.round_done(record.round + 1, None, record.eval_loss)


def _pairzero(
    bench: Bench,
    directory: ComparisonDirectory,
    initial: Point,
    progress: ComparisonProgress,
    should_stop: Callable[[], bool],
) -> MethodResult:
    experiment = msgspec.structs.replace(bench.config.experiment, method="pairzero")
    config = msgspec.structs.replace(bench.config, experiment=experiment)
    watcher = _Forwarded(progress)
    path = directory.pairzero
    if directory.has_begun_pairzero():
        if Run.open(path).summary is None or len(Run.open(path).rounds) < experiment.rounds.num:
            run_in_one_process(config, resume=path, progress=watcher, should_stop=should_stop)
    else:
        run_in_one_process(config, out=path, progress=watcher, should_stop=should_stop)
    compute_s = workload(bench.parts, bench.task, config).zeroth_order_ops / float(speeds_ops(config).min())
    return pairzero_result(Run.open(path).rounds, initial, compute_s)


def pairzero_result(rounds: tuple[RoundRecord, ...], initial: Point, compute_s: float) -> MethodResult:
    """A run's rounds as a method's, each taking `compute_s` beside its air time, all attempts of it."""
    ends_s = list(accumulate(compute_s + record.airtime_s for record in rounds))
    curve = (initial, *(
        Point(round=r.round + 1, wall_clock_s=end_s, loss=r.eval_loss, metric=r.metric)
        for r, end_s in zip(rounds, ends_s, strict=True) if r.eval_loss is not None and r.metric is not None
    ))  # fmt: skip
    loss, metric = mean_of_last(curve)
    return MethodResult(
        name="pairzero", words=PAIRZERO_WORDS, num_rounds=len(rounds), wall_clock_s=ends_s[-1] if ends_s else 0.0,
        loss=loss, metric=metric, mean_pruning=None, curve=curve,
        uplink_bits_per_device=float(sum(r.uplink_bits_per_device or 0 for r in rounds)),
    )  # fmt: skip
