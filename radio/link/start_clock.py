"""Starting together by counting: where the samples of each device's transmit count arrive on the receive count.

Pure. A distance holds as long as both counts do; after a break the device sends an alignment frame again.
"""

from __future__ import annotations


class StartClock:
    """The access point's memory of every device's distance."""

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

    def _keep_within(self, epoch: int) -> None:
        if epoch != self._epoch:
            self._distances.clear()
            self._epoch = epoch
