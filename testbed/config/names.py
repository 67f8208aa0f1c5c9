"""Names that an experiment or a rig chooses by: checked before anything slow is imported.

Plug-ins may add to them, so they are no closed lists in the records.
"""

from __future__ import annotations

from collections.abc import Callable, Collection

from learner.config import TaskConfig
from radio.allowed import choices, hints_of, suggestion
from testbed.config.schema import RunConfig
from testbed.errors import ConfigError

SCHEDULES = {
    "full": "All the power there is; no budget, no claim.",
    "online": "The optimum, causal: decides from the budget that is left.",
    "paper": "arXiv 2604.12401, Theorems 3 (analog) and 4 (sign; corrected), clamped.",
    "reversed": "The solution with its weights upside down: a control, which should be worse than static.",
    "solution": "The optimum of the sound problem, given all channels in advance.",
    "static": "One noise for all rounds, capped by power.",
}
SCHEMES = ("coherent", "digital", "energy", "fsk_vote", "ideal", "sign")
BACKENDS = {
    "loopback": "Radios on a simulated air, in this process or beside it.",
    "pluto": "PlutoSDRs, real or virtual, through libiio.",
}

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
