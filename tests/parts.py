"""Parts that a test registers are gone after it."""

import pytest

from learner.tasks import registry as tasks
from radio.backends import registry as backends
from radio.schemes import registry as schemes
from testbed import plugins
from testbed.optimisers import registry as optimisers
from testbed.schedule import registry as schedules


def keep_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Restore, with everything else, which parts are registered and which entry points are loaded."""
    for registry in (schemes._SCHEMES, schedules._SCHEDULES, optimisers._OPTIMISERS, backends._BACKENDS):
        monkeypatch.setattr(registry, "_registered", dict(registry._registered))
    monkeypatch.setattr(tasks, "_templates", dict(tasks._templates))
    monkeypatch.setattr(plugins, "_loaded", set())
