"""`testbed list`, `testbed config`, `testbed new`: what there is to choose from, what keys mean, a copy to change."""

from __future__ import annotations

import inspect
import shutil
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from testbed.commands.app import app
from testbed.commands.options import JsonOption
from testbed.errors import ConfigError

if TYPE_CHECKING:
    from testbed.plugins import Kind


def _rigs() -> dict[str, str]:
    from testbed.config.files import RIG_DIRECTORY, known_files, read_toml

    return {name: str(read_toml(path).get("description", "")) for name, path in known_files(RIG_DIRECTORY).items()}


def _experiments() -> dict[str, str]:
    from testbed.config.files import EXPERIMENT_DIRECTORY, known_files

    return {name: _first_comment(path) for name, path in known_files(EXPERIMENT_DIRECTORY).items()}


def _schemes() -> dict[str, str]:
    from radio.schemes.registry import scheme

    return _parts("scheme", scheme)


def _schedules() -> dict[str, str]:
    from testbed.schedule.registry import schedule

    return _parts("schedule", schedule)


def _optimisers() -> dict[str, str]:
    from testbed.optimisers.registry import optimiser

    return _parts("optimiser", optimiser)


def _backends() -> dict[str, str]:
    from radio.backends.registry import backend

    return _parts("backend", backend)


def _templates() -> dict[str, str]:
    from learner.tasks.registry import template

    return _parts("task", template)


def _parts(kind: Kind, find: Callable[[str], object]) -> dict[str, str]:
    """Each part by name, plug-ins' too, with its class's first line."""
    from testbed.plugins import registered

    return {name: (inspect.getdoc(type(find(name))) or "").partition("\n")[0] for name in registered(kind)}


KINDS: dict[str, Callable[[], dict[str, str]]] = {
    "rigs": _rigs,
    "experiments": _experiments,
    "schemes": _schemes,
    "schedules": _schedules,
    "optimisers": _optimisers,
    "templates": _templates,
    "backends": _backends,
}
"""For each kind, the line that says what each name is."""


@app.command("list")
def list_(
    kind: Annotated[
        str | None, typer.Argument(metavar="[KIND]", help=f"One of {', '.join(KINDS)}; without it, all of them.")
    ] = None,
    json: JsonOption = False,
) -> None:
    """List the rigs, experiments, schemes, schedules, optimisers, task templates and backends that there are.

    Examples:

        testbed list

        testbed list schemes

        testbed list rigs --json
    """
    import msgspec

    from radio.allowed import suggestion

    if kind is not None and kind not in KINDS:
        raise ConfigError(f"list: got {kind!r}; {suggestion(kind, KINDS)}")
    found = {each: KINDS[each]() for each in ([kind] if kind is not None else KINDS)}
    if json:
        typer.echo(msgspec.json.format(msgspec.json.encode(found)).decode())
        return
    blocks = []
    for each, lines in found.items():
        width = max(map(len, lines), default=0)
        rows = [f"{name:<{width}}  {line}".rstrip() for name, line in lines.items()]
        blocks.append(
            "\n".join(rows if kind is not None else [f"{each}:", *textwrap.indent("\n".join(rows), "  ").splitlines()])
        )
    typer.echo("\n\n".join(blocks))


@app.command()
def new(
    kind: Annotated[str, typer.Argument(metavar="KIND", help="rig or experiment.")],
    name: Annotated[str, typer.Argument(metavar="NAME", help="Which, as `testbed list` has it.")],
    to: Annotated[Path | None, typer.Argument(metavar="[FILE]", help="Where (default: NAME.toml here).")] = None,
) -> None:
    """Copy a rig or an experiment that comes with the toolkit, to be changed. A file that is there stays.

    Examples:

        testbed new rig pluto_bench_5 my_bench.toml

        testbed new experiment quickstart
    """
    from radio.allowed import suggestion
    from testbed.config.files import EXPERIMENT_DIRECTORY, RIG_DIRECTORY, known_files

    folders = {"rig": RIG_DIRECTORY, "experiment": EXPERIMENT_DIRECTORY}
    if kind not in folders:
        raise ConfigError(f"new: got {kind!r}; {suggestion(kind, folders)}")
    known = known_files(folders[kind])
    if name.removesuffix(".toml") not in known:
        raise ConfigError(f"new: no {kind} {name!r}; {suggestion(name, known)}")
    place = to if to is not None else Path(f"{name.removesuffix('.toml')}.toml")
    try:
        with place.open("xb") as copy:
            copy.write(known[name.removesuffix(".toml")].read_bytes())
    except OSError as err:
        raise ConfigError(f"{place}: {err.strerror}; name another file") from err
    typer.echo(f"{place}: testbed run --{kind} {place}")


def _first_comment(path: Path) -> str:
    line = path.read_text(encoding="utf-8").partition("\n")[0]
    return line.removeprefix("#").strip() if line.startswith("#") else ""


@app.command()
def config(
    section: Annotated[
        str | None, typer.Argument(metavar="[SECTION]", help="A section, or one key; without it, an overview.")
    ] = None,
    json: JsonOption = False,
    markdown: Annotated[bool, typer.Option("--markdown", help="Print the whole reference as Markdown.")] = False,
) -> None:
    """Explain the keys of rigs and experiments: what each means, what it may be, its unit and its default.

    Examples:

        testbed config

        testbed config rounds

        testbed config air.transmitter

        testbed config radio.tx_gain_db --json
    """
    import msgspec

    from testbed.config import reference

    if markdown:
        if section is not None or json:
            raise typer.BadParameter("the whole reference; allowed alone only", param_hint="--markdown")
        typer.echo(reference.markdown(), nl=False)
        return
    if json:
        shown = reference.sections() if section is None else reference.find(section)
        typer.echo(msgspec.json.format(msgspec.json.encode(shown)).decode())
    elif section is None:
        typer.echo(reference.overview())
    else:
        width = min(shutil.get_terminal_size().columns, 120)
        typer.echo(reference.text(reference.find(section), width=width))
