"""Everything that an air can be asked, as records: what travels to an air in another process, and back.

Whoever sends a call is not trusted: what a radio would never ask is refused with a RadioError, and the air goes on.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TypeAlias

import msgspec
import numpy as np

from radio.air.channel import Truth
from radio.air.medium import Medium
from radio.errors import RadioConfigError
from radio.samples import IQ, check_frame

MAX_CAPTURE_SAMPLES = 8_000_000  # 61 MiB, within one message
MAX_FRAME_SAMPLES = 1 << 22
MAX_TIME_SAMPLES = 1 << 60
MAX_REPEATS = 1 << 32
MAX_ROUNDS = 1 << 40
BYTES_PER_SAMPLE = 8


class TruthParts(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`Truth` as plain values; tap gains are complex128, device by device."""

    tap_gains: bytes
    tap_delays_samples: tuple[float, ...]
    cfo_hz: tuple[float, ...]
    delays_samples: tuple[float, ...]
    sro: tuple[float, ...]
    noise_power: float

    @classmethod
    def of(cls, truth: Truth) -> TruthParts:
        """Take apart."""
        return cls(
            tap_gains=truth.tap_gains.tobytes(),
            tap_delays_samples=tuple(map(float, truth.tap_delays_samples)),
            cfo_hz=tuple(map(float, truth.cfo_hz)),
            delays_samples=tuple(map(float, truth.delays_samples)),
            sro=tuple(map(float, truth.sro)),
            noise_power=truth.noise_power,
        )

    def whole(self) -> Truth:
        """Put together."""
        taps = np.frombuffer(self.tap_gains, dtype=np.complex128).reshape(-1, len(self.tap_delays_samples))
        return Truth(
            gains=taps.sum(axis=1),
            tap_gains=taps,
            tap_delays_samples=np.array(self.tap_delays_samples),
            sro=np.array(self.sro),
            cfo_hz=np.array(self.cfo_hz),
            delays_samples=np.array(self.delays_samples),
            noise_power=self.noise_power,
        )


class Answer(msgspec.Struct, frozen=True, kw_only=True, tag=True, forbid_unknown_fields=True):
    """A call was carried out."""

    clock_samples: int
    """The air's clock afterwards."""
    samples: bytes = b""
    """Of a capture: complex64."""
    start_sample: int = 0
    """Of a TransmitAtCall: where it starts."""
    truth: TruthParts | None = None
    """Of a TruthCall."""


class Call(msgspec.Struct, frozen=True, kw_only=True, tag=True, forbid_unknown_fields=True):
    """Base of all calls."""

    def on(self, air: Medium) -> Answer:
        """Carry it out. Raises RadioError for what the air refuses."""
        raise NotImplementedError


class StationCall(Call, frozen=True):
    """Base of what one station does."""

    station: int


class TransmitCall(StationCall, frozen=True):
    """A station starts to send a frame, so many times or (None) until silenced; now, or so much later."""

    frame: bytes
    num_repeats: int | None
    after_samples: int = 0

    def on(self, air: Medium) -> Answer:
        """Carry it out."""
        if self.num_repeats is not None:
            _check_range("num_repeats", self.num_repeats, 1, MAX_REPEATS)
        _check_range("after_samples", self.after_samples, 0, MAX_TIME_SAMPLES - air.clock_samples)
        air.transmit(self.station, _frame(self.frame), self.num_repeats, after_samples=self.after_samples)
        return Answer(clock_samples=air.clock_samples)


class StreamCall(StationCall, frozen=True):
    """A station sends a frame right behind the one before."""

    frame: bytes

    def on(self, air: Medium) -> Answer:
        """Carry it out."""
        air.stream(self.station, _frame(self.frame))
        return Answer(clock_samples=air.clock_samples)


class TransmitAtCall(StationCall, frozen=True):
    """A station sends a frame from a sample of its own clock on, or (None) right behind the one before."""

    frame: bytes
    start_sample: int | None

    def on(self, air: Medium) -> Answer:
        """Carry it out."""
        if self.start_sample is not None:
            _check_range("start_sample", self.start_sample, -MAX_TIME_SAMPLES, MAX_TIME_SAMPLES)
        start = air.transmit_at(self.station, _frame(self.frame), self.start_sample)
        return Answer(clock_samples=air.clock_samples, start_sample=start)


class SilenceCall(StationCall, frozen=True):
    """A station stops."""

    def on(self, air: Medium) -> Answer:
        """Carry it out."""
        air.silence(self.station)
        return Answer(clock_samples=air.clock_samples)


class CaptureCall(StationCall, frozen=True):
    """A station receives the next samples."""

    num_samples: int

    def on(self, air: Medium) -> Answer:
        """Carry it out."""
        _check_range("num_samples", self.num_samples, 1, MAX_CAPTURE_SAMPLES)
        samples = air.capture(self.station, self.num_samples).tobytes()
        return Answer(clock_samples=air.clock_samples, samples=samples)


class ElapseCall(Call, frozen=True):
    """Air time passes."""

    num_samples: int

    def on(self, air: Medium) -> Answer:
        """Carry it out."""
        _check_range("num_samples", self.num_samples, 0, MAX_TIME_SAMPLES - air.clock_samples)
        air.elapse(self.num_samples)
        return Answer(clock_samples=air.clock_samples)


class BeginBlockCall(Call, frozen=True):
    """A new fading block."""

    round_index: int
    attempt: int

    def on(self, air: Medium) -> Answer:
        """Carry it out."""
        _check_range("round_index", self.round_index, 0, MAX_ROUNDS)
        _check_range("attempt", self.attempt, 0, MAX_ROUNDS)
        air.begin_block(self.round_index, self.attempt)
        return Answer(clock_samples=air.clock_samples)


class TruthCall(Call, frozen=True):
    """Ask for the simulated channels of this block (genie CSI)."""

    def on(self, air: Medium) -> Answer:
        """Carry it out."""
        return Answer(clock_samples=air.clock_samples, truth=TruthParts.of(air.truth()))


AnyCall: TypeAlias = (
    TransmitCall | StreamCall | TransmitAtCall | SilenceCall | CaptureCall | ElapseCall | BeginBlockCall | TruthCall
)


MAX_QUEUED_BYTES = 16 * 2**20


class CalledAir(Medium, ABC):
    """An air elsewhere, that is reached by calls; how is up to `_ask`.

    What devices send needs no answer: it waits, and travels with the next call that does, or at `flush`.
    """

    def __init__(self, *, access_point: int, sample_rate_hz: float) -> None:
        self._access_point = access_point
        self._sample_rate_hz = sample_rate_hz
        self._clock_samples = 0
        self._queue: list[AnyCall] = []
        self._queued_bytes = 0

    @abstractmethod
    def _ask(self, calls: tuple[AnyCall, ...]) -> Answer:
        """Have calls carried out in this order; returns the last one's answer. Raises RadioError as the air does, for
        whichever was refused first; those behind it are carried out all the same."""

    @property
    def access_point(self) -> int:
        """The station that receives."""
        return self._access_point

    @property
    def sample_rate_hz(self) -> float:
        """The one sample rate of everybody on this air."""
        return self._sample_rate_hz

    @property
    def clock_samples(self) -> int:
        """Sample at which the next capture starts, as of the last call."""
        return self._clock_samples

    def transmit(self, station: int, frame: IQ, num_repeats: int | None, *, after_samples: int = 0) -> None:
        """Start to send."""
        sent = frame.tobytes()
        self._let(
            TransmitCall(station=station, frame=sent, num_repeats=num_repeats, after_samples=after_samples), len(sent)
        )

    def stream(self, station: int, frame: IQ) -> None:
        """Send right behind the frame before."""
        sent = frame.tobytes()
        self._let(StreamCall(station=station, frame=sent), len(sent))

    def transmit_at(self, station: int, frame: IQ, start_sample: int | None) -> int:
        """Send from a sample of the station's own clock on; returns it."""
        sent = frame.tobytes()
        call = TransmitAtCall(station=station, frame=sent, start_sample=start_sample)
        if start_sample is None:
            return self._do(call).start_sample
        self._let(call, len(sent))
        return start_sample

    def silence(self, station: int) -> None:
        """Stop sending."""
        self._let(SilenceCall(station=station), 0)

    def flush(self) -> None:
        """Have carried out what waits; raises what the air refuses of it."""
        if self._queue:
            self._clock_samples = self._ask(self._taken()).clock_samples

    def capture(self, station: int, num_samples: int) -> IQ:
        """The next samples, complex64 [num_samples]."""
        samples = self._do(CaptureCall(station=station, num_samples=num_samples)).samples
        return np.frombuffer(samples, dtype=np.complex64)

    def elapse(self, num_samples: int) -> None:
        """Let air time pass."""
        self._do(ElapseCall(num_samples=num_samples))

    def begin_block(self, round_index: int, attempt: int) -> None:
        """Start a new fading block."""
        self._do(BeginBlockCall(round_index=round_index, attempt=attempt))

    def truth(self) -> Truth:
        """The current block's ground truth."""
        parts = self._do(TruthCall()).truth
        assert parts is not None, "an air that carries the call out tells it"
        return parts.whole()

    def _do(self, call: AnyCall) -> Answer:
        answer = self._ask((*self._taken(), call))
        self._clock_samples = answer.clock_samples
        return answer

    def _let(self, call: AnyCall, num_bytes: int) -> None:
        """Have a call of a device carried out with the next one. What the access point sends is on the air at once: it
        tells nobody when it begins."""
        if isinstance(call, StationCall) and call.station == self._access_point:
            self._do(call)
            return
        if self._queue and self._queued_bytes + num_bytes > MAX_QUEUED_BYTES:
            self.flush()
        self._queue.append(call)
        self._queued_bytes += num_bytes

    def _taken(self) -> tuple[AnyCall, ...]:
        """What waits. It is asked for once: what was refused, or never answered, must not come into a later round."""
        taken, self._queue, self._queued_bytes = tuple(self._queue), [], 0
        return taken


def _frame(data: bytes) -> IQ:
    if len(data) % BYTES_PER_SAMPLE:
        raise RadioConfigError(f"frame: got {len(data)} bytes; allowed: a multiple of {BYTES_PER_SAMPLE}, of complex64")
    if len(data) > MAX_FRAME_SAMPLES * BYTES_PER_SAMPLE:
        raise RadioConfigError(
            f"frame: got {len(data) // BYTES_PER_SAMPLE} samples; allowed: at most {MAX_FRAME_SAMPLES}; send parts"
        )
    frame: IQ = np.frombuffer(data, dtype=np.complex64)
    check_frame(frame, multiple=1)
    return frame


def _check_range(name: str, value: int, lowest: int, highest: int) -> None:
    if not lowest <= value <= highest:
        raise RadioConfigError(f"{name}: got {value}; allowed: {lowest} to {highest}")
