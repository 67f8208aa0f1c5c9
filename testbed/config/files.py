"""Reads rigs and experiments from TOML, applies ``--set`` overrides, and explains what is wrong in one line."""

from __future__ import annotations

import math
import os
import tomllib
from collections.abc import Callable, Sequence
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from radio.allowed import refusal, suggestion
from testbed.config.names import check_names
from testbed.config.schema import Config, Experiment, Rig, RunConfig
from testbed.errors import ConfigError
from testbed.failures import EXPECTED

RIG_DIRECTORY = Path(__file__).parents[2] / "hardware_configs"
EXPERIMENT_DIRECTORY = Path(__file__).parents[1] / "experiments"
DEFAULT_RIG = "loopback"
DEFAULT_EXPERIMENT = "quickstart"

_WORDS = {"true": True, "false": False, "inf": math.inf, "+inf": math.inf, "-inf": -math.inf, "nan": math.nan}
_EXACT = 2**53

C = TypeVar("C", bound=Config)


def load(
    rig: str | None,
    experiment: str | None,
    overrides: Sequence[str],
    *,
    check: Callable[[RunConfig], RunConfig] = lambda config: config,
) -> RunConfig:
    """Read both files and apply ``section.key=value`` overrides to whichever of them has the section.

    ``rig`` and ``experiment`` are paths, or names of files that come with the toolkit; of a run's config.toml its part
    is taken. ``check`` may refuse or complete
    what was read; its refusals, too, name the ``--set`` or the file that is at fault. Raises ConfigError, or what
    ``check`` raises.
    """
    rig_path = _find(rig or DEFAULT_RIG, RIG_DIRECTORY, "rig")
    experiment_path = _find(experiment or DEFAULT_EXPERIMENT, EXPERIMENT_DIRECTORY, "experiment")
    rig_table, experiment_table = _part(read_toml(rig_path), "rig"), _part(read_toml(experiment_path), "experiment")
    return _Sources(rig_table, experiment_table, str(rig_path), str(experiment_path)).made(overrides, check)


def override(config: RunConfig, overrides: Sequence[str]) -> RunConfig:
    """``config`` with any ``section.key=value`` overrides; `hosts.host_override` takes what a host may say only."""
    if not overrides:
        return config
    tables = msgspec.to_builtins(config)
    return _Sources(tables["rig"], tables["experiment"], "--set", "--set").made(overrides, lambda made: made)


def from_toml(path: Path, *, leave_out_unknown: bool = False) -> RunConfig:
    """Read the resolved configuration of an earlier run; of an earlier version's, without the keys that are gone."""
    try:
        table = read_toml(path)
        config = _convert(known_keys(table, RunConfig) if leave_out_unknown else table, RunConfig)
        check_names(config)
    except ConfigError as err:
        raise ConfigError(f"{path}: {err}") from err
    return config


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


def known_files(directory: Path) -> dict[str, Path]:
    """The TOML files of a directory by name, sorted."""
    return {path.stem: path for path in sorted(directory.glob("*.toml"))}


@dataclass(frozen=True)
class _Sources:
    """What two files say, and where that was written."""

    rig: dict[str, Any]
    experiment: dict[str, Any]
    rig_source: str
    experiment_source: str

    def made(self, overrides: Sequence[str], check: Callable[[RunConfig], RunConfig]) -> RunConfig:
        """The configuration with overrides, checked."""
        tables = self._overridden(overrides)
        try:
            return check(_records(*tables))
        except EXPECTED as err:
            text = str(err)
            source = self._source(text, overrides, lambda fewer: self._complaint(fewer, check))
            raise type(err)(f"{source}{text}") from err

    def _complaint(self, overrides: Sequence[str], check: Callable[[RunConfig], RunConfig]) -> str:
        try:
            check(_records(*self._overridden(overrides)))
        except EXPECTED as err:
            return _about(str(err))
        return ""

    def _source(self, text: str, overrides: Sequence[str], complaint: Callable[[Sequence[str]], str]) -> str:
        """Who is at fault: the override of that key, the overrides without which it would not be, or a file."""
        about = _about(text)
        if any(_covers(parse_override(each)[0], about) for each in overrides):
            return "--set: "
        guilty = [
            each
            for index, each in enumerate(overrides)
            if complaint([*overrides[:index], *overrides[index + 1 :]]) != about
        ]
        if not guilty and overrides and complaint([]) != about:
            guilty = list(overrides)
        if guilty:
            return f"--set {', '.join(guilty)}: "
        section = about.partition(".")[0].partition("[")[0]
        if section in {*Rig.__struct_fields__, *self.rig}:
            return f"{self.rig_source}: "
        return f"{self.experiment_source}: " if section in {*Experiment.__struct_fields__, *self.experiment} else ""

    def _overridden(self, overrides: Sequence[str]) -> tuple[dict[str, Any], dict[str, Any]]:
        """Both tables, each override in the one that has its section."""
        rig, experiment = deepcopy(self.rig), deepcopy(self.experiment)
        for text in overrides:
            keys, value = parse_override(text)
            is_rig = keys[0] in Rig.__struct_fields__
            if not is_rig and keys[0] not in Experiment.__struct_fields__:
                known = sorted({*Rig.__struct_fields__, *Experiment.__struct_fields__})
                raise ConfigError(f"--set {text}: no section or key {keys[0]!r}; {suggestion(keys[0], known)}")
            _put(rig if is_rig else experiment, keys, value, text)
        return rig, experiment


def _records(rig: dict[str, Any], experiment: dict[str, Any]) -> RunConfig:
    config = RunConfig(rig=_convert(rig, Rig), experiment=_convert(experiment, Experiment))
    check_names(config)
    return config


def _about(text: str) -> str:
    """The key that a refusal begins with."""
    return text.partition(": ")[0]


def _covers(keys: Sequence[str], about: str) -> bool:
    dotted = ".".join(keys)
    return about == dotted or about.startswith((f"{dotted}.", f"{dotted}["))


def _part(table: dict[str, Any], kind: str) -> dict[str, Any]:
    """Of the configuration that a run keeps, which has both, the one; any other table as it is."""
    both = set(RunConfig.__struct_fields__)
    return table[kind] if both <= set(table) and all(isinstance(table[each], dict) for each in both) else table


def _find(name: str, directory: Path, kind: str) -> Path:
    for candidate in (Path(name), directory / f"{name.removesuffix('.toml')}.toml"):
        if os.path.isfile(candidate):  # unlike Path.is_file, also false for a name that is too long to be one
            return candidate
    raise ConfigError(
        f"--{kind}: no file {name!r}, and no {kind} of that name; give a path, or one of the known: "
        f"{suggestion(name, known_files(directory)).removeprefix('allowed: ')}"
    )


def read_toml(path: Path) -> dict[str, Any]:
    """A file's tables. Raises ConfigError that names the file."""
    try:
        return tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as err:
        raise ConfigError(f"{path}: not TOML: {err}; correct that line") from err
    except OSError as err:
        raise ConfigError(f"{path}: cannot be read: {err.strerror}") from err


def parse_override(override: str) -> tuple[list[str], Any]:
    """Keys and value of ``section.key=value``; the value as TOML or as people write it, else as text.

    So are True, Inf and 1e3, a whole number. Raises ConfigError.
    """
    dotted, equals, text = override.partition("=")
    keys = [key.strip() for key in dotted.split(".")]
    if not equals or not all(keys):
        raise ConfigError(f"--set: got {override!r}, expected section.key=value, for example --set rounds.num=200")
    plain = text.strip()
    if plain.lower() in _WORDS:
        return keys, _WORDS[plain.lower()]
    try:
        value = tomllib.loads(f"value = {text}")["value"]
    except (tomllib.TOMLDecodeError, KeyError):
        return keys, plain
    is_whole = isinstance(value, float) and abs(value) < _EXACT and value.is_integer() and "e" in plain.lower()
    return keys, int(value) if is_whole else value


def _put(table: dict[str, Any], keys: list[str], value: Any, override: str) -> None:
    for key in keys[:-1]:
        table = table.setdefault(key, {})
        if not isinstance(table, dict):
            raise ConfigError(f"--set {override}: {key!r} is a value, not a section; leave out what follows it")
    table[keys[-1]] = value


def _convert(table: dict[str, Any], kind: type[C]) -> C:
    try:
        return msgspec.convert(table, kind)
    except msgspec.ValidationError as err:
        raise ConfigError(str(refusal(err, table, kind))) from err
