"""How a host gets its seat and keeps it: what it asks the access point, again and again until that is answered."""

from __future__ import annotations

from typing import Literal, TypeAlias

from testbed.control import messages as m
from testbed.control.transport import ClientEnd
from testbed.errors import PeerTimeoutError, TransportError

REPEAT_S = 1.0
PING_EVERY_S = 2.0
FAREWELL_S = 3.0
"""How long a host that is done waits to hear that its Goodbye has arrived."""

State: TypeAlias = Literal["outside", "joining", "seated", "leaving"]


class SilentAccessPointError(PeerTimeoutError):
    """The access point was not heard for too long; nobody is there to be told."""


class Membership:
    """Where a host stands with its access point; at most one question is open at a time."""

    def __init__(self, client: ClientEnd[m.ControlMessage], timeout_s: float) -> None:
        """Without a word from the access point for ``timeout_s``, `receive` raises SilentAccessPointError."""
        self._client = client
        self._timeout_s = timeout_s
        self.state: State = "outside"
        self._question: m.FromHost | None = None
        self._said_s = self._heard_s = self._left_s = client.now_s()
        self._occupied_s: float | None = None

    def ask(self, question: m.FromHost, state: State) -> None:
        """Say it now, and again until `answered`."""
        if state == "leaving" and self.state != "leaving":
            self._left_s = self._client.now_s()
        if state != "outside":
            self._occupied_s = None
        self.state, self._question = state, question
        self._say(question)

    def answered(self, state: State) -> None:
        """Nothing is open any more."""
        self.state, self._question, self._occupied_s = state, None, None

    @property
    def has_left(self) -> bool:
        """Whether it has said Goodbye, and waited long enough for an answer."""
        return self.state == "leaving" and self._client.now_s() >= self._left_s + FAREWELL_S

    def worked(self) -> None:
        """The access point cannot be blamed for the time that this host took."""
        self._heard_s = self._client.now_s()

    def receive(self, *, at_most_s: float) -> m.ControlMessage | None:
        """The next message, or None after a while, in which what is open was said again.

        Raises SilentAccessPointError.
        """
        every_s = REPEAT_S if self._question is not None else PING_EVERY_S
        due_s = self._said_s + every_s
        message = self._client.receive(max(0.0, min(due_s - self._client.now_s(), at_most_s)))
        now_s = self._client.now_s()
        if message is not None:
            self._heard_s = now_s
        elif now_s > self._heard_s + self._timeout_s:
            raise SilentAccessPointError(
                f"access point at {self._client.address}: nothing heard for {self._timeout_s:g} s; "
                "start it, or check --connect and the keys of both sides (`testbed keys show`)"
            )
        if now_s >= due_s:
            self._say(self._question if self._question is not None else m.Ping())
        return message

    def occupied(self, reason: str) -> None:
        """Others serve these devices: go on asking, but not for ever. Raises TransportError."""
        now_s = self._client.now_s()
        if self._occupied_s is None:
            self._occupied_s = now_s
        if now_s > self._occupied_s + self._timeout_s:
            raise TransportError(f"access point at {self._client.address}: {reason}")

    def _say(self, message: m.FromHost) -> None:
        self._client.send(message)
        self._said_s = self._client.now_s()
