"""From a sweep's file to its runs: values, seeds, names. Pure but for the rig's and the experiment's files."""

from __future__ import annotations

import hashlib
import itertools
import math
import random
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import msgspec

from testbed.comparison.runs import short, word
from testbed.config.schema import RunConfig
from testbed.errors import ConfigError
from testbed.failures import EXPECTED
from testbed.sweep.file import Range, SweepConfig, flat, ranges

DIGEST_CHARACTERS = 10
_MAX_LABEL_CHARACTERS = 80
_SIGNIFICANT_DIGITS = 4

Load = Callable[[str, str, Sequence[str]], RunConfig]
"""Experiment, rig and overrides, as --set takes them, to a resolved configuration; raises what is EXPECTED."""
Write = Callable[[Mapping[str, Any]], list[str]]
"""Keys and values to overrides."""


class PlannedRun(msgspec.Struct, frozen=True, kw_only=True):
    """One run of a sweep, before anything has happened to it."""

    name: str
    """Of its directory: what varies, and a digest of its whole configuration, so that it means this run for ever."""
    values: dict[str, Any]
    """What varies, by key."""
    seed: int
    overrides: tuple[str, ...]
    refusal: str | None = None
    """Why its configuration is refused; null if it is not."""

    @property
    def setting(self) -> str:
        """What it shares with runs of other seeds, in words."""
        return ", ".join(f"{key} = {word(value)}" for key, value in self.values.items()) or "as it is"


def planned(sweep: SweepConfig, load: Load, write: Write) -> list[tuple[PlannedRun, RunConfig | None]]:
    """The runs of a sweep in order, each with its configuration, or None where that is refused.

    Raises ConfigError, with what the first one was refused for, where all are: that is the file's fault.
    """
    runs: dict[str, tuple[PlannedRun, RunConfig | None]] = {}
    first: Exception | None = None
    for values in settings(sweep):
        for seed in sweep.seed_list:
            overrides = write({**flat(sweep.set), **values, "seed": seed})
            config, refusal = None, None
            try:
                config = load(sweep.experiment, sweep.rig, overrides)
            except EXPECTED as err:
                first, refusal = first or err, str(err)
            name = f"{label(values, seed)}-{digest(config if config is not None else overrides)}"
            run = PlannedRun(name=name, values=values, seed=seed, overrides=tuple(overrides), refusal=refusal)
            if name in runs:
                raise ConfigError(f"sweep: got {run.setting}, seed {seed} twice; allowed: each setting once")
            runs[name] = run, config
    if first is not None and all(config is None for _, config in runs.values()):
        raise ConfigError(f"none of {len(runs)} runs can be made: {first}") from first
    return list(runs.values())


def settings(sweep: SweepConfig) -> Iterator[dict[str, Any]]:
    """What varies, but for the seed: every draw with every pair with every point of the grid."""
    grid, paired = flat(sweep.grid), flat(sweep.paired)
    pairs = [dict(zip(paired, row, strict=True)) for row in zip(*paired.values(), strict=True)] or [{}]
    points = [dict(zip(grid, point, strict=True)) for point in itertools.product(*grid.values())]
    for drawn in draws(ranges(sweep), sweep.num_draws, sweep.draw_seed):
        for pair in pairs:
            for point in points:
                yield {**drawn, **pair, **point}


def draws(of: Mapping[str, Range], num_draws: int, seed: int) -> list[dict[str, float | int]]:
    """``num_draws`` values of each key, independent by key: another key, or more draws, change none of them."""
    streams = {key: random.Random(f"airzero sweep {seed} {key}") for key in of}
    return [{key: draw(each, streams[key].random()) for key, each in of.items()} for _ in range(num_draws)]


def draw(of: Range, share: float) -> float | int:
    """The value at a share of [0, 1) of a range, to four significant digits; whole if both ends are."""
    whole = isinstance(of.low, int) and isinstance(of.high, int)
    high = of.high + 1 if whole else of.high
    value = math.exp(math.log(of.low) + share * math.log(high / of.low)) if of.log else of.low + share * (high - of.low)
    if whole:
        return min(math.floor(value), int(of.high))
    return min(max(float(f"{value:.{_SIGNIFICANT_DIGITS}g}"), of.low), of.high)


def label(values: Mapping[str, Any], seed: int) -> str:
    """What varies as part of a folder's name: ``snr_db=10,seed=2``."""
    parts = [f"{short(key)}={word(value)}" for key, value in values.items()]
    words = [re.sub(r"[^\w.=+-]+", "-", part) for part in (*parts, f"seed={seed}")]
    return re.sub(r"^[.-]+", "", ",".join(words)[:_MAX_LABEL_CHARACTERS])


def digest(of: RunConfig | Sequence[str]) -> str:
    """Stands for a configuration; how many threads compute it decides nothing."""
    plain = msgspec.to_builtins(of)
    if isinstance(of, RunConfig):
        plain["experiment"]["learner"].pop("num_threads")
    text = msgspec.json.encode(_exact(plain), order="sorted")
    return hashlib.sha256(text).hexdigest()[:DIGEST_CHARACTERS]


def _exact(value: Any) -> Any:
    """Numbers as text, as JSON has no infinity."""
    if isinstance(value, dict):
        return {key: _exact(each) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [_exact(each) for each in value]
    return repr(value) if isinstance(value, float) else value
