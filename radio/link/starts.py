"""The access point's side of starting together by counting samples (docs/protocol.md, counted starts)."""

from __future__ import annotations

from collections.abc import Iterable

from radio.backends.base import Radio, counting
from radio.config import FrameConfig, RadioConfig
from radio.errors import TooLateError
from radio.link.start_clock import StartClock
from radio.samples import IQ
from radio.waveform.format import SymbolFormat
from radio.waveform.pilots import find_frame


class CountedStarts:
    """Which devices are to be heard once, and when the others must start; where nobody counts, nobody and never."""

    def __init__(
        self, radio: Radio, radio_config: RadioConfig, frame: FrameConfig, num_devices: int, *, used: bool
    ) -> None:
        """`frame` is the rig's own: its start uncertainty is how late a first start is looked for, and the lead."""
        self._radio = radio
        self._radio_config = radio_config
        self._frame = frame
        self._num_devices = num_devices
        self._clock = StartClock(frame.start_uncertainty_samples) if used else None
        self._arrival: int | None = None

    def unaligned(self) -> list[int]:
        """Devices of which the access point must hear an alignment frame, before it can tell them when to start."""
        return self._clock.unaligned(self._num_devices, counting(self._radio).epoch) if self._clock else []

    def forget(self) -> None:
        """Some device did not start when it was told to, or did not sound like it."""
        if self._clock:
            self._clock.forget()

    @property
    def num_alignment_samples(self) -> int:
        """What to capture to hear a sounding, however late it starts."""
        return self._frame.num_capture_samples(self._frame.pilot_spacing_symbols + 1)

    def learn(self, device: int, start_sample: int, capture: IQ, first_sample: int) -> bool:
        """Take in a capture, from `first_sample` on, of a sounding that `device` started at a sample of its own count.

        False when it was not heard.
        """
        assert self._clock is not None, "only asked for devices that are unaligned"
        _, found = find_frame(
            capture,
            self._frame.pilot_spacing_symbols + 1,
            self._frame,
            amplitude=SymbolFormat.of(self._frame, self._radio_config).max_amplitude,
            sample_rate_hz=self._radio_config.sample_rate_hz,
        )
        if found is not None:
            arrived = first_sample + found.start_samples - self._frame.guard_samples
            self._clock.learn(device, sent=start_sample, arrived=arrived, epoch=counting(self._radio).epoch)
        return found is not None

    def choose(self, devices: Iterable[int]) -> dict[int, int]:
        """When, on its own count, each device must start to arrive at the coming capture; empty without counts."""
        if self._clock is None:
            return {}
        if self._arrival is None:
            self._arrival = self._clock.next_arrival(self._radio.clock_samples)
        return {device: self._clock.start_of(device, self._arrival) for device in devices}

    def renew(self) -> int | None:
        """Choose the arrival of the coming capture anew, as late as that is from now; None without counts."""
        self._arrival = None if self._clock is None else self._clock.next_arrival(self._radio.clock_samples)
        return self._arrival

    def reset(self) -> None:
        """Nothing is expected any more."""
        self._arrival = None

    def samples_to_arrival(self) -> int:
        """How long it takes until what devices were told to start arrives; 0 where nobody counts."""
        arrival, self._arrival = self._arrival, None
        wait = 0 if arrival is None else arrival - self._radio.clock_samples
        if wait < 0:
            raise TooLateError(
                f"access point: got a capture {-wait} samples after what it is to hear; allowed: before; raise "
                "frame.start_uncertainty_samples"
            )
        return wait
