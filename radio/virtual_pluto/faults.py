"""Decides when something goes wrong on purpose; a test or a rig says what."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from threading import Lock

from radio.virtual_pluto.config import Fault


@dataclass(slots=True)
class _Counted:
    fault: Fault
    num_seen: int = 0
    num_struck: int = 0

    def is_due(self) -> bool:
        """Count one more matching command."""
        past = self.num_seen - self.fault.skip
        self.num_seen += 1
        is_left = self.fault.times == 0 or self.num_struck < self.fault.times
        return past >= 0 and past % self.fault.every == 0 and is_left


class Faults:
    """Counts matching commands and says which fault strikes; thread-safe."""

    def __init__(self, faults: Iterable[Fault] = ()) -> None:
        self._lock = Lock()
        self._active: list[_Counted] = []
        self.num_struck = 0
        for fault in faults:
            self.add(fault)

    def add(self, fault: Fault) -> None:
        """From now on."""
        with self._lock:
            self._active.append(_Counted(fault))

    def clear(self) -> None:
        """Nothing goes wrong any more."""
        with self._lock:
            self._active.clear()

    def strike(self, station: int, command: str) -> Fault | None:
        """The fault that hits this command, if one does."""
        with self._lock:
            matching = [c for c in self._active if c.fault.command == command and c.fault.station in (-1, station)]
            due = [counted for counted in matching if counted.is_due()]
            if not due:
                return None
            due[0].num_struck += 1
            self.num_struck += 1
            return due[0].fault
