"""Small stand-ins for the seams of a round: hosts that answer as told, and a link that hears as told."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from radio.link.block import Reception
from radio.link.bounds import ChannelBounds, Credit
from radio.records import Csi, Estimate, Plan
from radio.schemes.alignment import Alignment
from testbed.control import messages as m
from testbed.control.roster import AttemptFailedError, Host

PEER = b"host"


@dataclass
class FakeRoster:
    """One host that serves all devices; ``silent_from`` is the first round in which it does not answer."""

    num_devices: int
    silent_from: int = 10**9
    sent: list[Any] = field(default_factory=list)
    missing: list[int] = field(default_factory=list)
    answer_poll: Callable[[m.Poll], m.Transmitting] | None = None

    def __post_init__(self) -> None:
        joined = m.Joined(next_round=0, num_parameters=1, fingerprint="aa")
        self.hosts = {PEER: Host("fake", tuple(range(self.num_devices)), joined)}
        self.served = set(range(self.num_devices))

    def peer_of(self, device: int) -> bytes:
        return PEER

    def send(self, peer: bytes, message: Any) -> None:
        self.sent.append(message)

    def broadcast(self, message: Any) -> None:
        self.sent.append(message)

    def check_agreement(self, fingerprints: dict[bytes, str | None], where: str) -> str | None:
        return next(iter(fingerprints.values()), None)

    def wait_for_everyone(self, timeout_s: float, progress: Any = None) -> bool:
        return not self.missing

    def collect(self, kind: type, peers: Iterable[bytes], timeout_s: float, *, what: str, accept: Any = None) -> Any:
        asked = self.sent[-1]
        if asked.round >= self.silent_from:
            devices = list(range(self.num_devices))
            raise AttemptFailedError(f"devices {devices}: {what}: no answer in {timeout_s:g} s", devices)
        match asked:
            case m.SoundStart():
                answer: Any = m.Prepared(round=asked.round, attempt=asked.attempt, fingerprint=None, draw=7)
            case m.Poll():
                answer = m.Transmitting(round=asked.round, attempt=asked.attempt, device=asked.device)
                if self.answer_poll is not None:
                    answer = self.answer_poll(asked)
            case m.RoundStart():
                answer = m.Ready(round=asked.round, attempt=asked.attempt, ground_truth=None, losses=None)
            case _:
                raise AssertionError(f"nobody asked for {kind.__name__}")
        return dict.fromkeys(peers, answer)


@dataclass(frozen=True)
class Heard:
    """What a fake sounding came to."""

    gain: complex = 1.0 + 0j
    gain_variance: float = 1e-9
    is_heard: bool = True


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

    def start_of(self, device: int) -> None:
        return None

    def sound(self, device: int) -> Heard:
        return Heard()

    def channels(self) -> FakeChannels:
        return FakeChannels(self, self.link.value(self.round_index, self.attempt))


@dataclass
class FakeChannels:
    """What follows the soundings."""

    block: FakeBlock
    value: float | str | None
    noise_variance: float = 1e-6

    @property
    def csi(self) -> dict[int, Csi]:
        return {device: Csi(gain=1.0 + 0j) for device in range(self.block.link.num_devices)}

    def align(self, *, clip: float, noise_std: float, num_queries: int) -> Alignment:
        gain = 0.0 if self.value is None else 0.5 / clip
        return Alignment(gain=gain, active=() if self.value is None else tuple(range(self.block.link.num_devices)))

    def credit(self, alignment: Alignment, bounds: ChannelBounds, failure: float, *, num_queries: int) -> Credit:
        return Credit(noise_variance=self.noise_variance, margin=1.0)

    def starts(self, plan: Plan) -> dict[int, int]:
        return {}

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
        return Reception(
            estimate=estimate,
            capture=capture,
            symbols=np.full(plan.num_queries, 1 + 0j),
            airtime_s=self.block.airtime_s,
            radio_s=0.0,
        )
