"""Every optimiser by name."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

from radio.registry import Registry
from testbed import plugins
from testbed.errors import ConfigError

if TYPE_CHECKING:
    from testbed.optimisers.base import Optimiser

BUILT_IN = {"sgd": "testbed.optimisers.sgd:Sgd"}
_OPTIMISERS: Registry[Optimiser[Any]] = Registry("optimiser", "update.optimiser", BUILT_IN, ConfigError)
C = TypeVar("C", bound="type[Optimiser[Any]]")


def register(cls: C) -> C:
    """Add an optimiser under its attribute `name`, and return it. Raises ConfigError."""
    return _OPTIMISERS.register(cls)


def optimiser_names() -> tuple[str, ...]:
    """All names, sorted; without plug-ins that nobody has asked for yet."""
    return _OPTIMISERS.names


def optimiser(name: str) -> Optimiser[Any]:
    """The optimiser of that name. Raises ConfigError with the nearest match and the names there are."""
    plugins.look_for("optimiser", name)
    return _OPTIMISERS.find(name)()
