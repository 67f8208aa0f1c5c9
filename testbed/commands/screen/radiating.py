"""Nothing is radiated before somebody has seen what, and agreed."""

from __future__ import annotations

import sys

import typer

from testbed.bench.limits import check_limits, preview, radiates
from testbed.commands.screen.terminal import console
from testbed.config.schema import Rig
from testbed.errors import ConfigError


def agree_to_radiate(rig: Rig, *, yes: bool) -> None:
    """Check the rig's limits; of real radios show what is about to be sent, and ask unless `yes`.

    Raises ConfigError for limits that are missing or not kept, and where nobody can be asked; typer.Abort for a no.
    """
    check_limits(rig)
    if not radiates(rig):
        return
    out = console(stderr=True)
    for line in preview(rig):
        out.print(line, soft_wrap=True)
    if yes:
        return
    if not sys.stdin.isatty():
        raise ConfigError(
            "radiating: nobody can be asked, as there is no terminal; allowed: on a terminal, or with --yes; read the "
            "lines above, then add it"
        )
    typer.confirm("radiate?", abort=True, err=True)
