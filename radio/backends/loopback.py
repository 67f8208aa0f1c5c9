"""A radio on a shared simulated medium."""

from __future__ import annotations

from contextlib import suppress
from types import TracebackType
from typing import Any, Self

from radio.air.medium import Medium
from radio.backends.backend import Backend, Setup
from radio.config import Capabilities, RadioConfig
from radio.errors import RadioConfigError, RadioLinkError, SignalError
from radio.samples import DMA_MULTIPLE_SAMPLES, IQ, check_frame

ALL_CAPABILITIES = Capabilities(trigger=True, streaming=True, shared_clock=True)


class LoopbackRadio:
    """One station's transmitter and receiver on a `Medium`; implements `Counting` and `Scheduling` of
    `radio.backends.base`.

    Gains and centre frequency of a RadioConfig have no effect here: the medium's path loss includes them.
    """

    def __init__(
        self,
        medium: Medium,
        station: int,
        capabilities: Capabilities = ALL_CAPABILITIES,
        *,
        frame_multiple_samples: int = DMA_MULTIPLE_SAMPLES,
    ) -> None:
        """`frame_multiple_samples` is 4 as on real radios, 1 where single symbols are sent."""
        if not 0 <= station <= medium.access_point:
            raise RadioConfigError(f"station: got {station}; allowed: 0..{medium.access_point} on this medium")
        self._medium = medium
        self._station = station
        self._capabilities = capabilities
        self._frame_multiple_samples = frame_multiple_samples
        self._configured = False
        self._closed = False

    @property
    def capabilities(self) -> Capabilities:
        """What this radio can do."""
        return self._capabilities

    @property
    def clock_samples(self) -> int:
        """Index of the sample at which the next capture starts."""
        return self._medium.clock_samples

    @property
    def epoch(self) -> int:
        """A simulated count never breaks."""
        return 0

    def configure(self, config: RadioConfig) -> None:
        """Check the one setting that a medium shares; raises RadioConfigError."""
        self._check_open()
        if config.sample_rate_hz != self._medium.sample_rate_hz:
            raise RadioConfigError(
                f"station {self._station}: got sample_rate_hz={config.sample_rate_hz:g}; allowed here: "
                f"{self._medium.sample_rate_hz:g}; give the air and all radios one rate"
            )
        self._configured = True

    def transmit(self, frame: IQ, *, num_repeats: int) -> None:
        """Send a frame so many times back to back; replaces what was on the air."""
        self.transmit_after(frame, num_repeats=num_repeats, after_samples=0)

    def transmit_after(self, frame: IQ, *, num_repeats: int, after_samples: int) -> None:
        """The same from a later sample on, as if it were asked for then."""
        if num_repeats < 1:
            raise SignalError(f"num_repeats: got {num_repeats}; allowed: at least 1; use stop() for silence")
        self._check_sendable(frame)
        self._medium.transmit(self._station, frame, num_repeats, after_samples=after_samples)

    def start_cyclic(self, frame: IQ) -> None:
        """Repeat a frame until `stop`; replaces what was on the air."""
        self._check_sendable(frame)
        self._medium.transmit(self._station, frame, None)

    def stream(self, frame: IQ) -> None:
        """Append a frame right behind what is still being sent."""
        self._check_sendable(frame)
        self._medium.stream(self._station, frame)

    def transmit_at(self, frame: IQ, start_sample: int | None) -> int:
        """Send a frame once, exactly from a sample of this station's own clock on; returns the sample."""
        self._check_sendable(frame)
        return self._medium.transmit_at(self._station, frame, start_sample)

    def stop(self) -> None:
        """Fall silent; safe to call twice."""
        self._medium.silence(self._station)

    def capture(self, num_samples: int, *, skip_samples: int = 0) -> IQ:
        """Receive fresh samples, shape [num_samples]; a device hears the access point, and cannot skip any."""
        self._check_ready()
        if skip_samples:
            self.elapse(skip_samples)
        return self._medium.capture(self._station, num_samples)

    def elapse(self, num_samples: int) -> None:
        """Let air time pass without keeping samples; the access point only, it owns the clock."""
        self._check_ready()
        self._check_access_point("elapse")
        self._medium.elapse(num_samples)

    def begin_block(self, round_index: int, attempt: int) -> None:
        """Start a new fading block; the access point only."""
        self._check_ready()
        self._check_access_point("begin_block")
        self._medium.begin_block(round_index, attempt)

    def close(self) -> None:
        """Fall silent; safe to call twice. The medium stays."""
        if not self._closed:
            self._closed = True
            with suppress(RadioLinkError):  # a medium that is gone carries nothing any more
                self.stop()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _check_sendable(self, frame: IQ) -> None:
        self._check_ready()
        check_frame(frame, multiple=self._frame_multiple_samples)

    def _check_ready(self) -> None:
        self._check_open()
        if not self._configured:
            raise RadioConfigError(f"station {self._station}: used before it was configured; call configure() first")

    def _check_open(self) -> None:
        if self._closed:
            raise RadioConfigError(f"station {self._station}: used after close(); open a new radio")

    def _check_access_point(self, call: str) -> None:
        if self._station != self._medium.access_point:
            raise RadioConfigError(
                f"station {self._station}: got {call}(); allowed: the access point only "
                f"(station {self._medium.access_point})"
            )


class Loopback(Backend):
    """Radios that are stations of a simulated air."""

    name = "loopback"
    is_simulated = True

    def open(self, settings: Any, station: int, setup: Setup, medium: Medium | None) -> LoopbackRadio:
        """A station of the medium."""
        assert medium is not None, "a simulated backend comes with its air"
        return LoopbackRadio(medium, station, setup.capabilities)
