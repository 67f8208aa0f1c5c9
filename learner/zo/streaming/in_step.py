"""Forward passes side by side: at every block they wait for each other, so that one fetch serves them all.

Each pass is a thread of its own, since a forward pass of a foreign model cannot be left and entered again in any other
way; one of them runs at a time. What a pass computes does not depend on the others.
"""

import threading
from collections.abc import Callable, Sequence
from typing import Any

import torch


class _CancelledError(BaseException):
    """Unwinds a pass because another one failed."""


class _Pass:
    """A job that runs until it waits for a block, for other passes, or is done."""

    def __init__(self, job: Callable[[], Any], is_inference: bool) -> None:
        self._job = job
        self._is_inference = is_inference
        self._go, self._back = threading.Semaphore(0), threading.Semaphore(0)
        self._thread: threading.Thread | None = None
        self._is_cancelled = False
        self.is_done = False
        self.result: Any = None
        self.error: BaseException | None = None
        self.block: str | None = None  # that it waits for
        self.num_bytes = 0  # that it holds meanwhile
        self.others: Sequence[_Pass] = ()  # that it waits for

    def resume(self) -> None:
        """Run it until it waits again or is done."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._work, daemon=True)
            self._thread.start()
        else:
            self._go.release()
        self._back.acquire()

    def wait(self) -> None:
        """Called in the pass: until it is resumed."""
        if not self._is_cancelled:
            self._back.release()
            self._go.acquire()
        if self._is_cancelled:
            raise _CancelledError

    def cancel(self) -> None:
        """Unwind it, if it runs."""
        self._is_cancelled = True
        if self._thread is not None:
            self._go.release()
            self._thread.join()

    def _work(self) -> None:
        try:
            with torch.inference_mode(self._is_inference):  # of each thread its own
                self.result = self._job()
        except BaseException as err:  # noqa: BLE001  goes on in the thread that began all passes
            self.error = err
        self.is_done = True
        self._back.release()


class InStep:
    """Runs passes that share the blocks they need."""

    def __init__(self, most_bytes: int) -> None:
        """most_bytes: passes begin until those that wait hold so much."""
        self.most_bytes = most_bytes
        self.passes: list[_Pass] = []
        self._current: _Pass | None = None

    def run(self, jobs: Sequence[Callable[[], Any]]) -> list[Any]:
        """What the jobs return, in order; a job may run others. If one fails, all end, and its error is raised."""
        if len(jobs) < 2:
            return [job() for job in jobs]
        passes = [_Pass(job, torch.is_inference_mode_enabled()) for job in jobs]
        parent = self._current
        if parent is None:
            self._play(passes)
        else:
            at = self.passes.index(parent)
            self.passes[at:at] = passes
            parent.others, parent.block, parent.num_bytes = passes, None, 0
            parent.wait()
        return [each.result for each in passes]

    def wait_for(self, block: str, num_bytes: int | None = None) -> None:
        """Called before a block is used, by a pass that holds so many bytes, or as many as before: until its turn."""
        current = self._current
        if current is not None:
            current.block, current.num_bytes = block, current.num_bytes if num_bytes is None else num_bytes
            current.wait()

    def _play(self, passes: Sequence[_Pass]) -> None:
        self.passes = list(passes)
        try:
            while self.passes:
                for each in self.next_passes():
                    self._resume(each)
        finally:
            left, self.passes, self._current = self.passes, [], None
            for each in left:
                each.cancel()

    def next_passes(self) -> list[_Pass]:
        """One that begins or goes on after others, if there is room; else all that want what the first one wants."""
        able = [each for each in self.passes if all(other.is_done for other in each.others)]
        free = next((each for each in able if each.block is None), None)
        if free is not None and sum(each.num_bytes for each in self.passes) < self.most_bytes:
            return [free]
        block = next(each.block for each in able if each.block is not None)
        return [each for each in able if each.block == block]

    def _resume(self, each: _Pass) -> None:
        self._current = each
        each.resume()
        self._current = None
        if each.is_done:
            self.passes.remove(each)
        if each.error is not None:
            raise each.error
