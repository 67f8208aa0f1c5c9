"""A sweep's file: which experiment, on which rig, with which seeds, and what else varies."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import msgspec

from radio.allowed import refusal
from testbed.config.files import read_toml
from testbed.config.schema import Config, Count, RunName
from testbed.errors import ConfigError

MAX_RUNS = 10_000
Seed = Annotated[int, msgspec.Meta(ge=0, le=2**62)]
Table = dict[str, Any]


class SweepConfig(Config, frozen=True):
    """The section ``sweep`` of its file. Keys in its tables are those that ``--set`` takes."""

    name: RunName | None = None
    """Names the sweep's directory; the file's name if absent."""
    experiment: Annotated[str, msgspec.Meta(min_length=1)] = "quickstart"
    """A name, or a TOML file, beside the sweep's file or from here."""
    rig: Annotated[str, msgspec.Meta(min_length=1)] = "loopback"
    """A name, or a TOML file, beside the sweep's file or from here; only simulated ones."""
    seeds: Annotated[tuple[Seed, ...], msgspec.Meta(min_length=1)] | Count = (1,)
    """A list, or how many: 3 is [1, 2, 3]. Each setting is run with each of them."""
    num_draws: Count = 1
    """Of the keys in ``random``."""
    draw_seed: Seed = 0
    """Seed of those draws; more of them begin with the same."""
    set: Table = msgspec.field(default_factory=dict)
    """Values for all runs."""
    grid: Table = msgspec.field(default_factory=dict)
    """Lists, each value with each of the others."""
    paired: Table = msgspec.field(default_factory=dict)
    """Lists of one length, first with first, second with second."""
    random: Table = msgspec.field(default_factory=dict)
    """Ranges { low, high, log }, of which ``num_draws`` are drawn together; whole numbers if both ends are."""

    @property
    def seed_list(self) -> tuple[int, ...]:
        """The seeds, listed."""
        return tuple(range(1, self.seeds + 1)) if isinstance(self.seeds, int) else self.seeds


class Range(Config, frozen=True):
    """What one key of ``random`` is drawn from."""

    low: float | int
    high: float | int
    log: bool = False
    """Evenly by ratio instead of by difference; needs low > 0."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if not -1e300 < self.low < self.high < 1e300:
            raise ConfigError(f"high: got {self.high!r}; allowed: a finite number above low, which is {self.low!r}")
        if self.log and self.low <= 0:
            raise ConfigError(f"low: got {self.low!r}; allowed with log = true: a number > 0")


class _File(Config, frozen=True):
    sweep: SweepConfig


def read_sweep(path: Path) -> SweepConfig:
    """The sweep in a TOML file, with the paths of rig and experiment found. Raises ConfigError."""
    table = read_toml(path)
    try:
        sweep = msgspec.convert(table, _File).sweep
    except msgspec.ValidationError as err:
        raise ConfigError(f"{path}: {refusal(err, table, _File)}") from err
    name = sweep.name or path.stem
    try:
        sweep = msgspec.structs.replace(
            sweep, name=name, rig=_beside(path, sweep.rig), experiment=_beside(path, sweep.experiment)
        )
        check_sweep(sweep)
    except ConfigError as err:
        raise ConfigError(f"{path}: {err}") from err
    return sweep


def check_sweep(sweep: SweepConfig) -> None:
    """Raise ConfigError for tables that are no lists or ranges, keys in two of them, and too many runs."""
    seen: dict[str, str] = {}
    for table in ("set", "grid", "paired", "random"):
        for key in flat(getattr(sweep, table)):
            if key == "seed":
                raise ConfigError(f"sweep.{table}.seed: got a value; allowed: none; list seeds in sweep.seeds")
            if (other := seen.setdefault(key, table)) != table:
                raise ConfigError(f"sweep.{table}: got {key}, which is in sweep.{other} too; leave one of them out")
    for table in ("grid", "paired"):
        for key, values in flat(getattr(sweep, table)).items():
            if not isinstance(values, list) or not values:
                raise ConfigError(f"sweep.{table}: {key}: got {values!r}; allowed: a list of values that is not empty")
    lengths = {key: len(values) for key, values in flat(sweep.paired).items()}
    if len(set(lengths.values())) > 1:
        listed = ", ".join(f"{key} {length}" for key, length in lengths.items())
        raise ConfigError(f"sweep.paired: got lists of different lengths ({listed}); allowed: one length")
    if len(set(sweep.seed_list)) < len(sweep.seed_list):
        raise ConfigError(f"sweep.seeds: got {list(sweep.seed_list)}, some of them twice; allowed: each once")
    if sweep.num_draws > 1 and not sweep.random:
        raise ConfigError(
            f"sweep.num_draws: got {sweep.num_draws} without anything in sweep.random; allowed: 1; add a range there"
        )
    ranges(sweep)
    num_runs = len(sweep.seed_list) * sweep.num_draws * next(iter(lengths.values()), 1)
    for values in flat(sweep.grid).values():
        num_runs *= len(values)
    if num_runs > MAX_RUNS:
        raise ConfigError(f"sweep: got {num_runs} runs; allowed: up to {MAX_RUNS}; sweep fewer keys or values at once")


def ranges(sweep: SweepConfig) -> dict[str, Range]:
    """The ranges of ``random`` by key. Raises ConfigError."""
    found = {}
    for key, value in flat(sweep.random).items():
        try:
            found[key] = msgspec.convert(value, Range)
        except msgspec.ValidationError as err:
            raise ConfigError(f"sweep.random.{key}: {refusal(err, value, Range)}") from err
    return found


def flat(table: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Keys with dots, whether the file wrote ``"air.snr_db"``, ``air.snr_db`` or a section; ranges are values."""
    found: dict[str, Any] = {}
    for key, value in table.items():
        if isinstance(value, dict) and value and not {"low", "high"} & set(value):
            found |= flat(value, f"{prefix}{key}.")
        else:
            found[f"{prefix}{key}"] = value
    return found


def _beside(file: Path, name: str) -> str:
    """A file beside the sweep's file by its path, all else as it is."""
    beside = file.parent / name
    return os.fspath(beside) if os.path.isfile(beside) else name
