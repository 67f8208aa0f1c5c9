"""Small stand-ins for the seams of a round: hosts that answer as told, over a real roster on a virtual clock, and a
link that hears as told."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from itertools import count
from typing import Any

import numpy as np

from radio.link.bounds import ChannelBounds, Credit
from radio.link.reception import Captured, Reception
from radio.records import Csi, Estimate, Plan
from radio.schemes.alignment import Alignment
from radio.waveform.base import Known
from testbed.control import messages as m
from tests.testbed.control.ends import WEIGHTS, Peer, Table


@dataclass
class FakeHost:
    """Answers everything that a round asks; ``instead`` replaces an answer, by none if it says so."""

    devices: tuple[int, ...]
    draw: int = field(default_factory=count(7).__next__)
    fingerprint: str = WEIGHTS
    instead: Callable[[Any, Any], Iterable[Any]] = lambda _, answer: [answer]
    peer: Peer = field(init=False)

    def joins(self, table: Table) -> FakeHost:
        self.peer = table.seat(*self.devices, instance=str(self.devices), also=self._answers)
        return self

    def _answers(self, asked: Any) -> Iterable[Any]:
        match asked:
            case m.SoundStart():
                shown = self.fingerprint if asked.compare else None
                answer: Any = m.Prepared(round=asked.round, attempt=asked.attempt, fingerprint=shown, draw=self.draw)
            case m.Poll():
                reports = tuple(m.Report(device=device) for device in asked.devices)
                answer = m.Transmitting(round=asked.round, attempt=asked.attempt, number=asked.number, reports=reports)
            case m.RoundStart():
                answer = m.Ready(round=asked.round, attempt=asked.attempt, ground_truth=None, losses=None)
            case m.Evaluate():
                answer = m.Evaluated(round=asked.round, loss=0.5, metric=0.75, num_examples=8)
            case _:
                return []
        return self.instead(asked, answer)


def silent(*kinds: type, from_round: int = 0) -> Callable[[Any, Any], Iterable[Any]]:
    """No answer to these questions."""
    return lambda asked, answer: [] if isinstance(asked, kinds) and asked.round >= from_round else [answer]


def changed(kind: type, change: Callable[[Any], Any]) -> Callable[[Any, Any], Iterable[Any]]:
    """Another answer than the honest one."""
    return lambda _, answer: [change(answer) if isinstance(answer, kind) else answer]


@dataclass(frozen=True)
class Heard:
    """What a fake sounding came to."""

    gain: complex = 1.0 + 0j
    gain_variance: float = 1e-9
    is_heard: bool = True


@dataclass(frozen=True)
class Slot:
    """When a device sends its pilot."""

    device: int
    start_sample: int | None = None
    after_samples: int = 0


@dataclass
class FakeStarts:
    """Counts how often distances were forgotten."""

    num_forgotten: int = 0

    def forget(self) -> None:
        self.num_forgotten += 1


@dataclass
class FakeLink:
    """Every round hears ``value(round, attempt)``; a string is why it is rejected, None is a plan of silence."""

    num_devices: int
    value: Callable[[int, int], float | str | None]
    starts: FakeStarts = field(default_factory=FakeStarts)

    def block(self, round_index: int, attempt: int) -> FakeBlock:
        return FakeBlock(self, round_index, attempt)

    def memory(self) -> None:
        """Nothing is remembered."""


@dataclass
class FakeBlock:
    """One block; its capture holds the round's number, so that nobody can mistake it for another's."""

    link: FakeLink
    round_index: int
    attempt: int
    airtime_s: float = 0.25
    needs_sounding: bool = True

    def unaligned(self) -> list[int]:
        return []

    def pilot_slots(self, devices: Sequence[int]) -> list[Slot]:
        return [Slot(device) for device in devices]

    def sound(self, device: int) -> Heard:
        return Heard()

    def channels(self, present: Sequence[int]) -> FakeChannels:
        return FakeChannels(self, self.link.value(self.round_index, self.attempt), tuple(present))


@dataclass
class FakeChannels:
    """What follows the soundings."""

    block: FakeBlock
    value: float | str | None
    present: tuple[int, ...]
    noise_variance: float = 1e-6

    @property
    def csi(self) -> dict[int, Csi]:
        return {device: Csi(gain=1.0 + 0j) for device in self.present}

    def align(self, *, clip: float, noise_std: float, num_queries: int) -> Alignment:
        gain = 0.0 if self.value is None else 0.5 / clip
        return Alignment(gain=gain, active=() if self.value is None else self.present)

    def credit(self, alignment: Alignment, bounds: ChannelBounds, failure: float, *, num_queries: int) -> Credit:
        return Credit(noise_variance=self.noise_variance, margin=1.0)

    def starts(self, plan: Plan) -> dict[int, int]:
        return {}

    def payload_slots(self, plan: Plan) -> list[Slot]:
        return []

    def receive(self, plan: Plan, poll: Callable[[int], None]) -> Reception:
        rejected = self.value if isinstance(self.value, str) else None
        heard = np.nan if isinstance(self.value, str) or self.value is None else self.value
        estimate = Estimate(
            values=np.full(plan.num_queries, heard),
            error_variance=np.full(plan.num_queries, 0.01),
            symbol_snr_db=20.0,
            rejected=rejected,
        )
        capture = np.full(4, self.block.round_index + self.block.attempt / 10, dtype=np.complex64)
        known = Known(
            soundings={},
            gains=np.ones(len(plan.active), dtype=np.complex128),
            noise_power=0.01,
            first_sample=0,
            saturated=False,
            value_power=1.0,
        )
        return Reception(
            estimate=estimate,
            captured=(Captured(samples=capture, known=known),),
            symbols=np.full(plan.num_queries, 1 + 0j),
            airtime_s=self.block.airtime_s,
            radio_s=0.0,
        )
