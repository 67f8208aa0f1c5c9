"""The command `testbed` itself; its subcommands add themselves to `app`."""

from __future__ import annotations

import logging
import sys
from typing import Annotated

import typer

DISTRIBUTION = "airzero-testbed"

app = typer.Typer(
    name="testbed",
    no_args_is_help=True,
    add_completion=True,
    rich_markup_mode=None,  # help is text: nothing in it is markup, and rich need not be imported for it
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 120},
)


def _show_version(asked: bool) -> None:
    if asked:
        from importlib.metadata import PackageNotFoundError, version

        try:
            typer.echo(f"testbed {version(DISTRIBUTION)}")
        except PackageNotFoundError:
            typer.echo("testbed, not installed")
        raise typer.Exit


@app.callback()
def root(
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Log to stderr.")] = False,
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    """Fine-tune language models over the air: zeroth-order scalars, analog symbols, one over-the-air sum a round.

    Examples:

        testbed run

        testbed list

        testbed config rounds

        testbed -v run --rig virtual_plutos --experiment quickstart_energy
    """
    logging.basicConfig(
        level=logging.INFO if verbose else logging.ERROR,
        format="%(asctime)s %(levelname)s %(name)s: %(message)s",
        stream=sys.stderr,
    )
    logging.getLogger("learner").setLevel(logging.WARNING)  # says what was left out of a user's data
