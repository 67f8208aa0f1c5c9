"""What is exported of a run, whatever the tool: figures by round, parameters, final figures. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from testbed.config.schema import RunConfig, to_plain
from testbed.results.records import InitialEvaluation, RoundRecord, Summary
from testbed.results.run import Run
from testbed.results.words import verdict

_ROOMS = {
    "learning": ("loss", "eval_loss", "metric", "validation_loss", "validation_metric"),
    "air": ("nmse_db", "symbol_snr_db", "predicted_error_std", "gain", "artificial_noise_std", "attempt"),
    "privacy": ("rho_spent", "epsilon_spent"),
    "time": ("airtime_s", "learner_s", "radio_s", "control_s", "wall_s"),
}
_VECTORS = ("estimate", "true_mean")


@dataclass(frozen=True, slots=True)
class Figure:
    """One number of one round."""

    tag: str
    """``group/name``, the name as in rounds.jsonl."""
    step: int
    """Rounds played by then: 1 of the first one, 0 of the untouched model. rounds.jsonl counts from 0."""
    value: float
    unix_s: float
    """When the run began, and its rounds' wall-clock time since."""


def figures_of(run: Run, *, first_round: int = 0, stop: int | None = None) -> Iterator[Figure]:
    """Every finite number of the rounds from ``first_round`` to before ``stop``, first of all the untouched model's."""
    metric, is_void = _metric_name(run), _is_void(run.summary)
    unix_s = datetime.strptime(run.info.started, "%Y-%m-%dT%H:%M:%S%z").timestamp()
    if first_round == 0 and run.info.initial_evaluation is not None:
        yield from _untouched(run.info.initial_evaluation, metric, unix_s)
    for record in run.rounds[:stop]:
        unix_s += record.wall_s
        if record.round < first_round:
            continue
        for tag, value in _numbers(record, metric, is_void=is_void):
            if value is not None and math.isfinite(value):
                yield Figure(tag, record.round + 1, float(value), unix_s)


def _untouched(initial: InitialEvaluation, metric: str, unix_s: float) -> Iterator[Figure]:
    yield Figure("learning/eval_loss", 0, initial.loss, unix_s)
    yield Figure(f"learning/{metric}", 0, initial.metric, unix_s)


def _numbers(record: RoundRecord, metric: str, *, is_void: bool) -> Iterator[tuple[str, float | None]]:
    for group, names in _ROOMS.items():
        room = "privacy_VOID" if group == "privacy" and is_void else group
        for name in names:
            value = getattr(record, name)
            if name == "artificial_noise_std" and value == 0:
                continue
            yield f"{room}/{name.replace('metric', metric)}", value
    for name in _VECTORS:
        for query, value in enumerate(getattr(record, name) or ()):
            yield f"air/{name}_{query}", value
    yield "air/is_used", float(record.is_used)


def _metric_name(run: Run) -> str:
    initial = run.info.initial_evaluation
    return run.summary.metric_name if run.summary else initial.metric_name if initial else "accuracy"


def _is_void(summary: Summary | None) -> bool:
    """Whether an ε claims nothing; so does that of a run that has not ended."""
    return summary is None or verdict(summary.privacy) != "VALID"


def parameters_of(config: RunConfig) -> dict[str, str]:
    """Every key of the configuration as ``section.key`` and text."""
    plain = to_plain(config)
    return dict(_flat({**plain["experiment"], "rig": plain["rig"]}))


def _flat(table: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    for key, value in table.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{key}.")
        elif value is not None:
            yield f"{prefix}{key}", str(value)


def final_figures(summary: Summary) -> dict[str, float]:
    """The summary's finite numbers by their names, as ``summary/name``."""
    found: dict[str, float] = {}
    for name in summary.__struct_fields__:
        value = getattr(summary, name)
        if isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value):
            found[f"summary/{_final_name(name, summary)}"] = float(value)
    return found


def _final_name(name: str, summary: Summary) -> str:
    if name in ("epsilon_spent", "rho_spent") and _is_void(summary):
        return f"{name}_VOID"
    return name


def batches(figures: Iterable[Figure], size: int) -> Iterator[list[Figure]]:
    """At most ``size`` at a time."""
    batch: list[Figure] = []
    for figure in figures:
        batch.append(figure)
        if len(batch) == size:
            yield batch
            batch = []
    if batch:
        yield batch
