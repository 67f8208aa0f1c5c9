"""Standard output that cannot be written is a failure of the command, said in one line."""

from __future__ import annotations

import errno
import os
import sys

from testbed.errors import TestbedError


class OutputError(TestbedError):
    """Standard output cannot be written."""


def flush_or_fail() -> None:
    """Flush standard output before the process ends. Raises OutputError; a reader who has left (``| head``) is none.

    Afterwards standard output leads nowhere, so that the interpreter does not try, and fail, once more.
    """
    try:
        if sys.stdout is not None and not sys.stdout.closed:
            sys.stdout.flush()
    except OSError as err:
        raise_output_error(err)


def raise_output_error(err: OSError) -> None:
    """Say that standard output cannot be written, unless its reader has left; it leads nowhere afterwards."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, sys.stdout.fileno())
    finally:
        os.close(nowhere)
    if err.errno != errno.EPIPE:
        raise OutputError(
            f"standard output: cannot be written: {err.strerror or err}; free some space or send it elsewhere"
        ) from err
