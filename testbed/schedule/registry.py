"""Every schedule by name; nothing slow is imported before one of them is asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from radio.registry import Registry
from testbed import plugins
from testbed.errors import ConfigError

if TYPE_CHECKING:
    from testbed.schedule.base import Schedule

BUILT_IN = {
    "full": "testbed.schedule.full:Full",
    "online": "testbed.schedule.online:Online",
    "paper": "testbed.schedule.paper:Paper",
    "reversed": "testbed.schedule.reversed:Reversed",
    "solution": "testbed.schedule.solution:Solution",
    "static": "testbed.schedule.static:Static",
}
_SCHEDULES: Registry[Schedule] = Registry("schedule", "schedule.name", BUILT_IN, ConfigError)
S = TypeVar("S", bound="type[Schedule]")


def register(cls: S) -> S:
    """Add a schedule under its attribute `name`, and return it. Raises ConfigError."""
    return _SCHEDULES.register(cls)


def schedule_names() -> tuple[str, ...]:
    """All names, sorted; without plug-ins that nobody has asked for yet."""
    return _SCHEDULES.names


def schedule(name: str) -> Schedule:
    """A new schedule of that name, for one run. Raises ConfigError with the nearest match and the names there are."""
    plugins.look_for("schedule", name)
    return _SCHEDULES.find(name)()
