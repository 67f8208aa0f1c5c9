"""The terminal: consoles that show data as it is, and Ctrl-C."""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import TYPE_CHECKING, Any

import typer

if TYPE_CHECKING:
    from rich.console import Console

INTERRUPTED = 130
AFTER_THIS_ROUND = "stopping after this round; once more to stop at once"


def console(*, stderr: bool = False) -> Console:
    """A console that reads nothing into what it prints: no markup, no emoji codes, no highlighting.

    Names, paths and error texts go through it, in tables too; "[pluto]" stays "[pluto]".
    """
    from rich.console import Console

    return Console(file=sys.stderr if stderr else sys.stdout, markup=False, emoji=False, highlight=False)


@contextmanager
def interruptible(notice: str = AFTER_THIS_ROUND) -> Iterator[Callable[[], bool]]:
    """The first Ctrl-C (or SIGTERM) asks to stop after the current round, the second one stops at once."""
    requests: list[int] = []

    def ask(number: int, _: FrameType | None) -> None:
        requests.append(number)
        if len(requests) > 1:
            raise KeyboardInterrupt
        typer.echo(f"\n{notice}", err=True)

    previous: dict[int, Any] = {number: signal.signal(number, ask) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield lambda: bool(requests)
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


def exit_if_interrupted(reason: str) -> None:
    """End with the exit code of an interrupted program if a run ended for that reason."""
    if reason in ("interrupted", "stopped"):
        raise typer.Exit(INTERRUPTED)
