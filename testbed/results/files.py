"""How this project writes and reads files: whole or not at all, and every failure is one line with a remedy.

What the writers ask of the operating system goes through `system`, so that a test can make any one call fail.
"""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from learner.errors import LearnerError
from testbed.errors import RunDirectoryError

REMEDY = "free some space or make it writable, and run again"


class System:
    """The calls that can fail for want of space, of permission, or of a disk."""

    def open(self, path: Path, flags: int) -> int:
        """A file descriptor; the file is made with the user's usual permissions."""
        return os.open(path, flags | os.O_CLOEXEC, 0o666)

    def write(self, descriptor: int, data: bytes) -> int:
        """How many bytes were written, possibly fewer than asked."""
        return os.write(descriptor, data)

    def sync(self, descriptor: int) -> None:
        """Wait until what was written is on disk."""
        os.fsync(descriptor)

    def sync_folder(self, folder: Path) -> None:
        """Put a new name on disk, where the file system can; the file itself is there already."""
        with suppress(OSError):
            descriptor = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)

    def truncate(self, descriptor: int, size_bytes: int) -> None:
        """Cut a file."""
        os.ftruncate(descriptor, size_bytes)

    def replace(self, partial: Path, path: Path) -> None:
        """Give a whole file its name."""
        os.replace(partial, path)

    def make_folder(self, path: Path) -> None:
        """Make a folder and those above it."""
        path.mkdir(parents=True, exist_ok=True)

    def free_bytes(self, path: Path) -> int:
        """What is free on the disk that ``path`` is, or will be, on."""
        there = path.absolute()
        while not there.exists() and there != there.parent:
            there = there.parent
        return shutil.disk_usage(there).free

    def make_with(self, path: Path, writer: Callable[[Path], object]) -> None:
        """Let a library write ``path``."""
        writer(path)


system = System()


def write(path: Path, data: bytes | str, *, remedy: str = REMEDY) -> None:
    """Write a file whole or not at all, on disk when this returns. Raises RunDirectoryError.

    What is no plain file (a pipe, /dev/stdout) is written to as it is, never replaced.
    """
    raw = data.encode("utf-8", "replace") if isinstance(data, str) else data
    with _refused(path, remedy):
        target = Path(os.path.realpath(path))
        if _is_special(target):
            _write_to(target, raw, os.O_WRONLY)
            return
        with _partial(target) as partial:
            _write_to(partial, raw, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, sync=True)
            system.replace(partial, target)
        system.sync_folder(target.parent)


def write_with(path: Path, writer: Callable[[Path], object], *, remedy: str = REMEDY) -> None:
    """Let ``writer`` make a file or a folder under another name, then give it ``path``: it appears whole or not at all.

    An existing file is replaced; a folder only if it is empty. Raises RunDirectoryError, also for what the learner
    says of its own files.
    """
    with _refused(path, remedy):
        target = Path(os.path.realpath(path))
        if _is_special(target):
            raise RunDirectoryError(f"{path}: got a device or a pipe; allowed: a file; choose another place")
        if target.is_dir() and any(target.iterdir()):
            raise RunDirectoryError(f"{path}: is not an empty directory; choose another place")
        system.make_folder(target.parent)
        with _partial(target) as partial:
            system.make_with(partial, writer)
            for made in [*partial.rglob("*"), partial]:
                if made.is_file():
                    _sync(made)
            system.replace(partial, target)
        system.sync_folder(target.parent)


def append(path: Path, data: bytes, *, remedy: str = REMEDY) -> None:
    """Add to the end of a file; if that fails, what was there before stays and nothing else. Raises RunDirectoryError.

    A file that is not there is not made. Not forced to disk: for what can be made again from the journal.
    """
    with _refused(path, remedy):
        descriptor = system.open(path, os.O_WRONLY | os.O_APPEND)
        try:
            size_bytes = os.fstat(descriptor).st_size
            try:
                write_all(descriptor, data)
            except OSError:
                with suppress(OSError):  # else the reader finds a cut-off last line, which it knows
                    system.truncate(descriptor, size_bytes)
                raise
        finally:
            os.close(descriptor)


def check_there(path: Path) -> None:
    """Refuse to make anew what has gone while a run was writing it. Raises RunDirectoryError."""
    if not path.exists():
        raise RunDirectoryError(
            f"{path}: was removed or moved while this run was writing it; end what does that, restore the whole run "
            "directory, and resume"
        )


def keep_copy(path: Path, data: bytes) -> None:
    """Write what ``path`` holds beside it, as its next ``.N.bak``, before it is repaired. Raises RunDirectoryError."""
    number = 1
    while (copy := path.with_name(f"{path.name}.{number}.bak")).exists():
        number += 1
    write(copy, data)


def read(path: Path, *, remedy: str = "give a run directory") -> bytes:
    """The bytes of a file. Raises RunDirectoryError."""
    try:
        return path.read_bytes()
    except OSError as err:
        raise RunDirectoryError(f"{path}: cannot be read: {reason(err)}; {remedy}") from err


def make_folder(path: Path, *, remedy: str = REMEDY) -> None:
    """Make a folder, unless it is there. Raises RunDirectoryError."""
    with _refused(path, remedy):
        system.make_folder(path)


def write_all(descriptor: int, data: bytes) -> None:
    """Write every byte; the operating system may take them in parts. Raises OSError."""
    left = memoryview(data)
    while left:
        left = left[system.write(descriptor, bytes(left)) :]


def reason(err: OSError) -> str:
    """What the operating system says, in its own words."""
    return err.strerror or str(err) or type(err).__name__


@contextmanager
def _refused(path: Path, remedy: str) -> Iterator[None]:
    """Say in one line why ``path`` could not be written."""
    if "\0" in str(path):
        raise RunDirectoryError(f"{str(path)!r}: got a name with a NUL; allowed: any other; choose another name")
    try:
        yield
    except FileNotFoundError as err:
        raise RunDirectoryError(
            f"{path}: cannot be written: {reason(err)}; its folder was removed or moved, or never made: put it back"
        ) from err
    except OSError as err:
        raise RunDirectoryError(f"{path}: cannot be written: {reason(err)}; {remedy}") from err
    except LearnerError as err:
        raise RunDirectoryError(f"{path}: {err}") from err


@contextmanager
def _partial(target: Path) -> Iterator[Path]:
    """Another name beside ``target``, free, and gone afterwards."""
    partial = target.with_name(f"{target.name}.partial")
    _remove(partial)
    try:
        yield partial
    except BaseException:
        _remove(partial)
        raise


def _remove(partial: Path) -> None:
    with suppress(OSError):
        if partial.is_dir() and not partial.is_symlink():
            shutil.rmtree(partial)
        else:
            partial.unlink()


def _write_to(path: Path, data: bytes, flags: int, *, sync: bool = False) -> None:
    descriptor = system.open(path, flags)
    try:
        write_all(descriptor, data)
        if sync:
            system.sync(descriptor)
    finally:
        os.close(descriptor)


def _sync(path: Path) -> None:
    descriptor = system.open(path, os.O_RDONLY)
    try:
        system.sync(descriptor)
    finally:
        os.close(descriptor)


def _is_special(path: Path) -> bool:
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        return False
    return not (stat.S_ISREG(mode) or stat.S_ISDIR(mode))
