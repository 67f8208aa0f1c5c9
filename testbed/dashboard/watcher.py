"""Looks at all runs while somebody watches, and tells each who watches what is new."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path

import msgspec

from testbed.dashboard.messages import Planned, Update
from testbed.dashboard.watched import Cursor, WatchedRun

LOOK_EVERY_S = 0.05
"""At most twenty updates a second."""
BEAT_EVERY_S = 10.0
"""A stream without news says so, and so finds out who has left."""
MAX_STREAMS = 32
PLAN_TIMEOUT_S = 300.0
log = logging.getLogger(__name__)
_ENCODER = msgspec.json.Encoder()


class Watcher:
    """All runs of one page."""

    def __init__(self, directories: Sequence[Path], plan_command: Sequence[str] = ()) -> None:
        """``plan_command`` is run with a configuration file behind it, once for each run, and prints a `Planned`."""
        self.runs = tuple(WatchedRun(index, directory) for index, directory in enumerate(directories))
        self._plan_command = tuple(plan_command)
        self._num_streams = 0
        self._looked = asyncio.Event()
        self._streaming = asyncio.Event()
        self.is_closing: Callable[[], bool] = lambda: False
        self.crash: BaseException | None = None
        """What nobody expected."""

    @property
    def is_full(self) -> bool:
        """Whether nobody else may watch."""
        return self._num_streams >= MAX_STREAMS

    def start(self) -> list[asyncio.Task[None]]:
        """Look and plan from now on; what goes wrong is kept in `crash`."""
        tasks = [asyncio.create_task(self.keep_looking()), asyncio.create_task(self.keep_planning())]
        for task in tasks:
            task.add_done_callback(self._ended)
        return tasks

    def _ended(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and task.exception() is not None:
            self.crash = task.exception()

    async def keep_looking(self) -> None:
        """For ever: once at the beginning, so that the first page finds all read; then while somebody watches."""
        while True:
            for run in self.runs:
                while await asyncio.to_thread(run.look):
                    pass
            looked, self._looked = self._looked, asyncio.Event()
            looked.set()
            await asyncio.sleep(LOOK_EVERY_S)
            await self._streaming.wait()

    async def keep_planning(self) -> None:
        """Find out what each run plans, once its configuration is there and the page is open."""
        waiting = list(self.runs)
        while waiting and self._plan_command:
            await self._streaming.wait()
            for run in list(waiting):
                if run.config_file is not None:
                    waiting.remove(run)
                    planned = await planned_by((*self._plan_command, str(run.config_file)))
                    if planned is not None:
                        run.plan(planned)
            await asyncio.sleep(0.5)

    async def stream(self) -> AsyncIterator[bytes]:
        """Server-sent events for one page: first everything, then what is new."""
        cursors = [Cursor() for _ in self.runs]
        self._num_streams += 1
        self._streaming.set()
        quiet_s = 0.0
        try:
            yield b"retry: 1000\n\n"
            await self._next_look()
            while not self.is_closing() and self.crash is None:
                news = [each for run, cursor in zip(self.runs, cursors, strict=True) if (each := run.news(cursor))]
                if news:
                    quiet_s = 0.0
                    yield b"data: " + _ENCODER.encode(Update(num_runs=len(self.runs), runs=news)) + b"\n\n"
                elif quiet_s >= BEAT_EVERY_S:
                    quiet_s = 0.0
                    yield b": still here\n\n"
                await self._next_look()
                quiet_s += LOOK_EVERY_S
        finally:
            self._num_streams -= 1
            if not self._num_streams:
                self._streaming.clear()

    async def _next_look(self) -> None:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._looked.wait(), BEAT_EVERY_S)


async def planned_by(command: Sequence[str]) -> Planned | None:
    """What a command prints; None where it does not come to an end, or prints something else."""
    process = await asyncio.create_subprocess_exec(
        *command, stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL, start_new_session=True,
    )  # fmt: skip
    try:
        printed, _ = await asyncio.wait_for(process.communicate(), PLAN_TIMEOUT_S)
        return msgspec.json.decode(printed, type=Planned)
    except (TimeoutError, msgspec.DecodeError) as err:
        log.warning("%s: no plan: %s", command[-1], err)
        return None
    finally:
        if process.returncode is None:
            process.kill()
