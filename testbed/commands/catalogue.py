"""`testbed list`: what there is to choose from, one line each."""

from __future__ import annotations

import inspect
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from testbed.commands.app import app
from testbed.commands.options import JsonOption
from testbed.errors import ConfigError


def _rigs() -> dict[str, str]:
    from testbed.config.files import RIG_DIRECTORY, known_files, read_toml

    return {name: str(read_toml(path).get("description", "")) for name, path in known_files(RIG_DIRECTORY).items()}


def _experiments() -> dict[str, str]:
    from testbed.config.files import EXPERIMENT_DIRECTORY, known_files

    return {name: _first_comment(path) for name, path in known_files(EXPERIMENT_DIRECTORY).items()}


def _schemes() -> dict[str, str]:
    from radio.schemes.registry import scheme
    from testbed import plugins

    return {name: _first_line(type(scheme(name))) for name in plugins.registered("scheme")}


def _schedules() -> dict[str, str]:
    from testbed import plugins
    from testbed.schedule.registry import schedule

    return {name: _first_line(type(schedule(name))) for name in plugins.registered("schedule")}


def _optimisers() -> dict[str, str]:
    from testbed import plugins
    from testbed.optimisers.registry import optimiser

    return {name: _first_line(type(optimiser(name))) for name in plugins.registered("optimiser")}


def _backends() -> dict[str, str]:
    from radio.backends.registry import backend
    from testbed import plugins

    return {name: _first_line(type(backend(name))) for name in plugins.registered("backend")}


def _templates() -> dict[str, str]:
    from learner.tasks.registry import template
    from testbed import plugins

    found = {name: template(name) for name in plugins.registered("task")}
    return {name: f"{each.kind}, {each.metric}: {each.prompt!r}" for name, each in found.items()}


KINDS: dict[str, Callable[[], dict[str, str]]] = {
    "rigs": _rigs,
    "experiments": _experiments,
    "schemes": _schemes,
    "schedules": _schedules,
    "templates": _templates,
    "optimisers": _optimisers,
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
    """List the rigs, experiments, schemes, schedules, task templates, optimisers and backends that there are.

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


def _first_line(part: object) -> str:
    return (inspect.getdoc(part) or "").partition("\n")[0]


def _first_comment(path: Path) -> str:
    line = path.read_text(encoding="utf-8").partition("\n")[0]
    return line.removeprefix("#").strip() if line.startswith("#") else ""
