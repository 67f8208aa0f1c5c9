"""Bytes of every kind against the access point's roster and against the air's service, while members go on."""

from __future__ import annotations

import math
import random
from typing import Any

import msgspec
import pytest

from radio.air.calls import BeginBlockCall, CaptureCall, ElapseCall, SilenceCall, TransmitCall, TruthCall
from radio.records import Csi
from testbed.config.files import load
from testbed.control import messages as m
from testbed.control.air_service import Airs
from testbed.control.air_wire import Answered, Ask, Failed, air_codec, air_setup
from testbed.control.transport import PROTOCOL_VERSION, Sender
from tests.testbed.control.ends import CODEC, PROOF, DeskOffice, Peer, Table

NUM, NUM_LONG = 50_000, 1_000_000
A_ROUND = 200
"""Messages that strangers, impostors and a faulty member send while one question is open."""
AIR_EVERY = 10
HASH = "b" * 64
EXTREMES: list[Any] = [
    *(None, True, 0, -1, 1, 7, 2**31, 2**62, 2**63, -(2**63), 2**64 - 1, 10**12),
    *(0.0, -0.0, 1e300, -1e300, 5e-324, math.nan, math.inf, -math.inf),
    *("", "x", "x" * 5_000, "\0", "ü" * 300, HASH, HASH[:-1], b"", b"\xff" * 9),
    *([], [[]], [1, 2], [0] * 300, {}, {0: 1}, {"a": [{}]}, [math.nan, 0.0], [1e300, 1.0]),
]
SAID: list[Any] = [
    m.CatchUp(first=0),
    m.Joined(next_round=0, proof=PROOF),
    m.Prepared(round=0, attempt=1, fingerprint=HASH, draw=1),
    m.Transmitting(round=0, attempt=1, number=1, reports=(m.Report(device=0, heard=Csi(gain=1 + 1j)),)),
    m.Ready(round=0, attempt=1, ground_truth={0: (0.5,)}, losses={0: 1.0}, problems={1: "no"}),
    m.Evaluated(round=0, loss=1.0, metric=0.5, num_examples=3),
    m.Goodbye(next_round=0, fingerprint=HASH),
    m.Trouble(reason="no", trace="none"),
    m.Ping(),
    m.SoundStart(round=0, attempt=1, seed=1, compare=True),
    m.RoundResult(round=0, seed=1, status="ok", coefficients=(0.1,), fingerprint=HASH),
    m.Finish(reason="over", failed=False, next_round=0),
]
SETUP = air_setup(load("loopback", "quickstart", ["num_devices=2"]), "run")
ASKED: list[Any] = [
    SETUP,
    *(
        Ask(client="c", number=1, run_id="run", calls=(call,))
        for call in (
            TransmitCall(station=0, frame=bytes(64), num_repeats=1),
            SilenceCall(station=1),
            CaptureCall(station=2, num_samples=16),
            ElapseCall(num_samples=16),
            BeginBlockCall(round_index=1, attempt=1),
            TruthCall(),
        )
    ),
]
AIR_CODEC = air_codec()
LOCAL = ""
"""The key that sets airs up."""


def mutated(draw: random.Random, body: Any, depth: int = 0) -> Any:
    """The same with one place that is otherwise."""
    if depth < 3 and isinstance(body, list) and body and draw.random() < 0.8:
        copy = list(body)
        place = draw.randrange(len(copy))
        kind = draw.random()
        if kind < 0.7:
            copy[place] = mutated(draw, copy[place], depth + 1)
        elif kind < 0.85:
            del copy[place]
        else:
            copy.insert(place, draw.choice(EXTREMES))
        return copy
    if depth < 3 and isinstance(body, dict) and body and draw.random() < 0.8:
        changed = dict(body)
        key = draw.choice(list(changed))
        changed[key] = mutated(draw, changed[key], depth + 1)
        return changed
    return draw.choice(EXTREMES)


def wire(draw: random.Random, codec: Any, messages: list[Any]) -> bytes:
    """A message as somebody might send it: right, wrong in one place, cut, flipped, or noise."""
    kind = draw.random()
    raw: bytes = codec.encode(draw.choice(messages))
    if kind < 0.15:
        return raw
    if kind < 0.75:
        body = mutated(draw, msgspec.msgpack.decode(raw[1:]))
        try:
            return bytes([PROTOCOL_VERSION]) + msgspec.msgpack.encode(body)
        except (OverflowError, msgspec.EncodeError, TypeError):
            return raw[:1]
    if kind < 0.85:
        return raw[: draw.randrange(len(raw))]
    if kind < 0.95:
        flipped = bytearray(raw)
        flipped[draw.randrange(len(raw))] ^= 1 << draw.randrange(8)
        return bytes(flipped)
    return draw.randbytes(draw.randrange(200))


def hears(table: Table, peer: Peer, raw: bytes, after_s: float) -> None:
    """Let these bytes arrive from a peer."""
    route, key = peer.route, peer.key

    def arrives() -> tuple[Sender, Any] | None:
        decoded = CODEC.decode(raw)
        return None if isinstance(decoded, str) else (Sender(route, key), decoded)

    table.server.at(after_s, arrives)


def attack(num: int, seed: int) -> int:
    """So many messages; returns how many of them were messages at all."""
    draw = random.Random(seed)
    table = Table(num_devices=3, office=DeskOffice(serves={"good": frozenset({0, 1}), "bad": frozenset({2})}))
    good = [table.seat(device, key="good", instance=str(device)) for device in (0, 1)]
    seats = [table.roster.seat_of(device) for device in (0, 1)]
    bad = table.peer(2, key="bad", instance="bad")
    stranger = table.peer(0, key="stranger", instance="0")
    impostor = table.peer(0, key="bad", instance="0")
    airs, understood = Airs(), 0
    airs.reply(LOCAL, SETUP, 0.0)
    for first in range(0, num, A_ROUND):
        for number in range(A_ROUND):
            peer = draw.choice((bad, stranger, impostor))
            hellos = [peer.hello(), good[0].hello(), peer.hello(devices=(0, 2), next_round=draw.choice((0, 1, 2**40)))]
            raw = wire(draw, CODEC, [*SAID, *hellos])
            understood += not isinstance(CODEC.decode(raw), str)
            hears(table, peer, raw, draw.random() * 0.05)
            if number % AIR_EVERY == 0:
                understood += told_to_the_air(draw, airs, first + number)
        answers = table.sound()
        assert {seat for seat in answers.of if seat in seats} == set(seats)
        for peer in (bad, stranger, impostor):
            peer.heard.clear()
            peer.heard_at_s.clear()
            if draw.random() < 0.1:
                peer.connect()
        for member in good:
            member.heard.clear()
            member.heard_at_s.clear()
        table.roster.admit()
        table.office.losses.clear()
    assert len(table.roster.seats) <= 3
    return understood


def told_to_the_air(draw: random.Random, airs: Airs, number: int) -> bool:
    """One request to the air's service; whether it was one. What it costs is bounded, and the run's air stays."""
    asked = AIR_CODEC.decode(wire(draw, AIR_CODEC, ASKED))
    if isinstance(asked, str | Answered | Failed):
        return False
    key = draw.choice((LOCAL, "stranger"))
    reply = airs.reply(key, asked, float(number))
    assert not isinstance(reply, Failed) or not reply.trace, reply
    again = Ask(client="mine", number=number + 1, run_id="run", calls=(SilenceCall(station=0),))
    assert isinstance(airs.reply(LOCAL, again, float(number)), Answered)
    return True


def test_whatever_arrives_the_members_finish_their_rounds():
    assert attack(NUM, seed=1) > NUM / 10


@pytest.mark.long
@pytest.mark.timeout(3600)
def test_a_million_messages():
    assert attack(NUM_LONG, seed=2) > NUM_LONG / 10
