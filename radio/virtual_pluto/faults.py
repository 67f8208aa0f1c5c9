"""Decides when something goes wrong on purpose; a test or a rig says what."""

from __future__ import annotations

from collections.abc import Iterable
from threading import Lock

from radio.virtual_pluto.config import Fault


class Faults:
    """Counts matching commands and says which fault strikes; thread-safe."""

    def __init__(self, faults: Iterable[Fault] = ()) -> None:
        self._lock = Lock()
        self._active: list[list[object]] = []
        self.num_struck = 0
        for fault in faults:
            self.add(fault)

    def add(self, fault: Fault) -> None:
        """From now on."""
        with self._lock:
            self._active.append([fault, 0, 0])

    def clear(self) -> None:
        """Nothing goes wrong any more."""
        with self._lock:
            self._active.clear()

    def strike(self, station: int, command: str) -> Fault | None:
        """The fault that hits this command, if one does."""
        with self._lock:
            struck: Fault | None = None
            for entry in self._active:
                fault, seen, times = entry
                assert isinstance(fault, Fault) and isinstance(seen, int) and isinstance(times, int)
                if fault.command != command or fault.station not in (-1, station):
                    continue
                entry[1] = seen + 1
                due = seen >= fault.skip and (seen - fault.skip) % fault.every == 0
                if due and struck is None and (fault.times == 0 or times < fault.times):
                    entry[2] = times + 1
                    self.num_struck += 1
                    struck = fault
            return struck
