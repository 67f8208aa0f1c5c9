"""What a run asks of its data set's budget: to draw its whole promise when it begins, to have drawn it when resumed."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

import msgspec

from testbed.config.schema import RunConfig
from testbed.errors import BudgetError
from testbed.planning import budget_marks, dataset_budget
from testbed.planning.checks import check_budget
from testbed.planning.dataset_budget import Reserved
from testbed.results import journal as j


def draw(config: RunConfig, run_id: str) -> None:
    """Reserve what this run promises, on disk; without privacy.budget nothing. Raises BudgetError or ConfigError."""
    if (path := config.experiment.privacy.budget) is not None:
        check_budget(config)
        dataset_budget.reserve(Path(path), reservation_of(config, run_id))
        budget_marks.begin(Path(path), run_id)


def count(config: RunConfig, records: Sequence[j.AnyRecord], *, is_new: bool = True) -> None:
    """Count the transmissions that the journal holds, beside the budget; the last one was charged now if ``is_new``.

    Raises BudgetError if there were more.
    """
    if (path := config.experiment.privacy.budget) is not None:
        charged = sum(isinstance(record, j.Spent) for record in records)
        budget_marks.count(Path(path), _run_id(path, records), charged, is_new=is_new)


def check_drawn(config: RunConfig, records: Sequence[j.AnyRecord]) -> None:
    """Raise BudgetError unless the run of this journal has drawn what it promises; it draws no second time.

    Refused, too, if it had transmitted more often than the journal holds.
    """
    if (path := config.experiment.privacy.budget) is None:
        return
    check_budget(config)
    run_id = _run_id(path, records)
    asked, held = reservation_of(config, run_id), dataset_budget.read(Path(path)).drawn_by(run_id)
    if held is None:
        raise BudgetError(
            f"{path}: run {run_id} has drawn nothing from it; allowed: to resume a run that drew when it began; "
            "restore the file that it drew from, or start a new run"
        )
    same = (held.level, held.adjacency, held.clients) == (asked.level, asked.adjacency, asked.clients)
    if not (same and held.epsilon >= asked.epsilon and held.delta >= asked.delta):
        raise BudgetError(
            f"{path}: run {run_id} drew ({held.epsilon:g}, {held.delta:g}) at {held.level} level, and config.toml now "
            f"promises ({asked.epsilon:g}, {asked.delta:g}) at {asked.level} level, or divides the data otherwise; "
            "allowed: what it drew; restore config.toml, or start a new run"
        )
    count(config, records, is_new=False)


def reservation_of(config: RunConfig, run_id: str) -> Reserved:
    """The whole promise of a run."""
    experiment = config.experiment
    privacy = experiment.privacy
    return Reserved(
        run_id=run_id,
        run=experiment.name,
        epsilon=privacy.dp_epsilon,
        delta=privacy.dp_delta,
        level=privacy.level,
        adjacency=privacy.adjacency,
        clients=_division(config) if privacy.level == "client" else None,
        utc=dataset_budget.now_utc(),
    )


def _run_id(path: str, records: Sequence[j.AnyRecord]) -> str:
    """Of the journal, which is what a resumed run goes by."""
    for record in records:
        if isinstance(record, j.Start):
            return record.run_id
    raise BudgetError(f"{path}: got a journal without its Start; allowed: a whole one; restore journal.bin from a copy")


def _division(config: RunConfig) -> str:
    """Stands for all that decides which data each client holds: data, seed and number of devices."""
    decides = (config.rig.num_devices, config.experiment.seed, config.experiment.task)
    return hashlib.sha256(msgspec.json.encode(decides, order="sorted")).hexdigest()[:16]
