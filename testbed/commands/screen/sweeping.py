"""What a person sees of a sweep in a terminal: how many runs are in which state, and those that failed."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Self

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from testbed.commands.screen.terminal import console
from testbed.sweep.directory import Seen, State

_LINE_S = 30.0
"""How often a line is written where stderr is no terminal."""


class SweepDisplay:
    """A bar over runs; where stderr is no terminal, a line now and then. Failures are lines in both."""

    def __init__(self, num_runs: int) -> None:
        self._console = console(stderr=True)
        self._num_runs = num_runs
        self._bar: Progress | None = None
        self._task = TaskID(0)
        self._last_s = -_LINE_S
        self._last_words = ""

    def __enter__(self) -> Self:
        if self._console.is_terminal:
            self._bar = Progress(
                BarColumn(bar_width=18),
                MofNCompleteColumn(),
                TextColumn("{task.fields[words]}", markup=False),
                TimeElapsedColumn(),
                console=self._console,
                refresh_per_second=4,
            )
            self._bar.start()
            self._task = self._bar.add_task("runs", total=self._num_runs, words="starting workers")
        else:
            self._console.print(f"{self._num_runs} runs: starting workers")
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.stop()

    def counted(self, states: Mapping[State, int], num_workers: int) -> None:
        """Move the bar."""
        settled = states.get("done", 0) + states.get("failed", 0)
        words = ", ".join(f"{states[state]} {state}" for state in ("failed", "cut off") if states.get(state, 0))
        workers = f"{num_workers} worker{'' if num_workers == 1 else 's'}" if num_workers else "waiting for workers"
        words = f"{words}; {workers}" if words else workers
        if self._bar is not None:
            self._bar.update(self._task, completed=settled, words=words)
        elif time.monotonic() - self._last_s >= _LINE_S or settled == self._num_runs:
            self._last_s = time.monotonic()
            self._console.print(f"{settled}/{self._num_runs} runs: {words}")

    def settled(self, name: str, seen: Seen) -> None:
        """Say what failed."""
        if seen.state == "failed":
            self._console.print(f"failed: {name}: {seen.reason}", soft_wrap=True)

    def told(self, words: str) -> None:
        """Say it, but not twice in a row."""
        if words != self._last_words:
            self._last_words = words
            self._console.print(words, soft_wrap=True)
