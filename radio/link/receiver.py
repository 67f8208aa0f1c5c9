"""The access point's receiver: a radio, and what is remembered from block to block of noise, carriers and links."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from radio.air.channel import Truth
from radio.backends.base import Radio
from radio.errors import SignalError
from radio.link.memory import ReceiverMemory, unpacked
from radio.link.meters import InBandMeter, NoiseMeter, ValueMeter
from radio.link.setup import LinkSetup
from radio.link.starts import CountedStarts
from radio.records import Csi
from radio.samples import IQ, check_capture
from radio.schemes.alignment_rule import AlignmentRule
from radio.waveform.estimates import CfoTracker
from radio.waveform.modulation import real_noise_variance

_CARRIER = np.dtype([("cfo_hz", "<f8"), ("variance_hz2", "<f8")])
UNIT_CSI = Csi(gain=1.0 + 0.0j)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Receiver:
    """What outlives a fading block; the meters and trackers change, nothing else does."""

    radio: Radio
    setup: LinkSetup
    num_devices: int
    rule: AlignmentRule
    genie: Callable[[], Truth] | None
    """Replaces sounding by the air's own truth (symbol level only)."""
    starts: CountedStarts
    trackers: tuple[CfoTracker, ...]
    """Of every device's carrier."""
    noise: NoiseMeter = field(default_factory=NoiseMeter)
    in_band: InBandMeter = field(default_factory=InBandMeter)
    """What of the noise falls on the payload's own bins; only privacy is charged by it."""
    link_power: NoiseMeter = field(default_factory=NoiseMeter)
    """|h|² over devices and rounds."""
    values: ValueMeter = field(default_factory=ValueMeter)

    def capture(self, num_samples: int, *, skip_samples: int = 0) -> IQ:
        """The next samples. Raises SignalError for what no radio may give."""
        capture = self.radio.capture(num_samples, skip_samples=skip_samples)
        check_capture(capture, num_samples)
        return capture

    @property
    def needs_sounding(self) -> bool:
        """Whether devices must send pilots before the payload."""
        return self.setup.scheme.needs_sounding and self.genie is None

    @property
    def counts_noise(self) -> bool:
        """Whether anything may be hidden by what was heard in the payload's band."""
        scheme = self.setup.scheme
        return self.genie is None and scheme.exposes == "sum" and scheme.waveform == "symbols"

    @property
    def noise_power(self) -> float:
        """N0, total per complex sample: the mean over the noise heard so far (the truth with a genie).

        Raises SignalError before the first capture.
        """
        if self.genie is not None:
            return self.genie().noise_power
        if self.noise.num_captures == 0:
            raise SignalError("noise_power: nothing was captured yet; sound a device, or call measure_noise() first")
        return self.noise.power

    @property
    def noise_variance(self) -> float:
        """N0' = Var(Re z) of a symbol after the matched filter: N0/(2N)."""
        return real_noise_variance(self.noise_power, self.setup.frame)

    def least_noise_variance(self, floor_power: float, failure: float) -> float:
        """N0' that hides a payload: what was heard on its own bins at least, and never more than of a floor N0."""
        heard = self.genie().noise_power if self.genie is not None else self.in_band.least(failure)
        return real_noise_variance(min(heard, floor_power), self.setup.frame)

    def value_power(self, clip: float) -> float:
        """E p_k² as far as known."""
        return 1.0 if self.setup.scheme.votes else self.values.prior(clip)

    def unsounded_csi(self) -> dict[int, Csi]:
        """What every device is told without a sounding: the genie's gains, else ones."""
        if self.genie is None:
            return dict.fromkeys(range(self.num_devices), UNIT_CSI)
        gains = self.genie().gains
        powers = np.abs(gains) ** 2
        return {
            device: Csi(gain=complex(gain), resource_powers=(float(power), float(power)))
            for device, (gain, power) in enumerate(zip(gains, powers, strict=True))
        }

    def memory(self) -> ReceiverMemory:
        """All that it remembers, between two blocks."""
        return ReceiverMemory(
            clock_samples=self.radio.clock_samples,
            noise=self.noise.memory(),
            in_band=self.in_band.memory(),
            link_power=self.link_power.memory(),
            values=self.values.memory(),
            starts=self.starts.memory(),
            carriers=self._packed_carriers(),
        )

    def recall(self, memory: ReceiverMemory) -> None:
        """Be as it was. Starts are recalled only by a radio whose count goes on from there. Raises SignalError."""
        packed = unpacked(memory.carriers or b"", _CARRIER.itemsize, "carriers")
        carriers = np.frombuffer(packed, dtype=_CARRIER)
        if memory.carriers is not None and carriers.size != self.num_devices:
            raise SignalError(
                f"carriers: got a memory of {carriers.size} devices; allowed: {self.num_devices}; restore what this "
                "run has written"
            )
        self.noise.recall(memory.noise)
        self.in_band.recall(memory.in_band)
        self.link_power.recall(memory.link_power)
        self.values.recall(memory.values)
        for tracker, (cfo_hz, variance_hz2) in zip(self.trackers, carriers, strict=False):
            tracker.cfo_hz, tracker.variance_hz2 = float(cfo_hz), float(variance_hz2)
        if self.radio.clock_samples == memory.clock_samples:
            self.starts.recall(memory.starts)

    def _packed_carriers(self) -> bytes | None:
        if not any(tracker.variance_hz2 or tracker.drift_hz or tracker.cfo_hz for tracker in self.trackers):
            return None  # known exactly, and for ever: the symbol level
        known = [(tracker.cfo_hz, tracker.variance_hz2) for tracker in self.trackers]
        return np.array(known, dtype=_CARRIER).tobytes()
