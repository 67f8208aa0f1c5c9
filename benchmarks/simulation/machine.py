"""What a process of a history takes from its machine: time, randomness, and a disk that fails or forgets."""

from __future__ import annotations

import random
import secrets
import time
import tomllib
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from copy import deepcopy
from functools import cache
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np

from benchmarks.faults.disk import Disk, How, Stopped, image_of, writing_to
from benchmarks.simulation.world import Killed, Process, World
from testbed.results import files, provenance

_toml = cache(tomllib.loads)
_known = {name: cache(getattr(provenance, name)) for name in ("versions", "host", "git_revision")}
"""The same in every history, and slow to find out."""


class ProcessDisk(Disk):
    """The disk as one process sees it: to sync takes time, and with the process ends what it can do.

    ``at`` and ``how`` as `benchmarks.faults.disk.Disk`: one call fails, or is the last.
    """

    def __init__(
        self, folder: Path, process: Process, *, at: int | None = None, how: How = "stop", sync_s: float = 0.001
    ) -> None:
        self._process = process
        self._sync_s = sync_s
        self._rng_of_power = np.random.default_rng(process.world.rng.getrandbits(32))
        super().__init__(folder, self._rng_of_power, at=at, how=how)

    def sync(self, descriptor: int) -> None:
        """As the system's, in its time."""
        if self.image is None:
            self._process.sleep(self._process.world.rng.expovariate(1 / self._sync_s))
        super().sync(descriptor)

    def _call(self, some: Callable[[], None] = lambda: None, *, may_fail: bool = True) -> None:
        try:
            super()._call(some, may_fail=may_fail)
        except Stopped as err:
            self._process.is_killed = True
            raise Killed from err

    def stop(self, *, power_cut: bool) -> None:
        """What is on disk now is what stays; with ``power_cut`` but for what was not synced."""
        if self.image is None:
            self.image = image_of(self._folder)
            if power_cut:
                self.image = self._after_power_cut(self.image)

    def fail(self, number: int, how: How) -> None:
        """From now on count the calls, and let that one fail, or be the last."""
        self._at, self._how = self.num_calls + number, how

    def mend(self) -> None:
        """No call fails any more."""
        self._at = None

    def settle(self) -> None:
        """Put back what was there when the process stopped, whatever its cleaning up has done since."""
        if self.image is None:
            return
        for path in self._folder.iterdir() if self._folder.is_dir() else ():
            if path.is_file() and path.name not in self.image:
                path.unlink()
        for name, data in self.image.items():
            (self._folder / name).write_bytes(data)


class _Nowhere(files.System):
    """Only a process with a disk writes."""

    def open(self, path: Path, flags: int) -> int:
        """Nobody may."""
        raise AssertionError(f"{path}: written to by nobody")


@contextmanager
def replaced(world: World) -> Iterator[None]:
    """Let every process take its time and randomness from the world."""
    rng = random.Random(world.rng.getrandbits(64))

    def now_s() -> float:
        return world.current.now_s() if world.current is not None else world.now_s

    replacements: list[tuple[Any, str, Any]] = [
        (time, "perf_counter", now_s),
        (time, "monotonic", now_s),
        (secrets, "randbits", rng.getrandbits),
        (secrets, "token_hex", lambda num=32: rng.randbytes(num).hex()),
        (secrets, "token_bytes", lambda num=32: rng.randbytes(num)),
        (uuid, "uuid4", lambda: uuid.UUID(int=rng.getrandbits(128), version=4)),
        *((provenance, name, known) for name, known in _known.items()),
        (tomllib, "loads", lambda text: deepcopy(_toml(text))),
    ]
    with ExitStack() as stack:
        for place, name, replacement in replacements:
            stack.enter_context(patch.object(place, name, replacement))
        stack.enter_context(writing_to(_Nowhere()))
        yield
