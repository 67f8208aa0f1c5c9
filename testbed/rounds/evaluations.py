"""What is kept of an evaluation, and what follows from those on record: the best round, and an early end.

Decided from rounds.jsonl alone, so that a run that goes on after a crash decides as it would have.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from learner.config import TaskConfig
from learner.tasks.registry import template_of
from testbed.config.schema import Experiment, RoundsConfig
from testbed.results.records import InitialEvaluation, RoundRecord
from testbed.rounds.round import Evaluation
from testbed.rounds.session import Session, rebuild


def is_due(rounds: RoundsConfig, round_index: int) -> bool:
    """Whether the weights are evaluated behind this round."""
    return (round_index + 1) % rounds.eval_every == 0 or round_index + 1 == rounds.num


def initial_evaluation(evaluated: Evaluation, task: TaskConfig) -> InitialEvaluation:
    """What run.json keeps of the untouched model's."""
    said = evaluated.said
    return InitialEvaluation(
        loss=said.loss,
        metric=said.metric,
        metric_name=template_of(task).metric,
        num_examples=said.num_examples,
        evaluated_by=evaluated.num_hosts,
        evaluated_here=evaluated.is_here,
    )


def with_evaluation(record: RoundRecord, evaluated: Evaluation | None) -> RoundRecord:
    """A round's record with what hosts said of the weights behind it, if any did."""
    if evaluated is None:
        return record
    said = evaluated.said
    return msgspec.structs.replace(
        record,
        metric=said.metric,
        eval_loss=said.loss,
        validation_metric=said.validation_metric,
        validation_loss=said.validation_loss,
        evaluated_by=evaluated.num_hosts,
        evaluated_here=evaluated.is_here,
    )


def best_round(records: Sequence[RoundRecord]) -> RoundRecord | None:
    """The round with the least loss on the validation split, the first of equals; None without such a split."""
    validated = [record for record in records if record.validation_loss is not None]
    return min(validated, key=lambda record: record.validation_loss or 0.0, default=None)


def early_end(experiment: Experiment, records: Sequence[RoundRecord]) -> str | None:
    """Why the run ends before its last round; None if it goes on."""
    patience, best = experiment.rounds.patience, best_round(records)
    if patience is None or best is None:
        return None
    worse = sum(record.validation_loss is not None for record in records[best.round + 1 :])
    if worse < patience:
        return None
    return f"the validation loss has not fallen in {worse} evaluations (rounds.patience); best after round {best.round}"


def keep_best(session: Session) -> None:
    """Write the weights of the best round, made from the journal; nothing without a validation split."""
    best = best_round(session.records)
    if best is None:
        return
    weights = rebuild(session.directory, session.config, session.results[: best.round + 1])
    session.directory.write_with(session.directory.best_weights, weights.save_weights)
