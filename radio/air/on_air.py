"""Who is on the air, from when until when, and whom a capture therefore hears; nothing random, no samples computed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from radio.air.propagation import FOREVER_SAMPLES, Path, Transmission
from radio.errors import RadioConfigError

MAX_QUEUED_FRAMES = 1 << 12
"""Of one station."""
_RECORD_SAMPLES = 64


@dataclass(frozen=True, slots=True, eq=False)
class Heard:
    """What a receiver hears of a device in [first, last), times of the receiver."""

    device: int
    queue: Sequence[Transmission]
    first: int
    last: int


class OnAir:
    """What every station is sending, and what devices are yet to begin; station K is the access point."""

    def __init__(self, uplinks: Sequence[Path]) -> None:
        self._uplinks = uplinks
        self._access_point = len(uplinks)
        self._longest_samples = max(path.length_samples for path in uplinks)
        self._queues: dict[int, list[Transmission]] = {}
        self._later: dict[int, Transmission] = {}
        # of each device on the air, when it is heard, so that a capture looks at no others
        self._first, self._last = np.zeros((2, len(uplinks)), dtype=np.int64)
        self._begins = np.full(len(uplinks), FOREVER_SAMPLES, dtype=np.int64)

    @property
    def num_held_samples(self) -> int:
        """What is kept of frames, the few bytes of each one's record counted as samples too."""
        held = [*(each for queue in self._queues.values() for each in queue), *self._later.values()]
        return sum(each.samples.size + _RECORD_SAMPLES for each in held)

    def queue_of(self, station: int) -> Sequence[Transmission]:
        """What a station is sending, one behind the other."""
        return self._queues.get(station, ())

    def replace(self, station: int, sent: Transmission) -> None:
        """A station sends this, and nothing else."""
        self._forget_later(station)
        self._put(station, [sent])

    def replace_later(self, device: int, sent: Transmission, begin: int) -> None:
        """From a time of the receiver on, a device sends this and nothing else."""
        self._later[device], self._begins[device] = sent, begin

    def check_open_ended(self, station: int) -> None:
        """Raise RadioConfigError unless another frame can follow on what the station sends."""
        queue = self.queue_of(station)
        if station in self._later or (queue and queue[-1].stop == FOREVER_SAMPLES):
            raise RadioConfigError(
                f"station {station}: got a stream behind a cyclic transmission, or one that is yet to begin; stop that "
                "first"
            )
        if len(queue) >= MAX_QUEUED_FRAMES:
            raise RadioConfigError(
                f"station {station}: got a frame behind {len(queue)} others; allowed: {MAX_QUEUED_FRAMES}; capture"
            )

    def append(self, station: int, sent: Transmission, audible_from: int) -> None:
        """A station sends this too; what ended before a sample of its own count is forgotten."""
        self._put(station, [*(each for each in self.queue_of(station) if each.stop >= audible_from), sent])

    def silence(self, station: int) -> None:
        """A station sends nothing any more."""
        self._queues.pop(station, None)
        self._forget_later(station)

    def pass_until(self, clock: int) -> None:
        """Time passes: what is to begin begins, and what can no longer be heard is forgotten."""
        for device in np.flatnonzero(self._begins <= clock).tolist():
            self.replace(device, self._later[device])
        for device in np.flatnonzero(self._last < clock).tolist():
            self._queues.pop(device, None)
            self._last[device] = FOREVER_SAMPLES
        own = self.queue_of(self._access_point)
        if own and own[-1].stop < clock - self._longest_samples:
            del self._queues[self._access_point]

    def heard(self, start: int, stop: int, only: int | None = None) -> list[Heard]:
        """Whom the access point hears in [start, stop), in device order: all, or one device alone."""
        now = [
            Heard(device, self._queues[device], start, min(stop, int(self._begins[device])))
            for device in np.flatnonzero((self._first < stop) & (self._last >= start)).tolist()
            if device in self._queues
        ]
        later = [
            Heard(device, (self._later[device],), int(self._begins[device]), stop)
            for device in np.flatnonzero(self._begins < stop).tolist()
        ]
        return sorted(
            (each for each in now + later if only is None or each.device == only), key=lambda each: each.device
        )

    def _forget_later(self, station: int) -> None:
        if self._later.pop(station, None) is not None:
            self._begins[station] = FOREVER_SAMPLES

    def _put(self, station: int, queue: list[Transmission]) -> None:
        self._queues[station] = queue
        if station < self._access_point:
            path = self._uplinks[station]
            self._first[station] = path.heard_from(queue[0].start)
            self._last[station] = path.heard_until(queue[-1].stop)
