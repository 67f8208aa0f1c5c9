"""What travels between radios and the air's service, around the calls and answers of `radio.air.calls`.

Every request has a number. It is repeated until it is answered, and carried out once.
"""

from __future__ import annotations

from typing import Annotated, TypeAlias

import msgspec

from radio.air.air import Air
from radio.air.calls import MAX_TIME_SAMPLES, Answer, AnyCall
from radio.air.config import AirConfig
from radio.config import RadioConfig
from testbed.config.schema import RunConfig
from testbed.control.transport import Codec

MAX_AIR_BYTES = 64 * 2**20
"""Of one message: samples travel in it."""
MAX_DEVICES = 10_000
MAX_CALLS = 2 * MAX_DEVICES + 1  # of each device a silence and a transmission, and one that waits for its answer

Number = Annotated[int, msgspec.Meta(ge=1, le=2**62)]
Name = Annotated[str, msgspec.Meta(min_length=1, max_length=200)]


class AirMessage(msgspec.Struct, frozen=True, kw_only=True, tag=True, forbid_unknown_fields=True):
    """Base of all of them."""


class Request(AirMessage, frozen=True):
    """Base of what is asked."""

    client: Name
    """Drawn at random by whoever asks."""
    number: Number
    """Of this client's requests, growing."""
    run_id: Name


class SetUp(Request, frozen=True):
    """The access point makes the air of one run; later requests name it by ``run_id``."""

    config: AirConfig
    num_devices: Annotated[int, msgspec.Meta(ge=1, le=MAX_DEVICES)]
    seed: Annotated[int, msgspec.Meta(ge=0, le=2**62)]
    radio: RadioConfig
    clock_samples: Annotated[int, msgspec.Meta(ge=0, le=MAX_TIME_SAMPLES)] = 0
    """Where the air's time goes on, of a run that was cut off."""
    stations: Annotated[dict[Name, tuple[int, ...]], msgspec.Meta(max_length=MAX_DEVICES)] = {}
    """Public keys of hosts on other machines, and the devices that each may serve."""


class Ask(Request, frozen=True):
    """Calls on the air of one run, in this order."""

    calls: Annotated[tuple[AnyCall, ...], msgspec.Meta(min_length=1, max_length=MAX_CALLS)]


class Answered(AirMessage, frozen=True):
    """The request was carried out."""

    number: Number
    answer: Answer
    """Of the last call."""


class Failed(AirMessage, frozen=True):
    """The request was refused, or some of its calls."""

    number: Number
    kind: str
    """The name of the error, so that it can be raised where it was asked."""
    reason: str
    trace: str = ""
    """Of an exception that nobody expected, its traceback; the run's air ended with it."""
    no_air: bool = False
    """Whether the run has no air here, or no longer."""


AirRequest: TypeAlias = SetUp | Ask
AirReply: TypeAlias = Answered | Failed
AirWire: TypeAlias = SetUp | Ask | Answered | Failed


def air_codec() -> Codec[AirWire]:
    """The codec of the air's socket."""
    return Codec(AirWire)


def air_setup(config: RunConfig, run_id: str, *, clock_samples: int = 0) -> SetUp:
    """The simulated air of one run, from a sample of its time on."""
    return SetUp(
        client="-",
        number=1,
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
