"""Overrides as Python writes them, turned into those of the command line."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TypeAlias

import msgspec
import tomli_w

from testbed.errors import ConfigError

Overrides: TypeAlias = Mapping[str, Any] | Sequence[str]
"""``{"seed": 2, "rounds.num": 10}``, or ``["seed=2", "rounds.num=10"]`` as after --set."""


def as_texts(overrides: Overrides) -> list[str]:
    """Overrides as --set takes them. Raises ConfigError."""
    if isinstance(overrides, str):
        raise ConfigError(f'overrides: got {overrides!r}; allowed: a dict or a list; write ["{overrides}"]')
    if isinstance(overrides, Mapping):
        return [f"{key}={_as_toml(key, value)}" for key, value in _flat(overrides)]
    return [str(text) for text in overrides]


def _flat(table: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Keys with dots, also of the sections within."""
    for key, value in table.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{key}.")
        elif isinstance(value, msgspec.Struct):
            yield from _flat(msgspec.to_builtins(value), f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def _as_toml(key: str, value: Any) -> str:
    plain = os.fspath(value) if isinstance(value, os.PathLike) else value
    plain = plain.tolist() if hasattr(plain, "tolist") else plain  # numpy's scalars and arrays
    try:
        return tomli_w.dumps({"value": plain}).partition("=")[2].strip()
    except TypeError as err:
        raise ConfigError(
            f"overrides: {key}: got {value!r}; allowed: numbers, words, booleans and lists; for None leave the key out"
        ) from err
