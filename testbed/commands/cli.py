"""The command line: parses, calls, prints. Results on stdout, progress and logs on stderr.

Exit codes: 0 done, 1 expected failure (one line), 2 usage, 130 interrupted.
"""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import sys
from collections.abc import Sequence

import typer

# Each adds its commands to `app`, and help lists them in this order.
# isort: off
from testbed.commands import run, processes, plan, results, doctor, catalogue, config  # noqa: F401
# isort: on

from testbed.commands.app import app
from testbed.commands.terminal import INTERRUPTED
from testbed.failures import EXPECTED

_log = logging.getLogger(__name__)


def main(arguments: Sequence[str] | None = None) -> None:
    """Entry point: turns expected failures into one line and an exit code; always ends with SystemExit."""
    try:
        try:
            app(args=arguments, standalone_mode=True)
        finally:
            sys.stdout.flush()  # while a disk that is full can still be said
    except KeyboardInterrupt:
        typer.echo("interrupted", err=True)
        sys.exit(INTERRUPTED)
    except EXPECTED as err:
        _fail(str(err))
    except OSError as err:
        _log.info("unexpected", exc_info=True)
        if err.filename is None:
            _drop_stdout()
        if err.errno == errno.EPIPE:  # whoever read our output has seen enough
            sys.exit(1)
        _fail(f"{err.filename or 'standard output'}: {err.strerror or err}")


def _fail(text: str) -> None:
    typer.echo(f"error: {' '.join(text.splitlines())}", err=True)
    sys.exit(1)


def _drop_stdout() -> None:
    """Python flushes standard output once more when it ends; let that go nowhere."""
    with contextlib.suppress(OSError, ValueError):  # no file: somebody else's stream in this process
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
