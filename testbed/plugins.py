"""Parts that come from elsewhere: schemes, schedules, optimisers, backends and tasks of other packages.

A class joins by the decorator `testbed.register`, or through an entry point of the group ``testbed.plugins`` that
names the class or a module that registers some. Entry points are loaded once in a process, when a name is asked for
that is not built in; so access point and learner hosts find the same parts wherever the package is installed. The rooms
are imported by name here, when they are needed: what says which names exist must start fast.
"""

from __future__ import annotations

import inspect
import threading
from dataclasses import dataclass
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from testbed.errors import ConfigError, TestbedError

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

GROUP = "testbed.plugins"
Kind = Literal["scheme", "schedule", "optimiser", "backend", "task"]
C = TypeVar("C", bound=type)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Room:
    """Where the parts of one kind are known, and what they all are."""

    registry: str
    """A module with a function `register`"""
    names: str
    """Its function of all names"""
    base: str
    """The class that all of them are derived from, "module:Class" """


_ROOMS: dict[Kind, _Room] = {
    "scheme": _Room(registry="radio.schemes.registry", names="scheme_names", base="radio.schemes.base:Scheme"),
    "schedule": _Room(
        registry="testbed.schedule.registry", names="schedule_names", base="testbed.schedule.base:Schedule"
    ),
    "optimiser": _Room(
        registry="testbed.optimisers.registry", names="optimiser_names", base="testbed.optimisers.base:Optimiser"
    ),
    "backend": _Room(registry="radio.backends.registry", names="backend_names", base="radio.backends.backend:Backend"),
    "task": _Room(registry="learner.tasks.registry", names="names", base="learner.tasks.templates:Template"),
}
_lock = threading.RLock()
_loaded: set[str] = set()


def register(cls: C) -> C:
    """Add a class to the parts of its kind, under its attribute `name`; usable as a decorator.

    Raises ConfigError for a class that is no part, and the room's own error for a name that is taken.
    """
    bases = {f"{base.__module__}:{base.__qualname__}" for base in inspect.getmro(cls)}
    for room in _ROOMS.values():
        if room.base in bases:
            registered: C = import_module(room.registry).register(cls)
            return registered
    allowed = ", ".join(room.base.replace(":", ".") for room in _ROOMS.values())
    raise ConfigError(f"testbed.register: got {cls!r}; allowed: a class derived from one of {allowed}; derive it")


def registered(kind: Kind) -> tuple[str, ...]:
    """Names of all parts of a kind, built in or not. Raises ConfigError for a plug-in that cannot be loaded."""
    load()
    return known(kind)


def look_for(kind: Kind, name: str) -> bool:
    """Whether there is a part of that name; loads what other packages bring if nothing here has it.

    Raises ConfigError as `load` does.
    """
    return name in known(kind) or name in registered(kind)


def load() -> None:
    """Load every entry point that was not loaded yet. Raises ConfigError that names the package and the cause."""
    from importlib.metadata import entry_points  # slow to import, and few commands get here

    with _lock:
        for point in entry_points(group=GROUP):
            written = f"{point.name} = {point.value}"
            if written not in _loaded:
                _load(point)
                _loaded.add(written)


def _load(point: EntryPoint) -> None:
    try:
        found: Any = point.load()
        if isinstance(found, type):
            register(found)
        elif not isinstance(found, ModuleType):
            raise ConfigError(f"it is {found!r}; allowed: a class, or a module that registers some")
    except Exception as err:
        cause = str(err) if isinstance(err, TestbedError) else f"{type(err).__name__}: {err}"
        package = f"{point.dist.name} {point.dist.version}" if point.dist is not None else "an unknown package"
        raise ConfigError(
            f"plug-in {point.name!r} of {package} ({point.value}): {' '.join(cause.split())}; correct or uninstall it"
        ) from err


def known(kind: Kind) -> tuple[str, ...]:
    """Names of the parts of a kind that are known without loading what other packages bring."""
    room = _ROOMS[kind]
    names: tuple[str, ...] = tuple(getattr(import_module(room.registry), room.names)())
    return names
