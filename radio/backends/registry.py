"""Every backend by name. The names of ours are known without importing one; others register."""

from __future__ import annotations

import difflib
from importlib import import_module
from typing import TYPE_CHECKING, TypeVar

from radio.errors import RadioConfigError

if TYPE_CHECKING:  # names are asked for where nothing may be slow
    from radio.backends.backend import Backend

BUILT_IN = {"loopback": "radio.backends.loopback:Loopback", "pluto": "radio.backends.pluto.backend:Pluto"}
"""Name → module and class, imported when it is first asked for."""
REGISTERED: dict[str, type[Backend]] = {}
"""Those from outside, and those of ours that were asked for."""

B = TypeVar("B", bound="Backend")


def register(kind: type[B]) -> type[B]:
    """Make a backend known by its `name`; a class decorator. Raises RadioConfigError for a name that is taken."""
    name = getattr(kind, "name", None)
    if not isinstance(name, str) or not name:
        raise RadioConfigError(f"backend {kind.__qualname__}: got name {name!r}; allowed: a word that rigs can say")
    known = REGISTERED.get(name)
    where = f"{kind.__module__}:{kind.__qualname__}"
    taken = BUILT_IN.get(name) or (f"{known.__module__}:{known.__qualname__}" if known else where)
    if taken != where:
        raise RadioConfigError(f"backend {name!r}: got {where}, but the name belongs to {taken}; choose another name")
    REGISTERED[name] = kind
    return kind


def backend_names() -> tuple[str, ...]:
    """All names, sorted."""
    return tuple(sorted({*BUILT_IN, *REGISTERED}))


def backend(name: str) -> Backend:
    """The backend of that name. Raises RadioConfigError with the names there are and the nearest one."""
    if name not in REGISTERED:
        if name not in BUILT_IN:
            near = difflib.get_close_matches(name, backend_names(), n=1)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            raise RadioConfigError(f"backend: got {name!r}; allowed: {', '.join(backend_names())}{hint}")
        module, _, kind = BUILT_IN[name].partition(":")
        register(getattr(import_module(module), kind))
    return REGISTERED[name]()
