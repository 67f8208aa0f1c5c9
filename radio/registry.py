"""Classes by name: built-in ones, imported when they are asked for, and others that are registered.

A built-in one is written as "module:Class", so that its name is known before anything slow is imported.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import Generic, TypeVar

from radio.allowed import suggestion

T = TypeVar("T")
C = TypeVar("C", bound=type)


class Registry(Generic[T]):
    """The classes of one kind; `error` is what it refuses with."""

    def __init__(self, kind: str, key: str, built_in: Mapping[str, str], error: type[Exception]) -> None:
        self._kind = kind
        self._key = key
        self._built_in = dict(built_in)
        self._error = error
        self._registered: dict[str, type[T]] = {}

    def __contains__(self, name: object) -> bool:
        return name in self._built_in or name in self._registered

    @property
    def names(self) -> tuple[str, ...]:
        """All names, sorted."""
        return tuple(sorted({*self._built_in, *self._registered}))

    def register(self, cls: C) -> C:
        """Add a class under its attribute `name`, and return it. One that is defined again replaces itself.

        Raises `error` for a class without a name, with methods that are missing, or with a name that is taken.
        """
        name, written = getattr(cls, "name", None), _written(cls)
        if not isinstance(name, str) or not name:
            raise self._error(
                f"{self._kind} {written}: got name {name!r}; allowed: a text, by which experiments choose it; "
                "give the class an attribute name"
            )
        if missing := sorted(getattr(cls, "__abstractmethods__", ())):
            raise self._error(f"{self._kind} {name!r}: {written} lacks {', '.join(missing)}; write what is missing")
        taken = self._built_in.get(name) or (_written(self._registered[name]) if name in self._registered else written)
        if taken != written:
            raise self._error(
                f"{self._kind} {name!r}: got two, {taken} and {written}; allowed: one; rename one of them"
            )
        self._registered[name] = cls
        return cls

    def find(self, name: str) -> type[T]:
        """The class of that name. Raises `error` with the nearest match and all names."""
        if name in self._registered:
            return self._registered[name]
        if name not in self._built_in:
            raise self._error(f"{self._key}: got {name!r}; {suggestion(name, self.names)}")
        module, _, attribute = self._built_in[name].partition(":")
        found: type[T] = getattr(import_module(module), attribute)
        return found


def _written(cls: type) -> str:
    return f"{cls.__module__}:{cls.__qualname__}"
