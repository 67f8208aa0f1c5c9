"""Radios that are still open when the process ends are closed: on exit, and on signals that would skip it."""

from __future__ import annotations

import atexit
import signal
import sys
import threading
from types import FrameType
from typing import Protocol
from weakref import WeakSet


class Closeable(Protocol):
    """What falls silent when it is closed."""

    def close(self) -> None:
        """Fall silent."""
        ...


_open: WeakSet[Closeable] = WeakSet()


def watch(radio: Closeable) -> None:
    """Close `radio` at the latest when the process exits, or is told to by SIGTERM or SIGHUP.

    A program's own handlers of these signals stay; nothing helps against SIGKILL but the radio's daemon, which ends a
    transmission when its connection is lost.
    """
    _open.add(radio)
    if threading.current_thread() is not threading.main_thread():
        return
    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is signal.SIG_DFL:
            signal.signal(number, _exit)


def _exit(number: int, frame: FrameType | None) -> None:
    sys.exit(128 + number)


@atexit.register
def close_all() -> None:
    """Close whatever is open."""
    for radio in list(_open):
        radio.close()
