"""A seat: which host serves which devices, and what became of those who lost theirs."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Generic, Literal, Protocol, TypeVar

from testbed.control import messages as m

A = TypeVar("A")


@dataclass(slots=True, eq=False)
class Seat:
    """Of one host. It belongs to a key and to the process that said Hello, never to a connection."""

    name: str
    key: str
    instance: str
    devices: tuple[int, ...]
    route: bytes
    """The connection on which it was heard last."""
    since_s: float
    """When it was given."""
    state: Literal["loading", "ready", "seated"] = "loading"
    """It loads and catches up; it has proved itself and takes part from the next attempt on; it takes part."""
    gone_s: float | None = None
    """Since when its connection is known to be gone; None while it is there."""
    is_compared: bool = False
    """Whether its weights were compared with those of the others since it was seated."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Loss:
    """A seat that was lost, and why."""

    devices: tuple[int, ...]
    reason: str
    trace: str = ""
    """Of an exception that nobody expected in the host, its traceback."""
    is_said: bool = False
    """The host said it itself, and has ended."""

    def __str__(self) -> str:
        return f"{devices_in_words(self.devices)}: {self.reason}"


@dataclass(slots=True)
class Answers(Generic[A]):
    """What came of asking several hosts."""

    of: dict[Seat, A] = field(default_factory=dict)
    losses: list[Loss] = field(default_factory=list)
    """Of those that were asked and have no seat any more."""


class Office(Protocol):
    """What decides about hosts: the run and its record."""

    is_one_process: bool
    """Whether the only host is a thread of the access point's own process."""

    @property
    def next_round(self) -> int:
        """The round that is being played, or comes next."""
        ...

    def may_serve(self, key: str) -> frozenset[int] | None:
        """Devices that the holder of a key may serve; None for any."""
        ...

    def welcome(self, hello: m.Hello) -> m.Welcome:
        """What a host must know to load. Raises TestbedError to refuse it."""
        ...

    def results(self, first: int) -> m.Results:
        """Results from a round on, as many as fit one message. Raises TestbedError for rounds that have not been."""
        ...

    def check(self, joined: m.Joined) -> None:
        """Compare what a host has proved with the run. Raises TestbedError."""
        ...

    def lost(self, loss: Loss) -> None:
        """Keep what is known of a host that lost its seat."""
        ...


def devices_in_words(devices: Iterable[int]) -> str:
    """ "device 3" or "devices 0, 1, 2"."""
    listed = sorted(devices)
    return f"device{'s' if len(listed) != 1 else ''} {', '.join(map(str, listed))}"
