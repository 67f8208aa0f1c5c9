"""One virtual time and one order of events; processes are greenlets, and exactly one of them runs at a time.

Everything random comes from one generator, so a seed is a history. Code that waits gives way to whatever comes next.
"""

from __future__ import annotations

import hashlib
import heapq
import math
import random
from collections.abc import Callable
from typing import Any

from greenlet import getcurrent, greenlet

SHORTEST_WAIT_S = 1e-4
"""No wait takes no time, so that who looks again and again lets time pass."""
MAX_EVENTS = 300_000


class Killed(BaseException):
    """The process ends here, as by kill -9."""


class RestlessError(Exception):
    """A history that has far more events than any that goes on as it should."""


class World:
    """The queue of events; the trace of what has happened is a hash."""

    def __init__(self, seed: int) -> None:
        self.rng = random.Random(seed)
        self.now_s = 0.0
        self.num_events = 0
        self.current: Process | None = None
        """Who is running."""
        self._queue: list[tuple[float, int, Callable[[], object]]] = []
        self._serial = 0
        self._digest = hashlib.sha256()
        self.log: list[str] | None = None
        """Lines for people; None if nobody reads them."""

    def at(self, when_s: float, do: Callable[[], object]) -> None:
        """Let this happen at a time, behind what happens then already."""
        self._serial += 1
        heapq.heappush(self._queue, (max(when_s, self.now_s), self._serial, do))

    def after(self, delay_s: float, do: Callable[[], object]) -> None:
        """Let this happen later."""
        self.at(self.now_s + delay_s, do)

    def note(self, what: str, data: bytes = b"") -> None:
        """Put something that happened into the trace; of a message its bytes, whatever is said of it."""
        self._digest.update(f"{self.now_s!r} {what.partition('  ')[0]} ".encode() + data)
        if self.log is not None:
            self.log.append(f"{self.now_s:10.4f}  {what}")

    @property
    def trace(self) -> str:
        """Of all that has happened so far; equal traces are equal histories."""
        return self._digest.hexdigest()

    def run(self, until_s: float, is_over: Callable[[], bool]) -> bool:
        """Let things happen until it is over; False if the time comes first, or nothing happens any more."""
        while self._queue:
            if is_over():
                return True
            when_s, _, do = heapq.heappop(self._queue)
            if when_s > until_s:
                return False
            self.num_events += 1
            if self.num_events > MAX_EVENTS:
                raise RestlessError(f"more than {MAX_EVENTS} events until {self.now_s:.1f} s")
            self.now_s = when_s
            do()
        return is_over()


class Process:
    """A program that runs until it waits; it may be stopped for a while, and killed while it waits."""

    def __init__(self, world: World, place: str, body: Callable[[Process], Any]) -> None:
        self.world = world
        self.place = place
        self.is_over = False
        self.is_killed = False
        self.result: Any = None
        self.error: BaseException | None = None
        self.skew_s = 0.0
        """By how much its clock has jumped."""
        self.frozen_until_s = -math.inf
        self.frozen_for_s = 0.0
        """How long in all, with what is left of it now."""
        self.at_end: list[Callable[[], object]] = []
        """Done when it is over, however that came."""
        self._body = body
        self._number = 0
        self._hub = getcurrent()
        self._greenlet = greenlet(self._main)
        world.after(0.0, lambda: self._step(0))

    @property
    def is_frozen(self) -> bool:
        """Whether it is stopped, as by SIGSTOP."""
        return self.frozen_until_s > self.world.now_s

    def now_s(self) -> float:
        """Its clock."""
        return self.world.now_s + self.skew_s

    def wait(self, until_s: float) -> None:
        """Give way until a time of the world, or until woken. From inside the process only."""
        if self.is_killed:
            raise Killed
        number = self._number
        self.world.at(until_s, lambda: self._step(number))
        self.world.current = None
        self._hub.switch()

    def sleep(self, seconds: float) -> None:
        """Work, or wait for something else than messages."""
        until_s = self.world.now_s + seconds
        while self.world.now_s < until_s:
            self.wait(until_s)

    def wake(self) -> None:
        """Let it look what there is, if it waits."""
        number = self._number
        self.world.after(0.0, lambda: self._step(number))

    def freeze(self, seconds: float) -> None:
        """Stop it for a while."""
        before_s = max(self.frozen_until_s, self.world.now_s)
        self.frozen_until_s = max(before_s, self.world.now_s + seconds)
        self.frozen_for_s += self.frozen_until_s - before_s

    def kill(self) -> None:
        """End it where it waits; what its cleaning up would do must not count, which is up to who made it."""
        if self.is_over:
            return
        self.is_killed = True
        self._number += 1
        if self._greenlet.dead or not self._greenlet:
            self._end()  # it had not begun
            return
        self._greenlet.throw(Killed)
        self.world.current = None

    def _step(self, number: int) -> None:
        if self.is_over or number != self._number:
            return
        if self.is_frozen:
            self.world.at(self.frozen_until_s, lambda: self._step(number))
            return
        self._number += 1
        self.world.current = self
        self._greenlet.switch()
        self.world.current = None

    def _main(self) -> None:
        try:
            self.result = self._body(self)
        except Killed:
            pass
        except BaseException as err:  # noqa: BLE001 - it is judged by who made the process
            self.error = err
        self._end()

    def _end(self) -> None:
        self.is_over = True
        for do in self.at_end:
            do()
