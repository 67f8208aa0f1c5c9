"""The seam between everything above and any radio: what each radio does, and what only some do."""

from __future__ import annotations

from types import TracebackType
from typing import Protocol, Self, runtime_checkable

from radio.config import Capabilities, RadioConfig
from radio.errors import RadioConfigError
from radio.samples import IQ


@runtime_checkable
class Radio(Protocol):
    """One half-duplex baseband radio; full scale is |x| = 1. A context manager: it falls silent on exit."""

    @property
    def capabilities(self) -> Capabilities:
        """What this radio can do."""
        ...

    @property
    def clock_samples(self) -> int:
        """Receive-clock index of the sample at which the next capture starts."""
        ...

    def configure(self, config: RadioConfig) -> None:
        """Tune; raises RadioConfigError when the radio does not follow."""
        ...

    def transmit(self, frame: IQ, *, num_repeats: int) -> None:
        """Send a frame so many times back to back, then fall silent; replaces what was on the air."""
        ...

    def start_cyclic(self, frame: IQ) -> None:
        """Repeat a frame until `stop`; replaces what was on the air."""
        ...

    def stop(self) -> None:
        """Fall silent; safe to call twice. A stream first ends what was already handed over, and keeps its count."""
        ...

    def capture(self, num_samples: int, *, skip_samples: int = 0) -> IQ:
        """Receive fresh samples, shape [num_samples], right behind `skip_samples` that are forgotten."""
        ...

    def elapse(self, num_samples: int) -> None:
        """Let air time pass without keeping samples."""
        ...

    def begin_block(self, round_index: int, attempt: int) -> None:
        """Tell a simulated medium that a new fading block starts; a real radio forgets what it has received."""
        ...

    def close(self) -> None:
        """Fall silent and let go of the hardware; safe to call twice."""
        ...

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


@runtime_checkable
class Counting(Radio, Protocol):
    """A radio whose transmitter keeps a gapless sample count; used where its capabilities promise `streaming`."""

    @property
    def epoch(self) -> int:
        """How often the receive clock's count was broken; indices of two epochs cannot be compared."""
        ...

    def stream(self, frame: IQ) -> None:
        """Append a frame right behind what is still being sent; starts now when nothing is."""
        ...

    def transmit_at(self, frame: IQ, start_sample: int | None) -> int:
        """Send a frame once from a sample of the radio's own transmit count on; returns that sample.

        None is as soon as can be. Raises TooLateError for a sample that has passed, or that belongs to a count that was
        broken since.
        """
        ...


@runtime_checkable
class MovableCarrier(Radio, Protocol):
    """A radio whose transmitter's carrier can be moved."""

    def shift_carrier(self, shift_hz: float) -> None:
        """Move the transmitter's carrier by so much more."""
        ...


@runtime_checkable
class Scheduling(Radio, Protocol):
    """A radio on air whose time waits for its receivers, so that transmissions can be asked for ahead of time."""

    def transmit_after(self, frame: IQ, *, num_repeats: int, after_samples: int) -> None:
        """`transmit`, from a later sample of the air on."""
        ...


def counting(radio: Radio) -> Counting:
    """The radio as one that counts samples. Raises RadioConfigError where it does not."""
    if not isinstance(radio, Counting):
        raise RadioConfigError(
            f"{type(radio).__name__}: got a start at a counted sample; allowed with radios that count samples "
            "(transmit_at); set clock.streaming = false"
        )
    return radio


def movable_carrier(radio: Radio) -> MovableCarrier:
    """The radio as one whose carrier moves. Raises RadioConfigError where it does not."""
    if not isinstance(radio, MovableCarrier):
        raise RadioConfigError(
            f"{type(radio).__name__}: got a carrier shift; allowed with radios whose carrier moves (shift_carrier); a "
            "simulated air's offsets are what is left after correction: lower air.cfo_max_hz"
        )
    return radio
