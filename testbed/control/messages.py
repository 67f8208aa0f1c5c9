"""The control plane's messages: frozen structs, tagged by name, strict on decoding. docs/protocol.md explains them.

The plan and a device's channel travel as the radio layer's own records.

No message carries a device's scalar, unless the experiment sets ``ground_truth = true`` (Ready.ground_truth).
"""

from __future__ import annotations

from typing import Literal, TypeAlias

import msgspec

from radio.records import Csi, Plan
from testbed.config.schema import RunConfig
from testbed.control.transport import Codec
from testbed.results.journal import Status

PROTOCOL_VERSION = 4
Slot: TypeAlias = Literal["pilot", "listen", "payload", "tone"]


class Message(msgspec.Struct, frozen=True, kw_only=True, tag=True, forbid_unknown_fields=True):
    """Base of everything that travels on the control plane."""


class PastResult(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One update that a joining host has to catch up with."""

    round: int
    seed: int
    coefficients: tuple[float, ...]


# ---- from a learner host to the access point


class Hello(Message, frozen=True):
    """A host asks to take part with these devices; ``run_id`` is empty unless it has taken part before."""

    protocol_version: int
    host: str
    devices: tuple[int, ...]
    run_id: str
    next_round: int


class Joined(Message, frozen=True):
    """The host has loaded the model and applied every past result."""

    next_round: int
    num_parameters: int
    fingerprint: str


class Prepared(Message, frozen=True):
    """The scalars of this round are computed; sounding may begin."""

    round: int
    attempt: int
    fingerprint: str | None
    """Of the weights before this round's update, every ``fingerprint_every`` rounds."""
    draw: int
    """Names this host's draw of batches and noise, at random: equal in the attempts of a round, unless the host was
    started again in between and had to draw anew."""


class Transmitting(Message, frozen=True):
    """The polled device has started to transmit; of slot ``listen``, what it heard of the access point's pilot."""

    round: int
    attempt: int
    device: int
    heard: Csi | None = None
    start_sample: int | None = None
    """At which sample of its own count it starts; None of radios that do not count."""
    problem: str | None = None
    """Why it could not; another attempt may go better."""


class Ready(Message, frozen=True):
    """All hosted devices have their payload ready, and superposed payloads have been started."""

    round: int
    attempt: int
    ground_truth: dict[int, tuple[float, ...]] | None
    """device → clipped scalars; only in experiments with ground_truth = true."""
    losses: dict[int, float] | None
    """device → training loss; only in experiments with ground_truth = true."""
    problems: dict[int, str] = {}
    """device → why it could not transmit."""


class Evaluated(Message, frozen=True):
    """Loss and metric of the current weights on the test split."""

    round: int
    loss: float
    metric: float
    num_examples: int


class Goodbye(Message, frozen=True):
    """The host is done; the fingerprint is of its live weights."""

    next_round: int
    fingerprint: str


class Trouble(Message, frozen=True):
    """The host cannot go on; the text is for people."""

    reason: str
    trace: str = ""
    """Of an exception that nobody expected, its traceback; empty otherwise."""


class Ping(Message, frozen=True):
    """An idle host asks whether the access point is still there."""


# ---- from the access point to learner hosts


class Welcome(Message, frozen=True):
    """The host takes part: what to run, where the air is, and what it missed."""

    run_id: str
    config: RunConfig
    air_address: str
    next_round: int
    results: tuple[PastResult, ...]


class Refused(Message, frozen=True):
    """The host may not take part."""

    reason: str


class WhoAreYou(Message, frozen=True):
    """The access point does not know this host (it was restarted): say Hello again."""


class SoundStart(Message, frozen=True):
    """A round begins: compute the scalars of this seed, then answer Prepared and wait for polls."""

    round: int
    attempt: int
    seed: int


class Poll(Message, frozen=True):
    """One device sends its pilot, its own payload slot or a tone, or listens to the access point's pilot, now."""

    round: int
    attempt: int
    device: int
    slot: Slot
    start_sample: int | None = None
    """Of a pilot: at which sample of the device's own count it starts; None is as soon as can be."""
    shift_hz: float = 0.0
    """Of a tone: by how much the device first moves its carrier."""


class RoundStart(Message, frozen=True):
    """The plan of this round, and to each host the channels of its own devices."""

    round: int
    attempt: int
    seed: int
    plan: Plan
    csi: dict[int, Csi]
    start_samples: dict[int, int] = {}
    """device → the sample of its own count at which to start; empty where radios do not count."""


class RoundResult(Message, frozen=True):
    """What everyone applies: w ← w − coefficient_q · z(seed, q), in query order; no coefficients, no update."""

    round: int
    seed: int
    status: Status
    coefficients: tuple[float, ...]
    fingerprint: str | None
    """Of the weights before this update, where this round compared them."""


class Evaluate(Message, frozen=True):
    """Evaluate the current weights on the test split."""

    round: int


class Pong(Message, frozen=True):
    """The access point is alive."""


class Finish(Message, frozen=True):
    """The run is over."""

    reason: str


FromHost: TypeAlias = Hello | Joined | Prepared | Transmitting | Ready | Evaluated | Goodbye | Trouble | Ping
ToHost: TypeAlias = (
    Welcome | Refused | WhoAreYou | SoundStart | Poll | RoundStart | RoundResult | Evaluate | Pong | Finish
)
ControlMessage: TypeAlias = FromHost | ToHost


def control_codec() -> Codec[ControlMessage]:
    """The codec of the control plane."""
    return Codec(ControlMessage)
