"""In what a configuration differs from the files that come with the toolkit: what tells one run from another."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from testbed.config.files import (
    DEFAULT_EXPERIMENT,
    DEFAULT_RIG,
    EXPERIMENT_DIRECTORY,
    RIG_DIRECTORY,
    known_files,
    load,
    read_toml,
)
from testbed.config.schema import RunConfig, to_plain


def shipped_like(config: RunConfig) -> tuple[str, str]:
    """Rig and experiment of the toolkit that a run began with, by description and by name; else the default ones."""
    experiments = known_files(EXPERIMENT_DIRECTORY)
    rig = next(
        (
            name
            for name, path in known_files(RIG_DIRECTORY).items()
            if read_toml(path).get("description") == config.rig.description
        ),
        DEFAULT_RIG,
    )
    return rig, config.experiment.name if config.experiment.name in experiments else DEFAULT_EXPERIMENT


def shipped(rig: str, experiment: str) -> RunConfig:
    """Both as they are in their files."""
    return load(rig, experiment, [])


def differences(config: RunConfig, base: RunConfig) -> tuple[str, ...]:
    """Every key with another value than in ``base``, as after --set, experiment first."""
    ours, theirs = (dict(_leaves(_sections(each))) for each in (config, base))
    return tuple(
        f"{key}={_text(ours.get(key))}" for key in {**ours, **theirs} if ours.get(key, _GONE) != theirs.get(key, _GONE)
    )


_GONE = object()


def _sections(config: RunConfig) -> dict[str, Any]:
    plain = to_plain(config)
    return {**plain["experiment"], **plain["rig"]}


def _leaves(table: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in table.items():
        if isinstance(value, Mapping):
            yield from _leaves(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, (list, tuple)):
        return f"[{', '.join(map(_text, value))}]"
    return "none" if value is None else str(value)
