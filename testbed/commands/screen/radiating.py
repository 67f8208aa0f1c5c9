"""Nothing is radiated before somebody has seen what, and agreed."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import typer

from testbed.commands.screen.terminal import console
from testbed.errors import ConfigError

if TYPE_CHECKING:
    from testbed.config.schema import Rig


def agree_to_radiate(rig: Rig, *, yes: bool) -> None:
    """Check the rig's limits; of real radios show what is about to be sent, and ask unless `yes`.

    Raises ConfigError for limits that are missing or not kept, and where nobody can be asked; typer.Abort for a no.
    """
    from testbed.bench.limits import check_limits, preview, radiates  # NumPy, which no typo waits for

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
