"""Names that an experiment or a rig chooses by: checked before anything slow is imported.

Plug-ins may add to them, so they are no closed lists in the records.
"""

from __future__ import annotations

from radio.allowed import suggestion
from testbed import plugins
from testbed.config.schema import RunConfig
from testbed.errors import ConfigError

NAMES: dict[str, plugins.Kind] = {
    "backend": "backend",
    "scheme.name": "scheme",
    "schedule.name": "schedule",
    "update.optimiser": "optimiser",
    "task.template": "task",
}
"""The kind of part that each of these keys chooses."""


def check_names(config: RunConfig) -> None:
    """Raise ConfigError for a part that nobody has, with those there are; plug-ins are looked for if need be."""
    rig, experiment = config.rig, config.experiment
    chosen = {
        "backend": rig.backend,
        "scheme.name": experiment.scheme.name,
        "schedule.name": experiment.schedule.name,
        "update.optimiser": experiment.update.optimiser,
        "task.template": experiment.task.template,
    }
    for key, name in chosen.items():
        if not plugins.look_for(NAMES[key], name):
            raise ConfigError(f"{key}: got {name!r}; {suggestion(name, plugins.registered(NAMES[key]))}")
