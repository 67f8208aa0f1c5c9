"""The simulated air as a service of its own: several processes, one air. Simulation only; the control plane never
sees IQ.

A client asks, the server answers, one request at a time per client. What the air computes does not depend on the
order in which requests of one block arrive, so a run over this service is bit-equal to one inside a process.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TypeAlias

import msgspec
import numpy as np

from radio.air.air import Air
from radio.air.channel import Truth
from radio.air.config import AirConfig
from radio.air.medium import Medium
from radio.errors import RadioError
from radio.samples import IQ
from testbed.config.schema import RunConfig
from testbed.control.transport import Client, Codec, Server
from testbed.errors import PeerTimeoutError, TestbedError, TransportError

log = logging.getLogger(__name__)
_REPLY_TIMEOUT_S = 30.0
_POLL_S = 0.2


class AirMessage(msgspec.Struct, frozen=True, kw_only=True, tag=True, forbid_unknown_fields=True):
    """Base of what travels between radios and the air."""


class SetUp(AirMessage, frozen=True):
    """The access point makes the air of one run; later requests name it by ``run_id``."""

    run_id: str
    config: AirConfig
    num_devices: int
    seed: int
    sample_rate_hz: float
    tx_power: float
    center_freq_hz: float


class Transmit(AirMessage, frozen=True):
    """A station starts to send a frame, so many times or (None) until silenced."""

    run_id: str
    station: int
    frame: bytes
    num_repeats: int | None


class Stream(AirMessage, frozen=True):
    """A station sends a frame right behind the one before."""

    run_id: str
    station: int
    frame: bytes


class TransmitAt(AirMessage, frozen=True):
    """A station sends a frame from a sample of its own clock on, or (None) right behind the one before."""

    run_id: str
    station: int
    frame: bytes
    start_sample: int | None


class Silence(AirMessage, frozen=True):
    """A station stops."""

    run_id: str
    station: int


class Capture(AirMessage, frozen=True):
    """A station receives the next samples."""

    run_id: str
    station: int
    num_samples: int


class Elapse(AirMessage, frozen=True):
    """Air time passes."""

    run_id: str
    num_samples: int


class ReadTruth(AirMessage, frozen=True):
    """Ask for the simulated channels of this block (genie CSI)."""

    run_id: str


class BeginBlock(AirMessage, frozen=True):
    """A new fading block."""

    run_id: str
    round: int
    attempt: int


class Done(AirMessage, frozen=True):
    """The request was carried out; ``samples`` is complex64 where there are any."""

    clock_samples: int
    samples: bytes
    start_sample: int = 0
    """Of a TransmitAt: where it starts."""


class ToldTruth(AirMessage, frozen=True):
    """The simulated channels of this block; tap gains are complex128, device by device."""

    tap_gains: bytes
    tap_delays_samples: tuple[float, ...]
    cfo_hz: tuple[float, ...]
    delays_samples: tuple[float, ...]
    sro: tuple[float, ...]
    noise_power: float


class Failed(AirMessage, frozen=True):
    """The request was refused."""

    reason: str


Request: TypeAlias = SetUp | Transmit | Stream | TransmitAt | Silence | Capture | Elapse | BeginBlock | ReadTruth
AirWire: TypeAlias = Request | Done | ToldTruth | Failed


def air_codec() -> Codec[AirWire]:
    """The codec of the air's socket."""
    return Codec(AirWire)


def air_setup(config: RunConfig, run_id: str) -> SetUp:
    """The simulated air of one run."""
    return SetUp(
        run_id=run_id,
        config=config.rig.air,
        num_devices=config.rig.num_devices,
        seed=config.experiment.seed,
        sample_rate_hz=config.rig.radio.sample_rate_hz,
        tx_power=config.rig.radio.max_power,
        center_freq_hz=config.rig.radio.center_freq_hz,
    )


def make_air(setup: SetUp) -> Air:
    """The air that a SetUp asks for."""
    return Air(
        setup.config,
        num_devices=setup.num_devices,
        seed=setup.seed,
        sample_rate_hz=setup.sample_rate_hz,
        tx_power=setup.tx_power,
        center_freq_hz=setup.center_freq_hz,
    )


def serve_air(server: Server[AirWire], should_stop: Callable[[], bool]) -> int:
    """Answer requests until ``should_stop``; returns how many were answered."""
    air: Air | None = None
    run_id = ""
    num_answered = 0
    while not should_stop():
        received = server.receive(_POLL_S)
        if received is None:
            continue
        peer, request = received
        if isinstance(request, Done | ToldTruth | Failed):
            continue
        try:
            if isinstance(request, SetUp):
                air, run_id = make_air(request), request.run_id
                log.info("air for %d devices, run %s", request.num_devices, run_id)
                answer: AirWire = Done(clock_samples=0, samples=b"")
            elif air is None or request.run_id != run_id:
                answer = Failed(reason=f"run {request.run_id!r} has no air here; the access point sets it up first")
            else:
                answer = _carry_out(air, request)
        except (RadioError, ValueError) as err:
            answer = Failed(reason=str(err))
        server.send(peer, answer)
        num_answered += 1
    return num_answered


def _carry_out(air: Air, request: Request) -> Done | ToldTruth:
    samples = b""
    start_sample = 0
    match request:
        case ReadTruth():
            truth = air.truth()
            return ToldTruth(
                tap_gains=truth.tap_gains.tobytes(),
                tap_delays_samples=tuple(map(float, truth.tap_delays_samples)),
                cfo_hz=tuple(map(float, truth.cfo_hz)),
                delays_samples=tuple(map(float, truth.delays_samples)),
                sro=tuple(map(float, truth.sro)),
                noise_power=truth.noise_power,
            )
        case Transmit(station=station, frame=frame, num_repeats=num_repeats):
            air.transmit(station, _iq(frame), num_repeats)
        case Stream(station=station, frame=frame):
            air.stream(station, _iq(frame))
        case TransmitAt(station=station, frame=frame, start_sample=start):
            start_sample = air.transmit_at(station, _iq(frame), start)
        case Silence(station=station):
            air.silence(station)
        case Capture(station=station, num_samples=num_samples):
            samples = air.capture(station, num_samples).tobytes()
        case Elapse(num_samples=num_samples):
            air.elapse(num_samples)
        case BeginBlock(round=round_index, attempt=attempt):
            air.begin_block(round_index, attempt)
    return Done(clock_samples=air.clock_samples, samples=samples, start_sample=start_sample)


def _iq(data: bytes) -> IQ:
    return np.frombuffer(data, dtype=np.complex64)


class RemoteAir(Medium):
    """An air in another process; the same methods as ``radio.air.Air``."""

    def __init__(self, client: Client[AirWire], setup: SetUp) -> None:
        self._client = client
        self._setup = setup
        self._run_id = setup.run_id
        self._clock_samples = 0

    @property
    def access_point(self) -> int:
        """The station that receives."""
        return self._setup.num_devices

    @property
    def sample_rate_hz(self) -> float:
        """The one sample rate of everybody on this air."""
        return self._setup.sample_rate_hz

    @property
    def clock_samples(self) -> int:
        """Sample at which the next capture starts, as of this client's last request."""
        return self._clock_samples

    def set_up(self) -> None:
        """Make the air of this run; the access point does this once."""
        self._ask(self._setup)

    def transmit(self, station: int, frame: IQ, num_repeats: int | None) -> None:
        """Start to send."""
        self._ask(Transmit(run_id=self._run_id, station=station, frame=frame.tobytes(), num_repeats=num_repeats))

    def stream(self, station: int, frame: IQ) -> None:
        """Send right behind the frame before."""
        self._ask(Stream(run_id=self._run_id, station=station, frame=frame.tobytes()))

    def transmit_at(self, station: int, frame: IQ, start_sample: int | None) -> int:
        """Send from a sample of the station's own clock on; returns it."""
        asked = TransmitAt(run_id=self._run_id, station=station, frame=frame.tobytes(), start_sample=start_sample)
        return self._ask(asked).start_sample

    def silence(self, station: int) -> None:
        """Stop sending."""
        self._ask(Silence(run_id=self._run_id, station=station))

    def capture(self, station: int, num_samples: int) -> IQ:
        """The next samples, complex64 [num_samples]."""
        return _iq(self._ask(Capture(run_id=self._run_id, station=station, num_samples=num_samples)).samples)

    def elapse(self, num_samples: int) -> None:
        """Let air time pass."""
        self._ask(Elapse(run_id=self._run_id, num_samples=num_samples))

    def begin_block(self, round_index: int, attempt: int) -> None:
        """Start a new fading block."""
        self._ask(BeginBlock(run_id=self._run_id, round=round_index, attempt=attempt))

    def truth(self) -> Truth:
        """The current block's ground truth."""
        told = self._send(ReadTruth(run_id=self._run_id))
        if not isinstance(told, ToldTruth):
            raise self._surprise(told)
        taps = np.frombuffer(told.tap_gains, dtype=np.complex128).reshape(-1, len(told.tap_delays_samples))
        return Truth(
            gains=taps.sum(axis=1),
            tap_gains=taps,
            tap_delays_samples=np.array(told.tap_delays_samples),
            sro=np.array(told.sro),
            cfo_hz=np.array(told.cfo_hz),
            delays_samples=np.array(told.delays_samples),
            noise_power=told.noise_power,
        )

    def _ask(self, request: Request) -> Done:
        answer = self._send(request)
        if not isinstance(answer, Done):
            raise self._surprise(answer)
        self._clock_samples = answer.clock_samples
        return answer

    def _surprise(self, answer: AirWire) -> TransportError:
        return TransportError(f"air at {self._client.address} answered with {type(answer).__name__}; versions differ?")

    def _send(self, request: Request) -> AirWire:
        self._client.send(request)
        answer = self._client.receive(_REPLY_TIMEOUT_S)
        if answer is None:
            raise PeerTimeoutError(
                f"air at {self._client.address}: no answer in {_REPLY_TIMEOUT_S:g} s; start it with `testbed air`, "
                "or check --air"
            )
        if isinstance(answer, Failed):
            raise TestbedError(f"air at {self._client.address}: {answer.reason}")
        return answer
