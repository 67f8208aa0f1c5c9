"""Everything the testbed can refuse, as one tree.

TestbedError            an expected failure: one line, exit code 1
├── ConfigError         a rig, an experiment or a --set that cannot be used
├── RunDirectoryError   a run directory that exists, is missing, or cannot be written
├── JournalError        a journal that is damaged, foreign, or does not lead to the recorded weights
├── BudgetError         a data-set budget that is spent, damaged, missing, or not for this run
├── TransportError      an address that cannot be bound, reached or trusted; a peer that broke the protocol
├── PeerTimeoutError    a deadline that passed; names who is missing
├── SweepError          a sweep that cannot be conducted: workers that do not fit, a scheduler that is lost
├── OutputError         standard output that cannot be written
├── DivergenceError     hosts that hold different weights
├── StalledRunError     one round after the other came to nothing
├── FailedRunError      a run that failed at its access point, as its hosts hear
├── NothingUsedError    a run that ended without one round that was used
└── CrashError          an exception that nobody expected, somewhere in the run; its traceback is kept in a file
"""


class TestbedError(Exception):
    """An expected failure; its text says what, got, allowed and remedy in one line."""

    __test__ = False  # the name starts with Test, but this is no test


class ConfigError(TestbedError, ValueError):
    """A rig, an experiment or an override that cannot be used; a ValueError too, so that msgspec tells its key."""


class RunDirectoryError(TestbedError):
    """A run directory that exists already, is missing, or cannot be written."""


class JournalError(TestbedError):
    """A journal that is damaged, foreign, or does not lead to the recorded weights."""


class BudgetError(TestbedError):
    """A data-set budget that is spent, damaged, missing, or not for this run."""


class TransportError(TestbedError):
    """An address that cannot be bound, reached or trusted, or a peer that broke the protocol."""


class PeerTimeoutError(TestbedError):
    """A deadline that passed; the text names who is missing."""


class SweepError(TestbedError):
    """A sweep that cannot be conducted: another process does, its workers do not fit, or its scheduler is lost."""


class OutputError(TestbedError):
    """Standard output that cannot be written."""


class DivergenceError(TestbedError):
    """Hosts that hold different weights."""


class StalledRunError(TestbedError):
    """One round after the other was skipped."""


class FailedRunError(TestbedError):
    """A run that failed at its access point, as its hosts hear."""


class NothingUsedError(TestbedError):
    """A run that ended without one round that was used: its model is the untouched one."""


class CrashError(TestbedError):
    """An exception that nobody expected, in one line; ``trace`` is its traceback, for a file."""

    def __init__(self, text: str, *, trace: str = "") -> None:
        super().__init__(text)
        self.trace = trace

    def kept_in(self, path: object) -> "CrashError":
        """The same, with the file that its traceback is in."""
        return CrashError(f"{self}; this is a fault of the toolkit or of this machine, its traceback is in {path}")
