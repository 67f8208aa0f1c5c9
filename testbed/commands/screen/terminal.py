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
STOPPING = "stopping; once more to stop at once"
UNHEARD_S = 1.5
"""Who has not asked by then whether to stop (it loads, it computes) is stopped at once."""


def console(*, stderr: bool = False) -> Console:
    """A console that reads nothing into what it prints: no markup, no emoji codes, no highlighting.

    Names, paths and error texts go through it, in tables too; "[pluto]" stays "[pluto]".
    """
    from rich.console import Console

    return Console(file=sys.stderr if stderr else sys.stdout, markup=False, emoji=False, highlight=False)


@contextmanager
def interruptible(notice: str = STOPPING) -> Iterator[Callable[[], bool]]:
    """The first Ctrl-C (or SIGTERM) asks to stop in good order, the second one stops at once.

    What is yielded says whether to stop. A program that does not ask is not left to go on: KeyboardInterrupt.
    """
    requests: list[int] = []

    def ask(number: int, _: FrameType | None) -> None:
        requests.append(number)
        if len(requests) > 1:
            raise KeyboardInterrupt
        typer.echo(f"\n{notice}", err=True)
        signal.setitimer(signal.ITIMER_REAL, UNHEARD_S)

    def unheard(_: int, __: FrameType | None) -> None:
        raise KeyboardInterrupt

    def should_stop() -> bool:
        if requests:
            signal.setitimer(signal.ITIMER_REAL, 0.0)
        return bool(requests)

    handlers = {signal.SIGINT: ask, signal.SIGTERM: ask, signal.SIGALRM: unheard}
    previous: dict[int, Any] = {number: signal.signal(number, handler) for number, handler in handlers.items()}
    try:
        yield should_stop
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0.0)
        for number, handler in previous.items():
            signal.signal(number, handler)


def exit_if_interrupted(reason: str) -> None:
    """End with the exit code of an interrupted program if a run ended for that reason."""
    if reason in ("interrupted", "stopped"):
        raise typer.Exit(INTERRUPTED)
