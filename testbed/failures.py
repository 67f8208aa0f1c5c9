"""Failures: the roots of all that is expected, and what becomes of an exception that nobody expected.

An expected failure is one line. The unexpected is said in one line, kept with its traceback, and the end of the run.
"""

from __future__ import annotations

import threading
import traceback
from types import TracebackType
from typing import Self

from learner.errors import LearnerError
from radio.errors import RadioError
from testbed.errors import CrashError, TestbedError

EXPECTED = (TestbedError, LearnerError, RadioError)
MAX_TRACEBACK_CHARACTERS = 20_000


def in_one_line(err: BaseException) -> str:
    """Type and first line of an exception that nobody expected."""
    text = str(err).strip().splitlines()
    return f"{type(err).__name__}: {text[0]}" if text else type(err).__name__


def traceback_of(err: BaseException) -> str:
    """The whole traceback; of very long ones the end."""
    return "".join(traceback.format_exception(err))[-MAX_TRACEBACK_CHARACTERS:]


class Watch:
    """While it is entered, an exception that ends any thread of this process is kept, and `check` raises it."""

    def __init__(self) -> None:
        self._crash: CrashError | None = None
        self._former = threading.excepthook

    def check(self) -> None:
        """Raise CrashError if a thread has died of an exception."""
        if self._crash is not None:
            raise self._crash

    def __enter__(self) -> Self:
        self._former = threading.excepthook
        threading.excepthook = self._keep
        return self

    def __exit__(
        self, kind: type[BaseException] | None, err: BaseException | None, trace: TracebackType | None
    ) -> None:
        threading.excepthook = self._former

    def _keep(self, died: threading.ExceptHookArgs) -> None:
        err = died.exc_value
        if err is None or isinstance(err, SystemExit):
            return
        name = died.thread.name if died.thread is not None else "unknown"
        if self._crash is None:
            self._crash = CrashError(f"thread {name}: {in_one_line(err)}", trace=traceback_of(err))
