"""Methods that the toolkit itself runs: every scheme and schedule, as whole runs over the sampled air."""

from __future__ import annotations

import shutil
from pathlib import Path

import testbed
from benchmarks.baselines.costs import COEFFICIENT_BYTES, counted_airtime_s, zeroth_order_peak_mib
from benchmarks.baselines.records import Job, Outcome, Point
from radio.schemes.registry import scheme
from testbed.config.schema import RunConfig
from testbed.errors import ConfigError
from testbed.results.directory import RunDirectory
from testbed.results.run import Run


def play(job: Job, config: RunConfig, where: Path) -> Outcome:
    """Run, or go on with what is left of it, in the run directory ``where``."""
    if where.exists() and not RunDirectory(where).journal.exists():
        shutil.rmtree(where)  # cut off before its first round
    if not where.exists():
        testbed.run(config, out=where)
    elif Run.open(where).config != config:
        raise ConfigError(f"{where}: is a run with other settings; allowed: the same; remove it, or give another --out")
    elif Run.open(where).summary is None:
        testbed.run(resume=where)
    return outcome_of(Run.open(where))


def outcome_of(run: Run) -> Outcome:
    """What a finished run reached and cost."""
    summary, first, experiment = run.summary, run.info.initial_evaluation, run.config.experiment
    assert summary is not None
    assert first is not None
    learner, played = experiment.learner, scheme(experiment.scheme.name)
    points = [
        Point(
            round=record.round + 1,
            loss=record.eval_loss,
            metric=record.metric,
            validation_loss=record.validation_loss,
            validation_metric=record.validation_metric,
        )
        for record in run.rounds
        if record.metric is not None and record.eval_loss is not None and record.validation_loss is not None
    ]
    begun = Point(round=0, loss=first.loss, metric=first.metric)
    num_bits = learner.num_queries if played.votes else 8 * COEFFICIENT_BYTES * learner.num_queries
    bits = summary.uplink_bits_per_device
    has_air = played.air_override is None
    return Outcome(
        learning_rate=learner.learning_rate,
        points=(begun, *points),
        metric_name=summary.metric_name,
        rounds=summary.rounds_total,
        rounds_lost=summary.rounds_total - summary.rounds_ok,
        forwards=2 * learner.num_queries * learner.batch_size * summary.num_devices * summary.rounds_total,
        bytes_up=None if bits is None else -(-bits // 8),
        values_up=learner.num_queries * summary.rounds_total if bits is None or played.superposed else None,
        bytes_down=-(-num_bits * summary.rounds_total // 8),
        airtime_up_s=summary.airtime_s if has_air else None,
        airtime_down_s=summary.rounds_total * counted_airtime_s(run.config.rig, num_bits) if has_air else None,
        wall_s=summary.wall_s,
        peak_mib=zeroth_order_peak_mib(run.config),
        epsilon=summary.epsilon_spent,
        delta=None if summary.epsilon_spent is None else summary.dp_delta,
        threat_model=summary.privacy,
    )
