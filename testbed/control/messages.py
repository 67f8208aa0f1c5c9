"""The control plane's messages: frozen structs, strict on decoding. docs/protocol.md explains them.

On the wire a message is an array: the number of its type, then its fields in the order in which they stand here. The
plan and a device's channel travel as the radio layer's own records. What is out of range, or not finite, is no message.

No message carries a device's scalar, unless the experiment sets ``ground_truth = true`` (Ready.ground_truth).
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Annotated, Literal, TypeAlias

import msgspec

from radio.records import Csi, Plan
from testbed.config.schema import RunConfig
from testbed.control.proof import Proof
from testbed.control.transport import PROTOCOL_VERSION, Codec
from testbed.results.journal import Status
from testbed.results.updates import HasUpdates

__all__ = ["PROTOCOL_VERSION"]

Slot: TypeAlias = Literal["pilot", "listen", "payload", "tone"]

Round = Annotated[int, msgspec.Meta(ge=0, le=2**40)]
Attempt = Annotated[int, msgspec.Meta(ge=1, le=2**20)]
Number = Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]
Device = Annotated[int, msgspec.Meta(ge=0, lt=10_000)]
Devices = Annotated[tuple[Device, ...], msgspec.Meta(max_length=10_000)]
MAX_TEXT = 4_000
Text = Annotated[str, msgspec.Meta(max_length=MAX_TEXT)]
Trace = Annotated[str, msgspec.Meta(max_length=40_000)]
Name = Annotated[str, msgspec.Meta(max_length=256, pattern=r"^[^\x00-\x1f\x7f-\x9f]*\Z")]
RunId = Annotated[str, msgspec.Meta(max_length=64)]
Fingerprint = Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{64}\Z")]
Sample = Annotated[int, msgspec.Meta(ge=-(2**60), le=2**60)]


class Message(msgspec.Struct, frozen=True, kw_only=True, array_like=True, forbid_unknown_fields=True, gc=False):
    """Base of everything that travels on the control plane."""


class PastResult(
    msgspec.Struct, HasUpdates, frozen=True, kw_only=True, array_like=True, forbid_unknown_fields=True, gc=False
):
    """One update that a host has to catch up with."""

    round: Round
    seed: Number
    coefficients: tuple[float, ...]
    earlier: tuple[tuple[Number, tuple[float, ...]], ...] = ()
    """As in `RoundResult`."""


def cut(text: str) -> str:
    """As much of a text as a message may carry, in one line that no terminal takes for more: whoever receives a longer
    one drops it unread."""
    text = "".join(letter if letter.isprintable() else " " for letter in text)
    return text if len(text) <= MAX_TEXT else f"{text[: MAX_TEXT - 2]} …"


def _check_finite(what: str, values: Iterable[float]) -> None:
    """Raise ValueError, which the decoder reports as no message."""
    if not all(map(math.isfinite, values)):
        raise ValueError(f"{what}: got a number that is not finite")


def packed(devices: Iterable[int]) -> bytes:
    """One bit for each device."""
    bits = 0
    for device in devices:
        bits |= 1 << device
    return bits.to_bytes((bits.bit_length() + 7) // 8, "little")


def unpacked(bits: bytes) -> tuple[int, ...]:
    """The devices whose bit is set, ascending."""
    return tuple(8 * place + bit for place, byte in enumerate(bits) for bit in range(8) if byte >> bit & 1)


# ---- from a learner host to the access point


class Hello(Message, frozen=True, tag=1):
    """A host asks to take part with these devices; ``run_id`` is empty unless it has taken part before."""

    protocol_version: int
    host: Name
    instance: RunId
    """Drawn at random by the host's process: with its key, what a seat belongs to."""
    devices: Devices
    run_id: RunId
    next_round: Round
    code: Fingerprint
    """Of the program, so that another version is refused before it loads anything."""


class CatchUp(Message, frozen=True, tag=2):
    """The host asks for the results from this round on."""

    first: Round


class Joined(Message, frozen=True, tag=3):
    """The host has loaded everything and applied every past result; repeated until the answer is `Seated`."""

    next_round: Round
    proof: Proof


class Prepared(Message, frozen=True, tag=4):
    """The scalars of this round are computed; sounding may begin."""

    round: Round
    attempt: Attempt
    fingerprint: Fingerprint | None
    """Of the weights before this round's update, where the access point asked to compare."""
    draw: Number
    """Names this host's draw of batches and noise, at random: equal in the attempts of a round, unless the host was
    started again in between and had to draw anew."""


class Report(msgspec.Struct, frozen=True, kw_only=True, array_like=True, forbid_unknown_fields=True, gc=False):
    """What became of one device's poll."""

    device: Device
    heard: Csi | None = None
    """Of slot ``listen``: what it heard of the access point's pilot."""
    start_sample: Sample | None = None
    """At which sample of its own count it starts; None of radios that do not count."""
    problem: Text | None = None
    """Why it could not; another attempt may go better."""


class Transmitting(Message, frozen=True, tag=5):
    """The polled devices have started to transmit, or have listened."""

    round: Round
    attempt: Attempt
    number: Number
    """Of the poll."""
    reports: Annotated[tuple[Report, ...], msgspec.Meta(max_length=10_000)]
    radio_s: Annotated[float, msgspec.Meta(ge=0, le=1e6)] = 0.0
    """How long the host worked on it."""


class Ready(Message, frozen=True, tag=6):
    """All hosted devices have their payload ready, and superposed payloads have been started."""

    round: Round
    attempt: Attempt
    ground_truth: dict[Device, tuple[float, ...]] | None
    """device → clipped scalars; only in experiments with ground_truth = true."""
    losses: dict[Device, float] | None
    """device → training loss; only in experiments with ground_truth = true."""
    problems: dict[Device, Text] = {}
    """device → why it could not transmit."""
    radio_s: Annotated[float, msgspec.Meta(ge=0, le=1e6)] = 0.0
    """How long the host worked on it."""

    def __post_init__(self) -> None:
        if self.ground_truth is not None:
            _check_finite("ground_truth", (each for values in self.ground_truth.values() for each in values))
        if self.losses is not None:
            _check_finite("losses", self.losses.values())


class Evaluated(Message, frozen=True, tag=7):
    """Loss and metric of the current weights on the test split, and on the validation split if there is one."""

    round: Annotated[int, msgspec.Meta(ge=-1, le=2**40)]
    loss: float
    """May be infinite of a model that has diverged, never NaN."""
    metric: Annotated[float, msgspec.Meta(ge=0)]
    num_examples: Annotated[int, msgspec.Meta(ge=1, le=2**40)]
    validation_loss: float | None = None
    validation_metric: Annotated[float, msgspec.Meta(ge=0)] | None = None

    def __post_init__(self) -> None:
        _check_finite("metric", (self.metric, self.validation_metric or 0.0))
        if math.isnan(self.loss) or math.isnan(self.validation_loss or 0.0):
            raise ValueError("loss: got no number")


class Goodbye(Message, frozen=True, tag=8):
    """The host is done; the fingerprint is of its live weights."""

    next_round: Round
    fingerprint: Fingerprint


class Trouble(Message, frozen=True, tag=9):
    """The host leaves; the text is for people."""

    reason: Text
    trace: Trace = ""
    """Of an exception that nobody expected, its traceback; empty otherwise."""


class Ping(Message, frozen=True, tag=10):
    """An idle host asks whether the access point is still there."""


# ---- from the access point to learner hosts


class Welcome(Message, frozen=True, tag=20):
    """The host may load: what to run, and where the air is."""

    run_id: RunId
    config: RunConfig
    air_address: Name
    next_round: Round


class Refused(Message, frozen=True, tag=21):
    """The host may not take part, or no longer."""

    reason: Text


class Occupied(Message, frozen=True, tag=22):
    """Another host serves these devices, and is there; asking again may go better."""

    reason: Text


class WhoAreYou(Message, frozen=True, tag=23):
    """This connection has no seat (the access point was restarted, the seat was lost): say Hello again."""


class Results(Message, frozen=True, tag=24):
    """The results of rounds ``first`` up to ``until``, without those that changed nothing."""

    first: Round
    until: Round
    next_round: Round
    """The round that the access point is at; a host that is not there yet asks for more."""
    results: tuple[PastResult, ...]


class Seated(Message, frozen=True, tag=25):
    """The host has proved what it is, and takes part from the next attempt on."""

    next_round: Round


class SoundStart(Message, frozen=True, tag=26):
    """A round begins: compute the scalars of this seed, then answer Prepared and wait for polls."""

    round: Round
    attempt: Attempt
    seed: Number
    compare: bool
    """Whether the answer must hold the weights' fingerprint."""


class Poll(Message, frozen=True, tag=27):
    """Devices send their pilots, their payload slots or a tone, or listen to the access point's pilot."""

    round: Round
    attempt: Attempt
    number: Number
    """Within the attempt; a repeated poll is answered again, and nothing is sent twice."""
    slot: Slot
    devices: Devices
    start_samples: dict[Device, Sample] = {}
    """device → at which sample of its own count it starts; without, as soon as can be."""
    after_samples: dict[Device, Sample] = {}
    """Of simulated air: device → how long after now it starts."""
    shift_hz: float = 0.0
    """Of a tone: by how much the device first moves its carrier."""


class RoundStart(Message, frozen=True, tag=28):
    """The plan of this round, and to each host the channels of its own devices."""

    round: Round
    attempt: Attempt
    plan: Plan
    """Without its active devices."""
    active: Annotated[bytes, msgspec.Meta(max_length=1250)] | None
    """Which devices transmit: bit k % 8 of byte k // 8 is device k's; None if all do that take part in the run."""
    csi: dict[Device, Csi]
    start_samples: dict[Device, Sample] = {}
    """device → the sample of its own count at which to start; empty where radios do not count."""
    after_samples: dict[Device, Sample] = {}
    """Of slots on a simulated air: device → how long after now its own begins."""


class RoundResult(Message, HasUpdates, frozen=True, tag=29):
    """What everyone applies: w ← w − coefficient_q · z(seed, q), in query order, for this round's seed and then for
    earlier ones; no coefficients, no update."""

    round: Round
    seed: Number
    status: Status
    coefficients: tuple[float, ...]
    fingerprint: Fingerprint | None
    """Of the weights before this update, where this round compared them."""
    earlier: tuple[tuple[Number, tuple[float, ...]], ...] = ()
    """(seed, coefficients) of directions of rounds before this one, that this round's update has a share of."""


class Evaluate(Message, frozen=True, tag=30):
    """Evaluate the weights before round ``next_round`` on the test split."""

    round: Annotated[int, msgspec.Meta(ge=-1, le=2**40)]


class Pong(Message, frozen=True, tag=31):
    """The access point is alive, or asks whether a connection is."""


class Finish(Message, frozen=True, tag=32):
    """The run is over; who is not at ``next_round`` catches up before it says Goodbye."""

    reason: Text
    failed: bool
    next_round: Round


class Farewell(Message, frozen=True, tag=33):
    """The Goodbye has arrived."""


FromHost: TypeAlias = Hello | CatchUp | Joined | Prepared | Transmitting | Ready | Evaluated | Goodbye | Trouble | Ping
ToHost: TypeAlias = (
    Welcome
    | Refused
    | Occupied
    | WhoAreYou
    | Results
    | Seated
    | SoundStart
    | Poll
    | RoundStart
    | RoundResult
    | Evaluate
    | Pong
    | Finish
    | Farewell
)
ControlMessage: TypeAlias = FromHost | ToHost


def control_codec() -> Codec[ControlMessage]:
    """The codec of the control plane."""
    return Codec(ControlMessage)
