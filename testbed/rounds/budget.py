"""What a run asks of its data set's budget: to draw its whole promise when it begins, to have drawn it when resumed."""

from __future__ import annotations

import hashlib
from pathlib import Path

import msgspec

from testbed.config.schema import RunConfig
from testbed.errors import BudgetError
from testbed.planning import dataset_budget
from testbed.planning.checks import check_budget
from testbed.planning.dataset_budget import Reserved


def draw(config: RunConfig, run_id: str) -> None:
    """Reserve what this run promises, on disk; without privacy.budget nothing. Raises BudgetError or ConfigError."""
    if (path := config.experiment.privacy.budget) is not None:
        check_budget(config)
        dataset_budget.reserve(Path(path), reservation_of(config, run_id))


def check_drawn(config: RunConfig, run_id: str) -> None:
    """Raise BudgetError unless the run has drawn what it promises; a resumed run draws no second time."""
    if (path := config.experiment.privacy.budget) is None:
        return
    check_budget(config)
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


def _division(config: RunConfig) -> str:
    """Stands for all that decides which data each client holds: data, seed and number of devices."""
    decides = (config.rig.num_devices, config.experiment.seed, config.experiment.task)
    return hashlib.sha256(msgspec.json.encode(decides, order="sorted")).hexdigest()[:16]
