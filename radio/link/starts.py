"""Starting together by counting samples (docs/protocol.md, counted starts): the access point's side of it."""

from __future__ import annotations

import numpy as np

from radio.backends.base import Radio, counting
from radio.config import FrameConfig, RadioConfig
from radio.errors import TooLateError
from radio.link.memory import unpacked
from radio.samples import IQ
from radio.waveform.base import SymbolFormat
from radio.waveform.pilots import find_frame

_DISTANCE = np.dtype([("device", "<i8"), ("samples", "<i8")])


class StartClock:
    """Where the samples of each device's transmit count arrive on the receive count; pure.

    A distance holds as long as both counts do; after a break the device sends an alignment frame again.
    """

    def __init__(self, lead_samples: int) -> None:
        """`lead_samples`: how far ahead of time devices are told when to start."""
        self._lead_samples = lead_samples
        self._distances: dict[int, int] = {}
        self._epoch = 0

    def learn(self, device: int, *, sent: int, arrived: int, epoch: int) -> None:
        """A frame that began at the device's sample `sent` began at sample `arrived` of the receive count."""
        self._keep_within(epoch)
        self._distances[device] = arrived - sent

    def forget(self) -> None:
        """Some count was broken, nobody knows which."""
        self._distances.clear()

    def unaligned(self, num_devices: int, epoch: int) -> list[int]:
        """Devices whose distance is not known in this epoch of the receive count."""
        self._keep_within(epoch)
        return [device for device in range(num_devices) if device not in self._distances]

    def next_arrival(self, clock_samples: int) -> int:
        """The soonest sample of the receive count at which a frame that is asked for now may be expected."""
        return clock_samples + self._lead_samples

    def start_of(self, device: int, arrival: int) -> int:
        """The sample of the device's own count at which to start, to arrive then."""
        return arrival - self._distances[device]

    def memory(self, epoch: int) -> bytes:
        """The distances known in this epoch, packed."""
        self._keep_within(epoch)
        return np.array(list(self._distances.items()), dtype=_DISTANCE).tobytes()

    def recall(self, memory: bytes, epoch: int) -> None:
        """Know these distances, and no others. Raises SignalError."""
        self._epoch = epoch
        known = np.frombuffer(unpacked(memory, _DISTANCE.itemsize, "starts"), dtype=_DISTANCE)
        self._distances = {int(device): int(samples) for device, samples in known}

    def _keep_within(self, epoch: int) -> None:
        if epoch != self._epoch:
            self._distances.clear()
            self._epoch = epoch


class CountedStarts:
    """Which devices are to be heard once, and when the others must start; where nobody counts, nobody and never."""

    def __init__(
        self, radio: Radio, radio_config: RadioConfig, rig_frame: FrameConfig, num_devices: int, *, used: bool
    ) -> None:
        """`rig_frame`: its start uncertainty is how late a first start is looked for, and the lead."""
        self._radio = radio
        self._radio_config = radio_config
        self._frame = rig_frame
        self._num_devices = num_devices
        self._clock = StartClock(rig_frame.start_uncertainty_samples) if used else None

    def unaligned(self) -> list[int]:
        """Devices of which the access point must hear an alignment frame, before it can tell them when to start."""
        return self._clock.unaligned(self._num_devices, counting(self._radio).epoch) if self._clock else []

    def forget(self) -> None:
        """Some device did not start when it was told to, or did not sound like it."""
        if self._clock:
            self._clock.forget()

    def memory(self) -> bytes | None:
        """The distances that are known; None where nobody counts."""
        return self._clock.memory(counting(self._radio).epoch) if self._clock else None

    def recall(self, memory: bytes | None) -> None:
        """Know these distances; only while every count goes on where it was. Raises SignalError."""
        if self._clock and memory is not None:
            self._clock.recall(memory, counting(self._radio).epoch)

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

    def next_arrival(self, after_samples: int = 0) -> int | None:
        """The sample of the receive count at which what is asked for now, or then, is to arrive; None uncounted."""
        return None if self._clock is None else self._clock.next_arrival(self._radio.clock_samples + after_samples)

    def start_of(self, device: int, arrival: int | None) -> int | None:
        """When, on its own count, a device must start to arrive then; None without counts."""
        return None if self._clock is None or arrival is None else self._clock.start_of(device, arrival)

    def wait_samples(self, arrival: int | None) -> int:
        """How long it is until then; 0 where nobody counts. Raises TooLateError."""
        wait = 0 if arrival is None else arrival - self._radio.clock_samples
        if wait < 0:
            raise TooLateError(
                f"access point: got a capture {-wait} samples after what it is to hear; allowed: before; raise "
                "frame.start_uncertainty_samples"
            )
        return wait
