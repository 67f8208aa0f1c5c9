"""Signals as a terminal sets them, whoever runs the tests."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def as_from_a_terminal() -> Iterator[None]:
    """A process that is started in here can be interrupted and hung up on, also where this one ignores that.

    `nohup` and shells that run something in the background have it ignore SIGHUP or SIGINT, which is inherited.
    """
    previous = {}
    for number in (signal.SIGINT, signal.SIGHUP):
        if signal.getsignal(number) is signal.SIG_IGN:
            previous[number] = signal.signal(number, signal.SIG_DFL)
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
