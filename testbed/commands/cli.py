"""The command line: parses, calls, prints. Results on stdout, progress and logs on stderr.

Exit codes: 0 done, 1 expected failure (one line), 2 usage, 130 interrupted.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Sequence

import typer

# Each adds its commands to `app`, and help lists them in this order.
# isort: off
from testbed.commands import run, fetch, processes, keys, plan, budget, results, dashboard, audit, doctor  # noqa: F401
from testbed.commands.comparing import sweep, compare  # noqa: F401
from testbed.commands.measuring import measure, calibrate  # noqa: F401
from testbed.commands import catalogue  # noqa: F401
# isort: on

from testbed.commands.app import app
from testbed.commands.screen.output import written_output
from testbed.commands.screen.terminal import INTERRUPTED
from testbed.failures import EXPECTED

_log = logging.getLogger(__name__)


def main(arguments: Sequence[str] | None = None) -> None:
    """Entry point: turns expected failures into one line and an exit code; always ends with SystemExit."""
    try:
        with written_output():
            app(args=arguments, standalone_mode=True)
    except KeyboardInterrupt:
        typer.echo("interrupted", err=True)
        sys.exit(INTERRUPTED)
    except EXPECTED as err:
        _fail(str(err))
    except OSError as err:
        if err.filename is None:
            raise
        _log.info("a file that no command reckoned with", exc_info=True)
        _fail(f"{err.filename}: {err.strerror or err}")


def _fail(text: str) -> None:
    typer.echo(f"error: {' '.join(text.splitlines())}", err=True)
    sys.exit(1)
