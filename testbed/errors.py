"""Everything the testbed can refuse, as one tree.

TestbedError            an expected failure: one line, exit code 1
├── ConfigError         a rig, an experiment or a --set that cannot be used
├── RunDirectoryError   a run directory that exists, is missing, or cannot be written
├── JournalError        a journal that is damaged, foreign, or does not lead to the recorded weights
├── TransportError      an address that cannot be bound, reached or trusted; a peer that broke the protocol
├── PeerTimeoutError    a deadline that passed; names who is missing
├── OutputError         standard output that cannot be written
└── DivergenceError     hosts that hold different weights
"""


class TestbedError(Exception):
    """An expected failure; its text says what, got, allowed and remedy in one line."""

    __test__ = False  # the name starts with Test, but this is no test


class ConfigError(TestbedError):
    """A rig, an experiment or an override that cannot be used."""


class RunDirectoryError(TestbedError):
    """A run directory that exists already, is missing, or cannot be written."""


class JournalError(TestbedError):
    """A journal that is damaged, foreign, or does not lead to the recorded weights."""


class TransportError(TestbedError):
    """An address that cannot be bound, reached or trusted, or a peer that broke the protocol."""


class PeerTimeoutError(TestbedError):
    """A deadline that passed; the text names who is missing."""


class OutputError(TestbedError):
    """Standard output that cannot be written."""


class DivergenceError(TestbedError):
    """Hosts that hold different weights."""
