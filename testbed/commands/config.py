"""`testbed config`."""

from __future__ import annotations

import shutil
from typing import Annotated

import typer

from testbed.commands.app import app
from testbed.commands.options import JsonOption


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
