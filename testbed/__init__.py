"""Fine-tune language models over the air: the Python API, loaded when first used.

import testbed

run = testbed.run("quickstart", rig="loopback", overrides={"seed": 2}, out="runs/a")
run.rounds[3].estimate, run.summary, run.weights()
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from testbed.api import load, plan, replay, run
    from testbed.comparison.tables import records
    from testbed.config.schema import Experiment, Rig, RunConfig
    from testbed.errors import TestbedError
    from testbed.plugins import register
    from testbed.results.run import Run

__all__ = [
    "Experiment", "Rig", "Run", "RunConfig", "TestbedError",
    "load", "plan", "records", "register", "replay", "run",
]  # fmt: skip

_HOMES = {
    "Experiment": "testbed.config.schema",
    "Rig": "testbed.config.schema",
    "Run": "testbed.results.run",
    "RunConfig": "testbed.config.schema",
    "TestbedError": "testbed.errors",
    "load": "testbed.api",
    "plan": "testbed.api",
    "records": "testbed.comparison.tables",
    "register": "testbed.plugins",
    "replay": "testbed.api",
    "run": "testbed.api",
}
"""Where each name lives: `import testbed` alone imports nothing else, so that the command line starts fast."""


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module 'testbed' has no attribute {name!r}; it has {', '.join(__all__)}")
    value = getattr(import_module(home), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
