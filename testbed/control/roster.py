"""Who takes part: which host serves which devices, who is missing, and the waiting for answers.

Nobody outside can end a run: what a stranger says is answered with a question at most, and a host that breaks the
protocol, misses a deadline or is gone loses its seat, with the reason, until it proves itself again.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from testbed.control import messages as m
from testbed.control.seats import Answers, Loss, Office, Seat, devices_in_words
from testbed.control.transport import Sender, ServerEnd
from testbed.errors import RunDirectoryError, TestbedError

log = logging.getLogger(__name__)
Answer = TypeVar("Answer", bound=m.Message)
REPEAT_S = 1.0
"""What was not answered is said again after so long, then after twice as long, and so on."""
MAX_REPEAT_S = 8.0
STRANGER_EVERY_S = 0.5
"""A connection without a seat is answered so often at most."""
RETURN_S = 3.0
"""A host whose connection is gone keeps its seat against other keys for so long; clients reconnect within a second."""
PATIENCE_S = 0.6
"""How long what is going on may still take, once somebody asked to stop; as long again the hosts' goodbyes. With what
the air may take (`remote_air`), the rest of a poll and the last writes, it ends within 2 s."""
STRANGERS_PER_DEVICE = 32
_POLL_S = 0.2


def log_waiting(missing: list[int]) -> None:
    """Say whom a round waits for."""
    log.info("waiting for devices %s", missing)


class AttemptFailedError(Exception):
    """One transmission of a round came to nothing; it may be tried again."""

    def __init__(self, reason: str, missing: Iterable[int] = ()) -> None:
        super().__init__(reason)
        self.reason = reason
        self.missing = tuple(sorted(missing))


class InterruptedRunError(Exception):
    """The user asked to stop while the access point was waiting."""


@dataclass(slots=True)
class _Waiting:
    """Hosts of which an answer is waited for."""

    requests: dict[Seat, m.ToHost]
    losses: list[Loss] = field(default_factory=list)


@dataclass(slots=True)
class Roster:
    """The hosts of one run, over one server end."""

    server: ServerEnd[m.ControlMessage]
    num_devices: int
    office: Office
    should_stop: Callable[[], bool] = lambda: False
    check: Callable[[], None] = lambda: None
    """Asked while waiting; raises what has gone wrong elsewhere."""
    join_timeout_s: float = 120.0
    """A host that has not joined so long after its Welcome loses its seat."""
    seats: list[Seat] = field(default_factory=list)
    _by_route: dict[bytes, Seat] = field(default_factory=dict)
    _by_device: dict[int, Seat] = field(default_factory=dict)
    """Of those that take part."""
    _strangers: dict[tuple[bytes, str], float] = field(default_factory=dict)
    """A connection, and what it said → when it was answered last."""
    _lost: dict[int, Loss] = field(default_factory=dict)
    """device → how it lost its host, until it has another"""
    _waiting: _Waiting | None = None
    _stop_asked_s: float | None = None
    _polled_s: float = -math.inf
    _looked_s: float = -math.inf

    # ---- who is there

    @property
    def seated(self) -> list[Seat]:
        """Hosts that take part."""
        return [seat for seat in self.seats if seat.state == "seated"]

    @property
    def served(self) -> list[int]:
        """Devices of hosts that take part, ascending."""
        return sorted(self._by_device)

    @property
    def missing(self) -> list[int]:
        """Devices without a host that takes part, or will from the next attempt on."""
        coming = {device for seat in self.seats if seat.state == "ready" for device in seat.devices}
        return sorted(set(range(self.num_devices)) - set(self._by_device) - coming)

    def _seat_at(self, sender: Sender) -> Seat | None:
        """The seat of whoever speaks on this connection."""
        seat = self._by_route.get(sender.route)
        return seat if seat is not None and seat.key == sender.key else None

    def why_missing(self) -> str:
        """How the missing devices lost their hosts, in brackets; empty if they never had any."""
        reasons = dict.fromkeys(str(self._lost[device]) for device in self.missing if device in self._lost)
        return f" ({'; '.join(reasons)})" if reasons else ""

    def seat_of(self, device: int) -> Seat:
        """The host that serves ``device``. Raises AttemptFailedError if there is none."""
        try:
            return self._by_device[device]
        except KeyError:
            raise AttemptFailedError(f"device {device} has no host", [device]) from None

    def admit(self) -> bool:
        """Let those take part who have proved themselves since; between attempts only. Whether there were any."""
        ready = [seat for seat in self.seats if seat.state == "ready"]
        for seat in ready:
            seat.state = "seated"
            self._by_device.update(dict.fromkeys(seat.devices, seat))
            for device in seat.devices:
                self._lost.pop(device, None)
        return bool(ready)

    def drop(self, seat: Seat, reason: str, *, trace: str = "", refuse: bool = False, is_said: bool = False) -> None:
        """Take a seat away; with ``refuse`` its host is told to end, with ``is_said`` it has told so itself."""
        if seat not in self.seats:
            return
        self.seats.remove(seat)
        if self._by_route.get(seat.route) is seat:
            del self._by_route[seat.route]
        for device in seat.devices:
            if self._by_device.get(device) is seat:
                del self._by_device[device]
        loss = Loss(devices=seat.devices, reason=reason, trace=trace, is_said=is_said)
        self._lost.update(dict.fromkeys(seat.devices, loss))
        if self._waiting is not None and self._waiting.requests.pop(seat, None) is not None:
            self._waiting.losses.append(loss)
        if refuse:
            self.server.send(seat.route, m.Refused(reason=m.cut(reason)))
        self.office.lost(loss)

    # ---- saying and asking

    def tell(self, message: m.ToHost, *, everybody: bool = False) -> None:
        """Say it to every host that has joined; with ``everybody`` to those that have not joined yet, too."""
        routes = [seat.route for seat in self.seats if everybody or seat.state != "loading"]
        self._drop_gone(self.server.send_all(routes, message))

    def farewell(self, seats: Iterable[Seat]) -> None:
        """Let hosts go whose Goodbye has arrived."""
        self.server.send_all([seat.route for seat in seats], m.Farewell())

    def wait_for(self, num: int, timeout_s: float, progress: Callable[[list[int]], None] = log_waiting) -> bool:
        """Wait until that many devices are served; False if the time is over first."""
        deadline = self.server.now_s() + timeout_s
        self.admit()
        said: tuple[float, list[int]] = -math.inf, []
        while len(self._by_device) < num:
            if (missing := self.missing) != said[1] or self.server.now_s() >= said[0] + _POLL_S:
                progress(missing)
                said = self.server.now_s(), missing
            if self.server.now_s() >= deadline:
                return False
            self._look_around()
            received = self.server.receive(min(_POLL_S, max(0.0, deadline - self.server.now_s())))
            if received is not None:
                self._attend(*received)
            self.admit()
        return True

    def ask(
        self,
        seats: Sequence[Seat],
        request: m.ToHost | Callable[[Seat], m.ToHost],
        kind: type[Answer],
        timeout_s: float,
        *,
        what: str,
        accept: Callable[[Answer], bool] = lambda _: True,
        fault: Callable[[Seat, Answer], str | None] = lambda _, __: None,
        heeds_stop: bool = True,
    ) -> Answers[Answer]:
        """Ask hosts and wait for one answer of ``kind`` from each, attending to everyone else meanwhile.

        Asked to stop it raises InterruptedRunError, or, with ``heeds_stop`` off, is content with what comes soon. What
        is not answered is said again, in growing intervals, and at once on a new connection. Whoever is gone,
        misses the deadline, or gives an answer of which ``fault`` says what is wrong with it, loses the seat.
        """
        answers: Answers[Answer] = Answers()
        waiting = _Waiting({seat: request(seat) if callable(request) else request for seat in seats}, answers.losses)
        self._waiting = waiting
        now_s = self.server.now_s()
        deadline, repeat, repeat_s = now_s + timeout_s, now_s + REPEAT_S, REPEAT_S
        try:
            self._say(waiting.requests)
            while waiting.requests:
                self._look_around(heeds_stop=heeds_stop)
                now_s = self.server.now_s()
                if not heeds_stop and timeout_s > PATIENCE_S and self.should_stop():
                    timeout_s, deadline = PATIENCE_S, min(deadline, now_s + PATIENCE_S)
                if now_s >= deadline:
                    for seat in list(waiting.requests):
                        self.drop(seat, f"{what}: no answer in {timeout_s:g} s")
                    break
                if now_s >= repeat:
                    self._say(waiting.requests)
                    repeat_s = min(2 * repeat_s, MAX_REPEAT_S)
                    repeat = now_s + repeat_s
                received = self.server.receive(max(0.0, min(_POLL_S, deadline - now_s)))
                if received is None:
                    continue
                sender, message = received
                asked = self._seat_at(sender)
                if asked in waiting.requests and isinstance(message, kind) and accept(message):
                    wrong = fault(asked, message)
                    if wrong is not None:
                        self.drop(asked, wrong, refuse=True)
                        continue
                    del waiting.requests[asked]
                    answers.of[asked] = message
                else:
                    self._attend(sender, message)
        finally:
            self._waiting = None
        return answers

    def _say(self, requests: dict[Seat, m.ToHost]) -> None:
        """Send what is open, each distinct message encoded once."""
        alike: dict[int, tuple[m.ToHost, list[bytes]]] = {}
        for seat, request in requests.items():
            alike.setdefault(id(request), (request, []))[1].append(seat.route)
        for request, routes in alike.values():
            self._drop_gone(self.server.send_all(routes, request))

    def _drop_gone(self, routes: Iterable[bytes]) -> None:
        for route in routes:
            if (seat := self._by_route.get(route)) is not None:
                self.drop(seat, "left")

    def _look_around(self, *, heeds_stop: bool = True) -> None:
        """What must not wait for an answer: other failures, a request to stop, hosts that never finish loading."""
        now_s = self.server.now_s()
        if now_s < self._polled_s + _POLL_S / 2:
            return
        self._polled_s = now_s
        self.check()
        if heeds_stop and self.should_stop():
            if self._stop_asked_s is None:
                self._stop_asked_s = now_s
            if now_s >= self._stop_asked_s + PATIENCE_S:
                raise InterruptedRunError
        if now_s < self._looked_s + REPEAT_S:
            return
        self._looked_s = now_s
        for seat in [seat for seat in self.seats if seat.state == "loading"]:
            if now_s > seat.since_s + self.join_timeout_s:
                self.drop(seat, f"said Hello, and did not join in {self.join_timeout_s:g} s")
        for seat in [seat for seat in self.seats if seat.state == "ready"]:
            self._drop_gone([] if self.server.send(seat.route, m.Pong()) else [seat.route])

    # ---- what was not asked for

    def _attend(self, sender: Sender, message: m.ControlMessage) -> None:
        """Everything that is not an answer being waited for."""
        if isinstance(message, m.Hello):
            if self._may_be_answered(sender.route, "hello"):
                self._admit(sender, message)
            return
        seat = self._seat_at(sender)
        if seat is None:
            if self._may_be_answered(sender.route, "other"):
                log.info("%s from a connection without a seat", type(message).__name__)
                self.server.send(sender.route, m.WhoAreYou())
            return
        match message:
            case m.CatchUp(first=first):
                self._catch_up(seat, first)
            case m.Joined():
                self._join(seat, message)
            case m.Ping():
                self.server.send(sender.route, m.Pong())
            case m.Trouble(reason=reason, trace=trace):
                self.drop(seat, m.cut(reason), trace=trace, is_said=True)
            case _:
                log.debug("late %s from %s", type(message).__name__, seat.name)

    def _may_be_answered(self, route: bytes, kind: str) -> bool:
        """Whether an answer is due to a connection that may have no seat, so that a flood costs little."""
        now_s = self.server.now_s()
        if now_s < self._strangers.get((route, kind), -math.inf) + STRANGER_EVERY_S:
            return False
        most = STRANGERS_PER_DEVICE * (self.num_devices + STRANGERS_PER_DEVICE)
        if len(self._strangers) >= most:
            self._strangers = {r: at for r, at in self._strangers.items() if now_s < at + STRANGER_EVERY_S}
            if len(self._strangers) >= most:
                return False
        self._strangers[route, kind] = now_s
        return True

    def _admit(self, sender: Sender, hello: m.Hello) -> None:
        """Give a seat, give it back on a new connection, or say why not."""
        seat = self._holder(sender.key, hello)
        try:
            self._check_hello(sender.key, hello)
            welcome = self.office.welcome(hello)
        except TestbedError as err:
            log.warning("%s was refused: %s", hello.host, err)
            self.server.send(sender.route, m.Refused(reason=m.cut(str(err))))
            return
        if seat is None:
            if (occupied := self._occupied(sender.key, hello)) is not None:
                self.server.send(sender.route, m.Occupied(reason=m.cut(occupied)))
                return
            now_s = self.server.now_s()
            seat = Seat(hello.host, sender.key, hello.instance, hello.devices, sender.route, since_s=now_s)
            self.seats.append(seat)
        if (old := self._by_route.get(sender.route)) is not None and old is not seat:
            self.drop(old, "its connection serves others now")
        if self._by_route.get(seat.route) is seat:
            del self._by_route[seat.route]
        seat.route, seat.gone_s = sender.route, None
        self._by_route[sender.route] = seat
        self.server.send(sender.route, welcome)
        if self._waiting is not None and (request := self._waiting.requests.get(seat)) is not None:
            self.server.send(sender.route, request)

    def _holder(self, key: str, hello: m.Hello) -> Seat | None:
        """The seat of the very process that says Hello."""
        for seat in self.seats:
            if (seat.key, seat.instance, seat.devices) == (key, hello.instance, hello.devices):
                return seat
        return None

    def _check_hello(self, key: str, hello: m.Hello) -> None:
        if hello.protocol_version != m.PROTOCOL_VERSION:
            raise TestbedError(
                f"protocol version {hello.protocol_version}, this access point speaks {m.PROTOCOL_VERSION}; "
                "install the same version of the toolkit on both"
            )
        bad = [device for device in hello.devices if not 0 <= device < self.num_devices]
        if bad or not hello.devices or list(hello.devices) != sorted(set(hello.devices)):
            raise TestbedError(
                f"--devices: got {list(hello.devices)}, allowed 0 to {self.num_devices - 1} on this rig, each once"
            )
        allowed = self.office.may_serve(key)
        if allowed is not None and not set(hello.devices) <= allowed:
            raise TestbedError(
                f"--devices: got {list(hello.devices)}; the rig lets this key serve {sorted(allowed) or 'none'}; "
                "correct --devices, or the rig's [hosts]"
            )

    def _occupied(self, key: str, hello: m.Hello) -> str | None:
        """Why devices are not free. A holder whose connection is gone has lost them, to its own key at once, to others
        once it has had the time to come back."""
        wanted = set(hello.devices)
        now_s = self.server.now_s()
        for seat in [seat for seat in self.seats if wanted & set(seat.devices)]:
            named = devices_in_words(wanted & set(seat.devices))
            if self.server.send(seat.route, m.Pong()):
                seat.gone_s = None
                return f"{named}: served by {seat.name}, which is there; stop that host first, or serve others"
            seat.gone_s = now_s if seat.gone_s is None else seat.gone_s
            if seat.key != key and now_s < seat.gone_s + RETURN_S:
                return f"{named}: served by {seat.name}, whose connection was lost a moment ago; wait, or serve others"
            self.drop(seat, "left")
        return None

    def _catch_up(self, seat: Seat, first: int) -> None:
        try:
            self.server.send(seat.route, self.office.results(first))
        except TestbedError as err:
            self.drop(seat, str(err), refuse=True)

    def _join(self, seat: Seat, joined: m.Joined) -> None:
        """Let a host take part from the next attempt on, if it is what the run needs."""
        try:
            self.office.check(joined)
        except RunDirectoryError:
            raise  # not the host's fault
        except TestbedError as err:
            self.drop(seat, str(err), refuse=True)
            return
        if joined.next_round != self.office.next_round:
            self._catch_up(seat, joined.next_round)
            return
        if seat.state == "loading":
            seat.state = "ready"
            log.info("%s joined from %s", devices_in_words(seat.devices), seat.name)
        self.server.send(seat.route, m.Seated(next_round=joined.next_round))
