"""What C libraries write on standard error stands above a live display instead of tearing it."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console

_STDERR = 2
_CHUNK_BYTES = 65536
_JOIN_S = 1.0


@contextmanager
def native_lines_above(console: Console) -> Iterator[None]:
    """Inside, file descriptor 2 is a pipe whose lines the console prints; the console keeps the terminal.

    Lines that repeat are printed once, with their count. Does nothing where the console is no terminal.
    """
    if not console.is_terminal:
        yield
        return
    shown_on, kept = console.file, os.dup(_STDERR)
    reading, writing = os.pipe()
    with os.fdopen(os.dup(_STDERR), "w", encoding=getattr(shown_on, "encoding", None) or "utf-8") as terminal:
        reader = threading.Thread(target=_print_lines, args=(reading, console), name="native-lines", daemon=True)
        console.file = terminal
        os.dup2(writing, _STDERR)
        os.close(writing)
        reader.start()
        try:
            yield
        finally:
            os.dup2(kept, _STDERR)  # closes the pipe, unless a child process still has it
            os.close(kept)
            reader.join(_JOIN_S)
            console.file = shown_on


def _print_lines(reading: int, console: Console) -> None:
    rest, last, times = b"", "", 1
    with os.fdopen(reading, "rb", buffering=0) as pipe:
        while chunk := pipe.read(_CHUNK_BYTES):
            *lines, rest = (rest + chunk).split(b"\n")
            for line in lines:
                text = line.decode("utf-8", "replace").rstrip()
                if text and text == last:
                    times += 1
                    continue
                _say_times(console, last, times)
                last, times = text, 1
                if text:
                    console.print(text, soft_wrap=True)
    _say_times(console, last, times)
    if rest.strip():
        console.print(rest.decode("utf-8", "replace").rstrip(), soft_wrap=True)


def _say_times(console: Console, line: str, times: int) -> None:
    if times > 1:
        console.print(f"({times} times: {line})", soft_wrap=True)
