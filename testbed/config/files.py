"""Reads rigs and experiments from TOML, applies ``--set`` overrides, and explains what is wrong in one line."""

from __future__ import annotations

import difflib
import re
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from testbed.config.schema import Config, Experiment, Rig, RunConfig
from testbed.errors import ConfigError

RIG_DIRECTORY = Path(__file__).parents[2] / "hardware_configs"
EXPERIMENT_DIRECTORY = Path(__file__).parents[1] / "experiments"
DEFAULT_RIG = "loopback"
DEFAULT_EXPERIMENT = "quickstart"

C = TypeVar("C", bound=Config)


def load(rig: str | None, experiment: str | None, overrides: Sequence[str]) -> RunConfig:
    """Read both files and apply ``section.key=value`` overrides to whichever of them has the section.

    ``rig`` and ``experiment`` are paths, or names of files that come with the toolkit. Raises ConfigError.
    """
    rig_path = _find(rig or DEFAULT_RIG, RIG_DIRECTORY, "rig")
    experiment_path = _find(experiment or DEFAULT_EXPERIMENT, EXPERIMENT_DIRECTORY, "experiment")
    rig_table, experiment_table = _read(rig_path), _read(experiment_path)
    changed = _apply(overrides, rig_table, experiment_table)
    return RunConfig(
        rig=_convert(rig_table, Rig, rig_path, changed),
        experiment=_convert(experiment_table, Experiment, experiment_path, changed),
    )


def override(config: RunConfig, overrides: Sequence[str]) -> RunConfig:
    """``config`` with ``section.key=value`` overrides, for what is local to one machine (paths, torch device)."""
    if not overrides:
        return config
    tables = msgspec.to_builtins(config)
    changed = _apply(overrides, tables["rig"], tables["experiment"])
    return RunConfig(
        rig=_convert(tables["rig"], Rig, Path("--set"), changed),
        experiment=_convert(tables["experiment"], Experiment, Path("--set"), changed),
    )


def from_toml(path: Path, *, leave_out_unknown: bool = False) -> RunConfig:
    """Read the resolved configuration of an earlier run; of an earlier version's, without the keys that are gone."""
    table = _read(path)
    return _convert(known_keys(table, RunConfig) if leave_out_unknown else table, RunConfig, path, set())


def known_keys(table: dict[str, Any], kind: type[msgspec.Struct]) -> dict[str, Any]:
    """What ``kind`` has a field for, also in the sections."""
    types = {field.encode_name: field.type for field in msgspec.structs.fields(kind)}
    return {
        key: known_keys(value, types[key]) if isinstance(value, dict) and _is_section(types[key]) else value
        for key, value in table.items()
        if key in types
    }


def _is_section(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, msgspec.Struct)


def _apply(overrides: Sequence[str], rig: dict[str, Any], experiment: dict[str, Any]) -> set[str]:
    """Put each override into the table that has its section; returns the dotted keys that were changed."""
    changed: set[str] = set()
    for text in overrides:
        keys, value = _parse_override(text)
        is_rig = keys[0] in Rig.__struct_fields__
        if not is_rig and keys[0] not in Experiment.__struct_fields__:
            known = sorted({*Rig.__struct_fields__, *Experiment.__struct_fields__})
            raise ConfigError(f"--set {text}: no section or key {keys[0]!r}; {_suggest(keys[0], known)}")
        _put(rig if is_rig else experiment, keys, value, text)
        changed.add(".".join(keys))
    return changed


def _find(name: str, directory: Path, kind: str) -> Path:
    for candidate in (Path(name), directory / f"{name}.toml"):
        if candidate.is_file():
            return candidate
    known = sorted(path.stem for path in directory.glob("*.toml"))
    raise ConfigError(
        f"--{kind}: no file {name!r}, and no {kind} of that name; known: {', '.join(known)}; "
        "give one of these or a path"
    )


def _read(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as err:
        raise ConfigError(f"{path}: not TOML: {err}; correct that line") from err
    except OSError as err:
        raise ConfigError(f"{path}: cannot be read: {err.strerror}") from err


def _parse_override(override: str) -> tuple[list[str], Any]:
    dotted, equals, text = override.partition("=")
    keys = [key.strip() for key in dotted.split(".")]
    if not equals or not all(keys):
        raise ConfigError(f"--set: got {override!r}, expected section.key=value, for example --set rounds.num=200")
    try:
        return keys, tomllib.loads(f"value = {text}")["value"]
    except (tomllib.TOMLDecodeError, KeyError):
        return keys, text.strip()


def _put(table: dict[str, Any], keys: list[str], value: Any, override: str) -> None:
    for key in keys[:-1]:
        table = table.setdefault(key, {})
        if not isinstance(table, dict):
            raise ConfigError(f"--set {override}: {key!r} is a value, not a section; leave out what follows it")
    table[keys[-1]] = value


def _convert(table: dict[str, Any], kind: type[C], path: Path, changed: set[str]) -> C:
    try:
        return msgspec.convert(table, kind)
    except msgspec.ValidationError as err:
        raise ConfigError(_explain(err, table, kind, path, changed)) from err


def _explain(
    err: msgspec.ValidationError, table: dict[str, Any], kind: type[Config], path: Path, changed: set[str]
) -> str:
    """One line: file, key, what was got, what is allowed."""
    text, _, where = str(err).partition(" - at `$")
    keys = [key for key in re.split(r"[.\[\]`]+", where) if key]
    if unknown := re.match(r"Object contains unknown field `(.*)`", text):
        name = unknown[1]
        dotted = ".".join([*keys, name])
        allowed = _fields(kind, keys)
        return f"{_source(path, dotted, changed)}: unknown key {dotted!r}; {_suggest(name, allowed)}"
    dotted = ".".join(keys)
    value: Any = table
    for key in keys:
        value = value.get(key) if isinstance(value, dict) else value
    got = "" if isinstance(value, dict) else f"got {value!r}; "
    return f"{_source(path, dotted, changed)}: {dotted}: {got}{text[:1].lower()}{text[1:]}; correct this key"


def _source(path: Path, dotted: str, changed: set[str]) -> str:
    return "--set" if dotted in changed else str(path)


def _fields(kind: type[Config], keys: list[str]) -> list[str]:
    current: Any = kind
    for key in keys:
        hints = {field.name: field.type for field in msgspec.structs.fields(current)}
        current = hints.get(key, current)
    return sorted(field.encode_name for field in msgspec.structs.fields(current))


def _suggest(name: str, known: list[str]) -> str:
    close = difflib.get_close_matches(name, known, n=1)
    hint = f"did you mean {close[0]!r}? " if close else ""
    return f"{hint}allowed: {', '.join(known)}"
