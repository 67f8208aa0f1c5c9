"""Runs that are compared: found, opened, and sorted into settings, which differ in more than the seed."""

from __future__ import annotations

import string
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from testbed.config.schema import RunConfig
from testbed.errors import RunDirectoryError
from testbed.results.directory import RunDirectory
from testbed.results.run import Run

_DECIDES_NOTHING = ("description", "learner.num_threads", "seed")
"""Of rigs and experiments, what makes no other setting."""
_MAX_LABEL = 60
_ABSENT = "absent"


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """Runs of one configuration but for the seed."""

    letter: str
    values: dict[str, str]
    """What tells it from the others, by key."""
    runs: tuple[Run, ...]
    """In the order of their seeds, each seed once."""

    @property
    def label(self) -> str:
        """For legends and tables; its letter tells settings apart where the rest is too long."""
        words = ", ".join(f"{short(key)} {value}" for key, value in self.values.items())
        words = words or self.runs[0].path.name
        return f"{self.letter}: {words if len(words) <= _MAX_LABEL else f'{words[: _MAX_LABEL - 1]}…'}"

    def by_seed(self, field: str) -> dict[int, float]:
        """A field of the summaries by seed; runs without it are left out."""
        found = {}
        for run in self.runs:
            value = getattr(run.summary, field) if run.summary is not None else None
            if value is not None:
                found[run.config.experiment.seed] = float(value)
        return found


def open_runs(paths: Sequence[Path]) -> list[Run]:
    """The runs in these directories, each of which is a run's, or holds some (a sweep's, runs/).

    Raises RunDirectoryError for a path without any.
    """
    found: dict[Path, Run] = {}
    for path in paths:
        for each in _run_directories(path):
            found.setdefault(each.resolve(), Run.open(each))
    return list(found.values())


def _run_directories(path: Path) -> list[Path]:
    if _is_run(path) or not path.is_dir():
        return [path]  # whose opening says what is wrong with it
    for folder in (path / "runs", path):
        if below := [each for each in sorted(folder.glob("*")) if _is_run(each)]:
            return below
    raise RunDirectoryError(f"{path}: no run directory, and none in it; give a run directory, or a folder with some")


def _is_run(path: Path) -> bool:
    directory = RunDirectory(path)
    return directory.config.is_file() and directory.journal.is_file()


def settings_of(runs: Iterable[Run]) -> list[Setting]:
    """Runs sorted into settings, in the order of their first runs.

    Runs of one configuration and one seed (of two versions of the toolkit, say) are different settings.
    """
    runs = list(runs)
    differing = differences([run.config for run in runs])
    groups: dict[tuple[tuple[str, ...], int], list[Run]] = {}
    seen: dict[tuple[tuple[str, ...], int], int] = {}
    values: dict[tuple[str, ...], dict[str, str]] = {}
    for run, own in zip(runs, differing, strict=True):
        key = tuple(own.values())
        values[key] = own
        seed = run.config.experiment.seed
        repeat = seen[key, seed] = seen.get((key, seed), 0) + 1
        groups.setdefault((key, repeat), []).append(run)
    repeated = {key for key, repeat in groups if repeat > 1}
    return [
        Setting(
            letter=letter(number),
            values={**values[key], **({"repetition": str(repeat)} if key in repeated else {})},
            runs=tuple(sorted(group, key=lambda run: run.config.experiment.seed)),
        )
        for number, ((key, repeat), group) in enumerate(groups.items())
    ]


def differences(configs: Sequence[RunConfig]) -> list[dict[str, str]]:
    """Of each configuration the keys whose values are not the same in all, seeds left out; pure."""
    tables = [flattened(config) for config in configs]
    keys = dict.fromkeys(key for table in tables for key in table)
    differ = [key for key in keys if len({table.get(key, _ABSENT) for table in tables}) > 1]
    return [{key: table.get(key, _ABSENT) for key in differ} for table in tables]


def flattened(config: RunConfig) -> dict[str, str]:
    """Every key of a configuration, as --set writes it, with its value in words."""
    plain = msgspec.to_builtins(config)
    found = {**_flat(plain["rig"]), **_flat(plain["experiment"])}
    return {key: value for key, value in found.items() if key not in _DECIDES_NOTHING}


def _flat(table: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    found: dict[str, str] = {}
    for key, value in table.items():
        if isinstance(value, dict) and value:
            found |= _flat(value, f"{prefix}{key}.")
        else:
            found[f"{prefix}{key}"] = word(value)
    return found


def short(key: str) -> str:
    """A key's last word, or the one before where that says nothing: ``snr_db``, ``scheme``."""
    *before, last = key.split(".")
    return before[-1] if before and last in ("name", "num", "path") else last


def word(value: Any) -> str:
    """A value as people write it."""
    if value is None:
        return _ABSENT
    return f"{value:g}" if isinstance(value, float) else str(value)


def letter(number: int) -> str:
    """A, B … Z, AA, AB … as of a spreadsheet's columns."""
    letters = ""
    number += 1
    while number:
        number, digit = divmod(number - 1, 26)
        letters = string.ascii_uppercase[digit] + letters
    return letters
