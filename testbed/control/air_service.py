"""The simulated air as a service of its own: several processes, one air. Simulation only; the control plane never
sees IQ.

A client asks, the server answers, one request at a time per client. What the air computes does not depend on the
order in which requests of one block arrive, so a run over this service is bit-equal to one inside a process.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Annotated, TypeAlias

import msgspec

from radio.air.air import Air
from radio.air.calls import Answer, AnyCall, CalledAir
from radio.air.config import AirConfig
from radio.config import RadioConfig
from radio.errors import RadioConfigError, RadioError, SignalError, TooLateError
from testbed.config.schema import RunConfig
from testbed.control.transport import Client, Codec, Server
from testbed.errors import CrashError, PeerTimeoutError, TestbedError, TransportError
from testbed.failures import in_one_line, traceback_of

log = logging.getLogger(__name__)
MAX_AIR_BYTES = 64 * 2**20
"""Of one message: samples travel in it."""
_REPLY_TIMEOUT_S = 30.0
_POLL_S = 0.2
_REFUSALS: dict[str, type[RadioError]] = {kind.__name__: kind for kind in (RadioConfigError, SignalError, TooLateError)}


class AirMessage(msgspec.Struct, frozen=True, kw_only=True, tag=True, forbid_unknown_fields=True):
    """Base of what travels between radios and the air, around the calls and answers of `radio.air.calls`."""


class SetUp(AirMessage, frozen=True):
    """The access point makes the air of one run; later requests name it by ``run_id``."""

    run_id: str
    config: AirConfig
    num_devices: Annotated[int, msgspec.Meta(ge=1, le=10_000)]
    seed: Annotated[int, msgspec.Meta(ge=0, le=2**62)]
    radio: RadioConfig
    clock_samples: Annotated[int, msgspec.Meta(ge=0)] = 0
    """Where the air's time goes on, of a run that was cut off."""
    stations: dict[str, tuple[int, ...]] = {}
    """Public keys of hosts on other machines, and the devices that each may serve."""


class Ask(AirMessage, frozen=True):
    """A call on the air of one run."""

    run_id: str
    call: AnyCall


class Failed(AirMessage, frozen=True):
    """The request was refused."""

    kind: str
    """The name of the error, so that it can be raised where it was asked."""
    reason: str
    trace: str = ""
    """Of an exception that nobody expected, its traceback; the air ends with it."""


AirWire: TypeAlias = SetUp | Ask | Answer | Failed


def air_codec() -> Codec[AirWire]:
    """The codec of the air's socket."""
    return Codec(AirWire)


def air_setup(config: RunConfig, run_id: str, *, clock_samples: int = 0) -> SetUp:
    """The simulated air of one run, from a sample of its time on."""
    return SetUp(
        run_id=run_id,
        config=config.rig.air,
        num_devices=config.rig.num_devices,
        seed=config.experiment.seed,
        radio=config.rig.radio,
        clock_samples=clock_samples,
        stations={host.key: host.devices for host in config.rig.hosts.values()},
    )


def make_air(setup: SetUp) -> Air:
    """The air that a SetUp asks for."""
    return Air(
        setup.config,
        num_devices=setup.num_devices,
        seed=setup.seed,
        sample_rate_hz=setup.radio.sample_rate_hz,
        tx_power=setup.radio.max_power,
        center_freq_hz=setup.radio.center_freq_hz,
        clock_samples=setup.clock_samples,
    )


def serve_air(
    server: Server[AirWire], should_stop: Callable[[], bool], *, local_key: str = "", known: set[str] | None = None
) -> int:
    """Answer requests until ``should_stop``; returns how many were answered. A bad request is answered too.

    Keys of a run's hosts are added to those ``known``; only ``local_key``, the access point's, sets an air up.
    """
    air: Air | None = None
    run_id = ""
    num_answered = 0
    while not should_stop():
        received = server.receive(_POLL_S)
        if received is None:
            continue
        sender, request = received
        peer = sender.route
        if isinstance(request, Answer | Failed):
            continue
        try:
            if isinstance(request, SetUp):
                if sender.key != local_key:
                    raise TestbedError("an air is set up by its access point only, on the same machine")
                if known is not None:
                    known.update(request.stations)
                air, run_id = make_air(request), request.run_id
                log.info("air for %d devices, run %s", request.num_devices, run_id)
                answer: AirWire = Answer(clock_samples=air.clock_samples)
            elif air is None or request.run_id != run_id:
                raise TestbedError(f"run {request.run_id!r} has no air here; the access point sets it up first")
            else:
                answer = request.call.on(air)
        except (RadioError, TestbedError) as err:
            answer = Failed(kind=type(err).__name__, reason=str(err))
        except Exception as err:
            crash = CrashError(f"air: {in_one_line(err)}", trace=traceback_of(err))
            server.send(peer, Failed(kind=type(crash).__name__, reason=in_one_line(err), trace=crash.trace))
            raise crash from err
        server.send(peer, answer)
        num_answered += 1
    return num_answered


class RemoteAir(CalledAir):
    """An air in another process; the same methods as ``radio.air.air.Air``."""

    def __init__(self, client: Client[AirWire], setup: SetUp) -> None:
        super().__init__(access_point=setup.num_devices, sample_rate_hz=setup.radio.sample_rate_hz)
        self._client = client
        self._setup = setup

    def set_up(self) -> None:
        """Make the air of this run; the access point does this once."""
        self._clock_samples = self._exchange(self._setup).clock_samples

    def _ask(self, call: AnyCall) -> Answer:
        return self._exchange(Ask(run_id=self._setup.run_id, call=call))

    def _exchange(self, request: SetUp | Ask) -> Answer:
        self._client.send(request)
        answer = self._client.receive(_REPLY_TIMEOUT_S)
        where = f"air at {self._client.address}"
        if answer is None:
            raise PeerTimeoutError(
                f"{where}: no answer in {_REPLY_TIMEOUT_S:g} s; start it with `testbed air`, or check --air"
            )
        if isinstance(answer, Failed) and answer.trace:
            raise CrashError(f"{where}: {answer.reason}", trace=answer.trace)
        if isinstance(answer, Failed):
            raise _REFUSALS.get(answer.kind, TestbedError)(f"{where}: {answer.reason}")
        if not isinstance(answer, Answer):
            raise TransportError(f"{where} answered with {type(answer).__name__}; versions differ?")
        return answer
