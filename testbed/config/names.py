"""Names that an experiment or a rig chooses by: checked before anything slow is imported.

Plug-ins may add to them (`testbed.plugins`), so they are no closed lists in the records.
"""

from __future__ import annotations

from radio.allowed import suggestion
from testbed import plugins
from testbed.config.schema import RunConfig
from testbed.errors import ConfigError

KINDS: dict[str, plugins.Kind] = {
    "backend": "backend",
    "scheme.name": "scheme",
    "schedule.name": "schedule",
    "task.template": "task",
    "update.optimiser": "optimiser",
}
"""Key → what kind of part it names."""


def check_names(config: RunConfig) -> None:
    """Raise ConfigError for a part that nobody has, with those there are; also for a plug-in that cannot be loaded."""
    rig, experiment = config.rig, config.experiment
    chosen = {
        "backend": rig.backend,
        "scheme.name": experiment.scheme.name,
        "schedule.name": experiment.schedule.name,
        "task.template": experiment.task.template,
        "update.optimiser": experiment.update.optimiser,
    }
    for key, name in chosen.items():
        plugins.look_for(KINDS[key], name)
        names = plugins.names(KINDS[key])
        if name not in names:
            raise ConfigError(f"{key}: got {name!r}; {suggestion(name, names)}")
