"""A disk on which any one call of the writers fails, or is the last that the process makes, or is cut by a power loss.

It takes the place of `testbed.results.files.system`. An image is what the deciding files of a run directory hold.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Literal, TypeAlias

import numpy as np

from testbed.results import files

Image: TypeAlias = dict[str, bytes]
"""File name → contents, of everything directly inside a run directory."""
How = Literal["stop", "stop within", "power cut", "fail", "fail within", "fail on"]
"""The process stops before the call, or in the middle of a write; it stops, and what was not synced may be lost; the
call fails, or fails half done, or it and all that follow fail."""
HOWS: tuple[How, ...] = ("stop", "stop within", "power cut", "fail", "fail within", "fail on")


class Stopped(BaseException):
    """The process has ended here, as by kill -9: no `except` and no `finally` of it counts for what is on disk."""


def image_of(folder: Path) -> Image:
    """What is on disk now; empty of a folder that is not there."""
    if not folder.is_dir():
        return {}
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir()) if path.is_file()}


def restore(image: Image, folder: Path) -> Path:
    """A new run directory with these files."""
    folder.mkdir(parents=True)
    for name, data in image.items():
        (folder / name).write_bytes(data)
    return folder


class Disk(files.System):
    """Counts the calls of the writers in one run directory; without ``at``, nothing happens to any of them."""

    def __init__(self, folder: Path, rng: np.random.Generator, *, at: int | None = None, how: How = "stop") -> None:
        self._folder, self._rng, self._at, self._how = folder, rng, at, how
        self._on_disk: dict[str, bytes | None] = {}
        """What a power cut leaves at least of files that have been changed and not synced; None for no file."""
        self._renamed: set[str] = set()
        self.num_calls = 0
        self.image: Image | None = None
        """At the moment at which the process stopped."""

    # ---- the calls

    def open(self, path: Path, flags: int) -> int:
        """As the system's."""
        self._call()
        if flags & (os.O_TRUNC | os.O_CREAT):
            self._will_change(path)
        return super().open(path, flags)

    def write(self, descriptor: int, data: bytes) -> int:
        """As the system's, but that a part may be written of what fails."""
        path = _path_of(descriptor)

        def some() -> None:
            super(Disk, self).write(descriptor, data[: int(self._rng.integers(len(data)))])

        self._will_change(path)
        self._call(some)
        return super().write(descriptor, data)

    def sync(self, descriptor: int) -> None:
        """Nothing is left to a power cut of this file; the real disk is not waited for."""
        self._call()
        self._on_disk.pop(_path_of(descriptor).name, None)

    def sync_folder(self, folder: Path) -> None:
        """Nothing is left to a power cut of new names."""
        self._call(may_fail=False)
        for name in self._renamed:
            self._on_disk.pop(name, None)
        self._renamed.clear()

    def truncate(self, descriptor: int, size_bytes: int) -> None:
        """As the system's."""
        self._will_change(_path_of(descriptor))
        self._call()
        super().truncate(descriptor, size_bytes)

    def replace(self, partial: Path, path: Path) -> None:
        """As the system's."""
        self._call()
        self._will_change(path)  # not before: a name that was never given is not found, not even empty
        super().replace(partial, path)
        if self._on_disk.pop(partial.name, b"synced") == b"synced":
            self._renamed.add(path.name)

    def make_folder(self, path: Path) -> None:
        """As the system's."""
        self._call()
        super().make_folder(path)

    def make_with(self, path: Path, writer: Callable[[Path], object]) -> None:
        """As the system's."""
        self._call()
        super().make_with(path, writer)

    # ---- what happens to them

    def _call(self, some: Callable[[], None] = lambda: None, *, may_fail: bool = True) -> None:
        if self.image is not None:
            raise Stopped
        self.num_calls += 1
        if self._at is None or self.num_calls - 1 < self._at:
            return
        if self._how.startswith("fail"):
            if may_fail and (self._how == "fail on" or self.num_calls - 1 == self._at):
                if self._how == "fail within":
                    some()
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            return
        if self._how == "stop within":
            some()
        self.image = image_of(self._folder)
        if self._how == "power cut":
            self.image = self._after_power_cut(self.image)
        raise Stopped

    def _will_change(self, path: Path) -> None:
        if path.parent == self._folder and path.name not in self._on_disk:
            self._on_disk[path.name] = path.read_bytes() if path.exists() else None

    def _after_power_cut(self, now: Image) -> Image:
        """Each file that was not synced as it is, as it was, or, where bytes were written into it, partly both."""
        image = dict(now)
        for name, before in self._on_disk.items():
            after = now.get(name, b"")
            fate = self._rng.integers(2 if name in self._renamed else 4)
            if fate == 0:
                continue
            if fate == 1 and before is None:
                image.pop(name, None)
            elif fate == 1 and before is not None:
                image[name] = before
            else:
                image[name] = self._mixed(before or b"", after, zeros=fate == 2)
        return image

    def _mixed(self, before: bytes, after: bytes, *, zeros: bool) -> bytes:
        """What was written reached the disk up to some byte; behind it is what was there, and zeros where nothing was.

        With ``zeros``, nothing that lengthened the file is there but its length.
        """
        old = before[: len(after)].ljust(len(after), b"\0")
        cut = int(self._rng.integers(len(after) + 1))
        return after[: min(cut, len(before)) if zeros else cut] + old[min(cut, len(before)) if zeros else cut :]


@contextmanager
def writing_to(disk: files.System) -> Iterator[None]:
    """Let every writer use this disk meanwhile."""
    usual = files.system
    files.system = disk
    try:
        yield
    finally:
        files.system = usual


def close_all_in(folder: Path) -> None:
    """Close what a stopped process left open, as its end does; with it go its locks."""
    with suppress(FileNotFoundError):
        for name in os.listdir("/proc/self/fd"):
            with suppress(OSError):
                if os.readlink(f"/proc/self/fd/{name}").startswith(f"{folder}/"):
                    os.close(int(name))


def _path_of(descriptor: int) -> Path:
    return Path(os.readlink(f"/proc/self/fd/{descriptor}"))
