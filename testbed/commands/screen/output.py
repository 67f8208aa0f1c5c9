"""Standard output that cannot be written is a failure of the command, said in one line."""

from __future__ import annotations

import errno
import io
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TextIO, cast

from testbed.errors import OutputError


@contextmanager
def written_output() -> Iterator[None]:
    """Whatever is printed inside has been written when this ends. Raises OutputError.

    A reader who has left (``| head``) stays a BrokenPipeError inside, and is no failure at the end.
    """
    stream = sys.stdout
    if stream is None:  # a process without one
        yield
        return
    output = _Output(stream)
    sys.stdout = cast(TextIO, output)
    try:
        yield
    finally:
        sys.stdout = stream
        flush_or_fail()
        if output.failure is not None:  # also where a library tried the stream and kept the error to itself
            raise output.failure


def flush_or_fail() -> None:
    """Flush standard output. Raises OutputError; a reader who has left is no failure."""
    try:
        if sys.stdout is not None and not sys.stdout.closed:
            sys.stdout.flush()
    except OSError as err:
        _lead_nowhere(sys.stdout)
        if err.errno != errno.EPIPE:
            raise _said(err) from err


class _Output:
    """A stream whose failures are OutputErrors; in everything else the stream itself."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self.failure: OutputError | None = None

    def write(self, text: str) -> int:
        with self._refused():
            return self._stream.write(text)

    def flush(self) -> None:
        with self._refused():
            self._stream.flush()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    @contextmanager
    def _refused(self) -> Iterator[None]:
        try:
            yield
        except OSError as err:
            if err.errno == errno.EPIPE:
                raise
            _lead_nowhere(self._stream)
            self.failure = _said(err)
            raise self.failure from err


def _said(err: OSError) -> OutputError:
    return OutputError(
        f"standard output: cannot be written: {err.strerror or err}; free some space or send it elsewhere"
    )


def _lead_nowhere(stream: TextIO) -> None:
    """Let the interpreter find nothing to complain of when it flushes once more at its end."""
    try:
        descriptor = stream.fileno()
    except io.UnsupportedOperation:  # no file of the operating system
        return
    nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, descriptor)
    finally:
        os.close(nowhere)
