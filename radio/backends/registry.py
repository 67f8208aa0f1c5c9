"""Every backend by name. The names of ours are known without importing one; others register."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from radio.errors import RadioConfigError
from radio.registry import Registry

if TYPE_CHECKING:  # names are asked for where nothing may be slow
    from radio.backends.backend import Backend

BUILT_IN = {"loopback": "radio.backends.loopback:Loopback", "pluto": "radio.backends.pluto.backend:Pluto"}
_BACKENDS: Registry[Backend] = Registry("backend", "backend", BUILT_IN, RadioConfigError)
B = TypeVar("B", bound="type[Backend]")


def register(kind: B) -> B:
    """Make a backend known by its `name`; a class decorator. Raises RadioConfigError for a name that is taken."""
    return _BACKENDS.register(kind)


def backend_names() -> tuple[str, ...]:
    """All names, sorted."""
    return _BACKENDS.names


def backend(name: str) -> Backend:
    """The backend of that name. Raises RadioConfigError with the names there are and the nearest one."""
    return _BACKENDS.find(name)()
