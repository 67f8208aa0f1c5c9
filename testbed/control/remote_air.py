"""An air in another process, as its clients see it; `air_service` is the other end."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from contextlib import suppress

import msgspec

from radio.air.calls import Answer, AnyCall, CalledAir
from radio.errors import RadioConfigError, RadioError, RadioLinkError, SignalError, TooLateError
from testbed.control.air_wire import AirReply, AirRequest, AirWire, Answered, Ask, Failed, SetUp
from testbed.control.transport import ClientEnd
from testbed.errors import CrashError, PeerTimeoutError, TestbedError, TransportError

REPLY_TIMEOUT_S = 30.0
_RESEND_S = 1.0
"""After which a request is repeated, then after twice as long; a SetUp every time."""
_POLL_S = 0.2
_STOPPING_S = 0.3
"""For how long a request is still waited for once all is to stop."""
_KINDS = (RadioConfigError, SignalError, TooLateError, RadioLinkError)
_REFUSALS: dict[str, type[RadioError]] = {kind.__name__: kind for kind in _KINDS}


class NoAirError(RadioLinkError):
    """The service has no air for this run, or no longer."""


class RemoteAir(CalledAir):
    """An air in another process; the same methods as ``radio.air.air.Air``. Used by one thread.

    An air that does not answer in time raises RadioLinkError, as a radio that does not; so does one that was started
    anew, until the access point begins its next block, which sets it up again where its time had come to.
    """

    def __init__(
        self,
        client: ClientEnd[AirWire],
        setup: SetUp,
        *,
        timeout_s: float = REPLY_TIMEOUT_S,
        should_stop: Callable[[], bool] = lambda: False,
    ) -> None:
        super().__init__(access_point=setup.num_devices, sample_rate_hz=setup.radio.sample_rate_hz)
        self._client = client
        self._name = uuid.uuid4().hex
        self._number = 0
        self._setup = setup
        self._clock_samples = setup.clock_samples
        self._has_set_up = False
        self._timeout_s = timeout_s
        self._should_stop = should_stop
        self._now_s = client.now_s

    def set_up(
        self,
        timeout_s: float | None = None,
        waiting: Callable[[], None] = lambda: None,
        should_stop: Callable[[], bool] | None = None,
    ) -> bool:
        """Make the air of this run, as the access point does; ``waiting`` is called about once a second until it is
        there. False if ``should_stop`` came first. Raises PeerTimeoutError, or what the air refuses."""
        timeout_s = self._timeout_s if timeout_s is None else timeout_s
        stop = should_stop or self._should_stop
        request = self._new_setup()
        deadline = self._now_s() + timeout_s
        while not stop():
            if self._now_s() >= deadline:
                raise PeerTimeoutError(
                    f"{self._where}: no answer in {timeout_s:g} s; start it with `testbed air`, or check --air"
                )
            self._send(request)
            resend_at = min(deadline, self._now_s() + _RESEND_S)
            while self._now_s() < resend_at and not stop():
                reply = self._receive(request, min(_POLL_S, resend_at - self._now_s()))
                if reply is not None:
                    self._clock_samples = self._read(reply).clock_samples
                    self._has_set_up = True
                    return True
            waiting()
        return False

    def begin_block(self, round_index: int, attempt: int) -> None:
        """Start a new fading block; on an air that was started anew, the access point sets it up first."""
        try:
            super().begin_block(round_index, attempt)
        except NoAirError:
            if not self._has_set_up:
                raise
            self._clock_samples = self._exchange(self._new_setup()).clock_samples
            super().begin_block(round_index, attempt)

    def _new_setup(self) -> SetUp:
        return msgspec.structs.replace(
            self._setup, client=self._name, number=self._next_number(), clock_samples=self._clock_samples
        )

    def _next_number(self) -> int:
        self._number += 1
        return self._number

    @property
    def _where(self) -> str:
        return f"air at {self._client.address}"

    def _ask(self, calls: tuple[AnyCall, ...]) -> Answer:
        return self._exchange(
            Ask(client=self._name, number=self._next_number(), run_id=self._setup.run_id, calls=calls)
        )

    def _exchange(self, request: AirRequest) -> Answer:
        """Have a request answered, repeating it. Raises RadioLinkError where none comes in time."""
        deadline = self._now_s() + self._timeout_s
        resend_after_s, resend_at = _RESEND_S, self._now_s()
        stopping = False
        while (now_s := self._now_s()) < deadline:
            if not stopping and self._should_stop():
                stopping, deadline = True, min(deadline, now_s + _STOPPING_S)
            if now_s >= resend_at:
                self._send(request)
                resend_at, resend_after_s = now_s + resend_after_s, 2 * resend_after_s
            reply = self._receive(request, min(_POLL_S, max(0.0, deadline - now_s)))
            if reply is not None:
                return self._read(reply)
        raise RadioLinkError(
            f"{self._where}: no answer in {_STOPPING_S if stopping else self._timeout_s:g} s; look whether "
            "`testbed air` still runs there"
        )

    def _send(self, request: AirRequest) -> None:
        with suppress(TransportError):  # nobody reads there now; it is repeated until the deadline
            self._client.send(request)

    def _receive(self, request: AirRequest, timeout_s: float) -> AirReply | None:
        """An answer to this request; those to earlier ones, which came too late, are dropped."""
        reply = self._client.receive(timeout_s)
        if isinstance(reply, Answered | Failed) and reply.number == request.number:
            return reply
        return None

    def _read(self, reply: AirReply) -> Answer:
        if isinstance(reply, Answered):
            return reply.answer
        text = f"{self._where}: {reply.reason}"
        if reply.trace:
            raise CrashError(text, trace=reply.trace)
        if reply.no_air:
            raise NoAirError(text)
        raise _REFUSALS.get(reply.kind, TestbedError)(text)
