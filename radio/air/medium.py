"""What a loopback radio needs of a simulated air."""

from __future__ import annotations

from typing import Protocol

from radio.air.channel import Truth
from radio.samples import IQ


class Medium(Protocol):
    """What a loopback radio needs of an air, whether in this process or behind a socket."""

    @property
    def access_point(self) -> int:
        """The station that owns the clock; devices are the stations below it."""
        ...

    @property
    def sample_rate_hz(self) -> float:
        """The one sample rate of everybody on this air."""
        ...

    @property
    def clock_samples(self) -> int:
        """Index of the sample at which the next capture starts."""
        ...

    def transmit(self, station: int, frame: IQ, num_repeats: int | None, *, after_samples: int = 0) -> None:
        """Send so many times, or cyclically (None), from now on or so much later; replaces what the station is sending
        then."""
        ...

    def stream(self, station: int, frame: IQ) -> None:
        """Append right behind what the station is still sending; starts now when it is silent."""
        ...

    def transmit_at(self, station: int, frame: IQ, start_sample: int | None) -> int:
        """Send once from a sample of the station's own count on (None: now, or behind what it sends); returns it."""
        ...

    def silence(self, station: int) -> None:
        """Take the station off the air."""
        ...

    def flush(self) -> None:
        """Have carried out what an air elsewhere was asked without waiting for an answer; raises what it refuses."""
        ...

    def capture(self, station: int, num_samples: int) -> IQ:
        """What the station receives next, shape [num_samples]."""
        ...

    def elapse(self, num_samples: int) -> None:
        """Let time pass unheard."""
        ...

    def begin_block(self, round_index: int, attempt: int) -> None:
        """Draw a new fading block; silences everyone."""
        ...

    def truth(self) -> Truth:
        """The current block's channels, as only a simulated air can tell them."""
        ...
