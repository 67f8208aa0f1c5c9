"""Names that an experiment or a rig chooses by: checked before anything slow is imported.

Plug-ins may add to them, so they are no closed lists in the records.
"""

from __future__ import annotations

from collections.abc import Callable, Collection

from learner.config import TaskConfig
from radio.allowed import choices, hints_of, suggestion
from testbed.config.schema import RunConfig
from testbed.errors import ConfigError

SCHEDULES = ("full", "online", "paper", "reversed", "solution", "static")
SCHEMES = ("coherent", "digital", "energy", "fsk_vote", "ideal", "sign")
BACKENDS = ("loopback", "pluto")

NAMES: dict[str, Callable[[], Collection[str]]] = {
    "backend": lambda: BACKENDS,
    "scheme.name": lambda: SCHEMES,
    "schedule.name": lambda: SCHEDULES,
    "task.template": lambda: choices(hints_of(TaskConfig)["template"]),
}
"""The names that each of these keys may have."""


def check_names(config: RunConfig) -> None:
    """Raise ConfigError for a backend, scheme, schedule or template that nobody has, with those there are."""
    rig, experiment = config.rig, config.experiment
    chosen = {
        "backend": rig.backend,
        "scheme.name": experiment.scheme.name,
        "schedule.name": experiment.schedule.name,
        "task.template": experiment.task.template,
    }
    for key, name in chosen.items():
        names = NAMES[key]()
        if name not in names:
            raise ConfigError(f"{key}: got {name!r}; {suggestion(name, names)}")
