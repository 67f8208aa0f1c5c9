"""Who takes part: which host serves which devices, who is missing, and the waiting for answers."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import TypeVar

from testbed.control import messages as m
from testbed.control.transport import Sender, Server
from testbed.errors import CrashError, DivergenceError, TestbedError

log = logging.getLogger(__name__)
Answer = TypeVar("Answer", bound=m.Message)
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
class Host:
    """A learner host that has said Hello."""

    name: str
    devices: tuple[int, ...]
    joined: m.Joined | None = None
    """None while it is loading."""


@dataclass(slots=True)
class Roster:
    """The hosts of one run, over one server socket."""

    server: Server[m.ControlMessage]
    num_devices: int
    welcome: Callable[[m.Hello], m.Welcome]
    """Makes the answer to a Hello; raises TestbedError to refuse it."""
    should_stop: Callable[[], bool]
    check: Callable[[], None] = lambda: None
    """Asked while waiting; raises what has gone wrong elsewhere."""
    hosts: dict[bytes, Host] = field(default_factory=dict)
    running: bool = False
    """Whether a Joined now disturbs a round."""

    @property
    def served(self) -> set[int]:
        """Devices whose host has joined."""
        return {device for host in self.hosts.values() if host.joined for device in host.devices}

    @property
    def missing(self) -> list[int]:
        """Devices without a host that has joined."""
        return sorted(set(range(self.num_devices)) - self.served)

    def peer_of(self, device: int) -> bytes:
        """The host that serves ``device``. Raises AttemptFailedError if there is none."""
        for peer, host in self.hosts.items():
            if host.joined and device in host.devices:
                return peer
        raise AttemptFailedError(f"device {device} has no host", [device])

    def send(self, peer: bytes, message: m.ToHost) -> None:
        """Send to one host; a host that is gone loses its seat, and the attempt fails."""
        if not self.server.send(peer, message):
            host = self.hosts.pop(peer, None)
            devices = host.devices if host else ()
            raise AttemptFailedError(f"{_devices(devices)} left", devices)

    def broadcast(self, message: m.ToHost) -> None:
        """Send to every host that is still there."""
        for peer in list(self.hosts):
            if not self.server.send(peer, message):
                log.warning("%s left", _devices(self.hosts[peer].devices))
                del self.hosts[peer]

    def wait_for_everyone(self, timeout_s: float, progress: Callable[[list[int]], None] = log_waiting) -> bool:
        """Wait until every device is served; False if the time is over first."""
        deadline = time.monotonic() + timeout_s
        self.running = False
        while self.missing:
            progress(self.missing)
            if time.monotonic() > deadline:
                return False
            self.check()
            self._check_stop()
            received = self.server.receive(min(_POLL_S, max(0.0, deadline - time.monotonic())))
            if received is not None:
                self._attend(*received)
        self.running = True
        return True

    def collect(
        self,
        kind: type[Answer],
        peers: Iterable[bytes],
        timeout_s: float,
        *,
        what: str,
        accept: Callable[[Answer], bool] = lambda _: True,
    ) -> dict[bytes, Answer]:
        """Wait for one answer of ``kind`` from each of ``peers``, attending to everyone else meanwhile.

        Raises AttemptFailedError when the deadline passes (naming the devices that are missing) or a host (re)joins.
        """
        deadline = time.monotonic() + timeout_s
        waiting = set(peers)
        answers: dict[bytes, Answer] = {}
        while waiting:
            self.check()
            remaining = deadline - time.monotonic()
            if remaining <= 0:
                devices = [d for peer in waiting if (host := self.hosts.get(peer)) for d in host.devices]
                raise AttemptFailedError(f"{_devices(devices)}: {what}: no answer in {timeout_s:g} s", devices)
            received = self.server.receive(min(_POLL_S, remaining))
            if received is None:
                continue
            sender, message = received
            peer = sender.route
            if peer in waiting and isinstance(message, kind) and accept(message):
                answers[peer] = message
                waiting.discard(peer)
            else:
                self._attend(sender, message)
        return answers

    def check_agreement(self, fingerprints: dict[bytes, str | None], where: str) -> str | None:
        """The one fingerprint that all hosts report (None if they report none). Raises DivergenceError."""
        groups: dict[str, list[int]] = {}
        for peer, fingerprint in fingerprints.items():
            if fingerprint is not None:
                groups.setdefault(fingerprint, []).extend(self.hosts[peer].devices)
        if len(groups) > 1:
            listed = "; ".join(f"{_devices(devices)}: {key[:12]}" for key, devices in sorted(groups.items()))
            raise DivergenceError(
                f"{where}: hosts hold different weights ({listed}); run the same version and model on all of them"
            )
        return next(iter(groups), None)

    def _check_stop(self) -> None:
        if self.should_stop():
            raise InterruptedRunError

    def _attend(self, sender: Sender, message: m.ControlMessage) -> None:
        """Everything that is not an answer being waited for."""
        peer = sender.route
        match message:
            case m.Hello():
                self._admit(peer, message)
            case m.Joined():
                self._seat(peer, message)
            case m.Ping():
                self.server.send(peer, m.Pong() if peer in self.hosts else m.WhoAreYou())
            case m.Trouble(reason=reason, trace=trace):
                host = self.hosts.pop(peer, None)
                several = self.num_devices != len(host.devices) if host else False
                text = f"{_devices(host.devices)}: {reason}" if host and several else reason
                raise CrashError(text, trace=trace) if trace else TestbedError(text)
            case _:
                log.debug("late %s from %s", type(message).__name__, peer.hex()[:8])

    def _admit(self, peer: bytes, hello: m.Hello) -> None:
        if peer in self.hosts and self.hosts[peer].joined is None:
            return  # it said Hello several times before it heard the answer, and is loading now
        try:
            if hello.protocol_version != m.PROTOCOL_VERSION:
                raise TestbedError(
                    f"protocol version {hello.protocol_version}, this access point speaks {m.PROTOCOL_VERSION}; "
                    "install the same version of the toolkit on both"
                )
            bad = [device for device in hello.devices if not 0 <= device < self.num_devices]
            if bad or not hello.devices:
                raise TestbedError(
                    f"--devices: got {list(hello.devices)}, allowed 0 to {self.num_devices - 1} on this rig"
                )
            welcome = self.welcome(hello)
        except TestbedError as err:
            self.server.send(peer, m.Refused(reason=str(err)))
            return
        for other, host in list(self.hosts.items()):
            if other != peer and set(host.devices) & set(hello.devices):
                log.warning("%s move to another host", _devices(hello.devices))
                self.server.send(other, m.Refused(reason="its devices were taken over by another host"))
                del self.hosts[other]
        self.hosts[peer] = Host(hello.host, hello.devices)
        self.server.send(peer, welcome)

    def _seat(self, peer: bytes, joined: m.Joined) -> None:
        if peer not in self.hosts:
            self.server.send(peer, m.WhoAreYou())
            return
        host = self.hosts[peer]
        host.joined = joined
        self.check_agreement(
            {
                p: h.joined.fingerprint
                for p, h in self.hosts.items()
                if h.joined and h.joined.next_round == joined.next_round
            },
            "joining",
        )
        log.info("%s joined from %s", _devices(host.devices), host.name)
        if self.running:
            raise AttemptFailedError(f"{_devices(host.devices)} joined again")


def _devices(devices: Iterable[int]) -> str:
    listed = sorted(devices)
    return f"device{'s' if len(listed) != 1 else ''} {', '.join(map(str, listed))}"
