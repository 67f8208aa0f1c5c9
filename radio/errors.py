"""Everything the radio package can refuse, as one tree.

    RadioError                    an expected failure of the radio layer
    ├── RadioConfigError          a bad setting, or a call that this radio, station or level cannot serve
    ├── SignalError               samples or values that must not go on the air, or cannot be worked on
    ├── SchemeUnsupportedError    the rig lacks what the scheme needs
    ├── DriverError               the software that a radio needs is missing, or of a version that does not work
    └── RadioLinkError            a radio does not answer, went away, or refused; it may be tried again
        ├── SamplesLostError      the receiver overflowed: a capture is not what was on the air
        └── TooLateError          a transmission was asked for at a sample that has passed

Every text says what, got, allowed and remedy. A rejected round is no error but a value: `Estimate.rejected`.
"""


class RadioError(Exception):
    """An expected failure of the radio layer."""


class RadioConfigError(RadioError, ValueError):
    """A bad setting; also a ValueError, so that msgspec reports it with its key path."""


class SignalError(RadioError, ValueError):
    """Samples or values that are empty, not finite, of a wrong type or shape, or over full scale or power."""


class SchemeUnsupportedError(RadioError):
    """The rig lacks what the scheme needs."""


class DriverError(RadioError):
    """The software that a radio needs is missing, or of a version that does not work."""


class RadioLinkError(RadioError):
    """A radio does not answer, went away, or refused; the next call connects again."""


class SamplesLostError(RadioLinkError):
    """The receiver overflowed: a capture is not what was on the air."""


class TooLateError(RadioLinkError):
    """A transmission was asked for at a sample that has passed."""
