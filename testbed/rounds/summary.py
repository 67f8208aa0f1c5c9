"""summary.json from the rounds of a run, and whether anything came of it."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence

import msgspec

from learner.tasks.registry import template_of
from testbed.bench.rig import resolve
from testbed.config.differences import differences, shipped, shipped_like
from testbed.config.schema import RunConfig
from testbed.failures import EXPECTED
from testbed.planning.cautions import cautions
from testbed.planning.ledger import Ledger
from testbed.results.records import RoundRecord, RunInfo, Summary
from testbed.results.statistics import evaluations_of, median, pooled_nmse_db, troubles_of
from testbed.rounds.evaluations import best_round
from testbed.rounds.verification import Verification

_MANY = 0.1
"""Share of rounds from which on trouble is worth a sentence of its own."""


def summarise(
    config: RunConfig,
    info: RunInfo,
    records: Sequence[RoundRecord],
    *,
    stopped: str,
    payload_symbols: int,
    verification: Verification,
    ledger: Ledger,
    wall_s: float,
    caution: str | None = None,
) -> Summary:
    """The run in one object; pure. ``caution`` is a warning of its own."""
    initial = info.initial_evaluation
    metrics = [record.metric for record in records if record.metric is not None]
    used = [record for record in records if record.is_used]
    bits = [record.uplink_bits_per_device for record in records]
    statuses = Counter(record.status for record in records)
    evaluations, best = evaluations_of(initial, records), best_round(records)
    base, differs = told_apart(config)
    return Summary(
        name=config.experiment.name,
        scheme=config.experiment.scheme.name,
        air_level=config.rig.air.level,
        csi=config.rig.air.csi,
        schedule=config.experiment.schedule.name,
        num_devices=config.rig.num_devices,
        backend=config.rig.backend,
        rig=config.rig.description,
        base=base,
        differs=differs,
        git=info.git,
        num_parameters=info.num_parameters,
        seed=config.experiment.seed,
        rounds_ok=len(used),
        rounds_retried=statuses["retried"],
        rounds_skipped=statuses["skipped"],
        rounds_rejected=statuses["rejected"],
        rounds_silent=statuses["silent"],
        rounds_partial=sum(bool(record.absent) for record in used),
        troubles=troubles_of(records),
        rounds_total=len(records),
        rounds_asked=config.experiment.rounds.num,
        warnings=(
            *warnings_of(records),
            *([f"weights not verified at the end: {verification.not_verified}"] if verification.not_verified else []),
            *([evaluations.warning] if evaluations.warning else []),
            *([caution] if caution is not None else []),
            *(cautions(config) if ledger.void is None else []),
        ),
        metric_name=template_of(config.experiment.task).metric,
        metric_initial=initial.metric if initial else None,
        metric_final=math.fsum(metrics[-3:]) / len(metrics[-3:]) if metrics else None,
        metric_last=metrics[-1] if metrics else None,
        best_round=best.round if best is not None else None,
        metric_best=best.metric if best is not None else None,
        num_test=initial.num_examples if initial else None,
        nmse_db_median=median(record.nmse_db for record in used),
        nmse_db_pooled=pooled_nmse_db(used),
        symbol_snr_db_median=median(record.symbol_snr_db for record in used),
        airtime_s=math.fsum(record.airtime_s for record in records),
        payload_symbols_per_round=payload_symbols,
        uplink_bits_per_device=None if None in bits else sum(b for b in bits if b is not None),
        wall_s=wall_s,
        learner_s=math.fsum(record.learner_s for record in records),
        radio_s=math.fsum(record.radio_s for record in records),
        control_s=math.fsum(record.control_s for record in records),
        ground_truth=config.experiment.ground_truth,
        privacy=ledger.statement,
        rho_spent=None if ledger.unbounded else ledger.rho,
        epsilon_spent=ledger.epsilon if ledger.void is None else None,
        dp_delta=config.experiment.privacy.dp_delta,
        stopped=stopped,
        final_fingerprint=verification.final_fingerprint,
        rebuilt_fingerprint=verification.fingerprint,
        verified_devices=verification.devices,
        not_verified=verification.not_verified,
        evaluation=evaluations.words,
        evaluations_unverified=evaluations.num_unverified,
        captures_kept=sum(record.capture == "kept" for record in records),
        captures_left_out=sum(record.capture == "left out" for record in records),
    )


def told_apart(config: RunConfig) -> tuple[str, tuple[str, ...]]:
    """Experiment and rig of the toolkit that a run is like, and every key with another value than there.

    What follows of the rig from the experiment itself, as symbols do from a symbol-level scheme, is no difference.
    """
    rig, experiment = shipped_like(config)
    base = shipped(rig, experiment)
    try:
        like = resolve(msgspec.structs.replace(config, rig=base.rig)).rig
    except EXPECTED:  # that rig does not support this experiment, which is a difference by itself
        like = base.rig
    return f"{experiment} on {rig}", differences(config, msgspec.structs.replace(base, rig=like))


def warnings_of(records: Sequence[RoundRecord]) -> list[str]:
    """What a reader of the summary must not miss: rounds that needed retries or came to nothing, and why."""
    found = []
    for status, words in (("retried", "needed more than one attempt"), ("skipped", "were skipped"),
                          ("rejected", "were received but rejected")):  # fmt: skip
        hit = [record for record in records if record.status == status]
        if len(hit) > _MANY * len(records):
            reason, count = Counter(record.reason or "no reason recorded" for record in hit).most_common(1)[0]
            found.append(f"{len(hit)} of {len(records)} rounds {words}; most often ({count}): {reason}")
    return found


def nothing_used(records: Sequence[RoundRecord]) -> str | None:
    """Why a run has changed nothing, in one line; None if any round was used."""
    if any(record.is_used for record in records):
        return None
    if not records:
        return "no round was played, so the model is the untouched one"
    counts = Counter(record.status for record in records)
    listed = ", ".join(f"{count} {status}" for status, count in sorted(counts.items()))
    reason, _ = Counter(record.reason or "no reason recorded" for record in records).most_common(1)[0]
    return f"none of {len(records)} rounds was used ({listed}), so the model is the untouched one; most often: {reason}"
