"""Options that several commands share, and what they come to."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from testbed.config.schema import RunConfig

DEFAULT_CONTROL = "tcp://127.0.0.1:5555"
DEFAULT_AIR = "tcp://127.0.0.1:5556"


def _rigs(incomplete: str) -> list[str]:
    from testbed.config.files import RIG_DIRECTORY, known_files

    return [name for name in known_files(RIG_DIRECTORY) if name.startswith(incomplete)]


def _experiments(incomplete: str) -> list[str]:
    from testbed.config.files import EXPERIMENT_DIRECTORY, known_files

    return [name for name in known_files(EXPERIMENT_DIRECTORY) if name.startswith(incomplete)]


RigOption = Annotated[
    str | None,
    typer.Option("--rig", "-r", help="Rig: a name in hardware_configs/, or a TOML file.", autocompletion=_rigs),
]
ExperimentOption = Annotated[
    str | None,
    typer.Option("--experiment", "-e", help="Experiment: a name, or a TOML file.", autocompletion=_experiments),
]
SetOption = Annotated[
    list[str] | None,
    typer.Option("--set", "-s", metavar="SECTION.KEY=VALUE", help="Override one key of either; repeatable."),
]
OutOption = Annotated[Path | None, typer.Option("--out", "-o", help="Run directory (default: runs/<time>-<name>).")]
ResumeOption = Annotated[
    Path | None, typer.Option("--resume", help="Continue the run in this directory from its journal.")
]
YesOption = Annotated[
    bool, typer.Option("--yes", "-y", help="On real radios: radiate without asking, within the rig's [limits].")
]
DashboardOption = Annotated[
    bool, typer.Option("--dashboard", help="Show the run on a local web page while it goes on.")
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print everything as JSON.")]
DirArgument = Annotated[Path, typer.Argument(metavar="RUN_DIR", help="A run directory.")]


def configured(rig: str | None, experiment: str | None, overrides: list[str] | None) -> RunConfig:
    """The resolved configuration; what is wrong with it is found before anything slow is imported, where that can be.

    Raises ConfigError, or what `testbed.bench.rig.resolve` raises.
    """
    from testbed.config.files import load

    return load(rig, experiment, overrides or [], check=_resolved)


def config_of(resume: Path | None, config: RunConfig) -> RunConfig:
    """That of the run which is continued, where one is. Raises RunDirectoryError."""
    if resume is None:
        return config
    from testbed.results.directory import RunDirectory

    return RunDirectory.open(resume).read_config()


def _resolved(config: RunConfig) -> RunConfig:
    from testbed.bench.rig import resolve  # SciPy and Numba, once ranges and names are right

    return resolve(config)


def refuse_both(resume: Path | None, *others: object) -> None:
    """A resumed run keeps its configuration and directory; raises typer.BadParameter if others are asked for."""
    if resume is not None and any(others):
        raise typer.BadParameter(
            "a resumed run keeps its own configuration and directory; leave out --rig, --experiment, --set and --out",
            param_hint="--resume",
        )


def device_numbers(text: str) -> list[int]:
    """Of "0-4" or "0,2,3", ascending. Raises typer.BadParameter."""
    numbers: set[int] = set()
    for part in text.split(","):
        first, dash, last = part.strip().partition("-")
        if not first.isdigit() or (dash and not last.isdigit()):
            raise typer.BadParameter(
                f"got {text!r}, expected numbers and ranges such as 0-4 or 0,2,3", param_hint="--devices"
            )
        numbers.update(range(int(first), int(last or first) + 1))
    if not numbers:
        raise typer.BadParameter(f"got {text!r}, an empty range", param_hint="--devices")
    return sorted(numbers)


def decibels(text: str | None, option: str = "--snr-db") -> list[float]:
    """Of "-10,0,10". Raises typer.BadParameter."""
    try:
        return [float(part) for part in text.split(",")] if text else []
    except ValueError as err:
        raise typer.BadParameter(f"got {text!r}, expected numbers such as -10,0,10", param_hint=option) from err


def by_station(text: str | None, num_devices: int, option: str, *, with_access_point: bool) -> dict[int, float]:
    """Of "0=1.2,ap=0.8", where ap is the station behind the last device; of "1.2" the same for every device.

    Raises typer.BadParameter.
    """
    if not text:
        return {}
    found: dict[int, float] = {}
    try:
        if "=" not in text:
            return dict.fromkeys(range(num_devices), _finite(text))
        for part in text.split(","):
            name, _, value = part.partition("=")
            station = num_devices if with_access_point and name.strip() == "ap" else int(name)
            if station in found:
                raise typer.BadParameter(f"got {name.strip()} twice; give it once", param_hint=option)
            found[station] = _finite(value)
    except ValueError as err:
        example = "0=1.2,ap=0.8" if with_access_point else "0=-42,1=-43"
        raise typer.BadParameter(
            f"got {text!r}, expected numbers by device such as {example}", param_hint=option
        ) from err
    return found


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(text)
    return value
