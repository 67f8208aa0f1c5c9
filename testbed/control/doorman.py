"""Who may come in: decides about keys (ZAP, RFC 27), and keeps the connections that have proved none few.

One thread beside one server socket. libzmq itself ends a handshake that takes too long; what it lacks is a bound on how
many are open at once. The doorman reads the socket's monitor and shuts the oldest down, of the address that has most.
The monitor must be read without pause: libzmq's I/O thread blocks on one that is full.
"""

from __future__ import annotations

import contextlib
import logging
import os
import resource
import socket
import struct
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

import zmq
from zmq.utils import z85

from testbed.control.keys import KeyPair

HANDSHAKE_S = 3.0
"""After so long libzmq ends a connection that has not proved its key."""
_MAX_OPEN_FILES = 65_536
_SPARE_FILES = 128
_POLL_MS = 100
_ZAP_ADDRESS = "inproc://zeromq.zap.01"
_ANY_FAILURE = (
    zmq.EVENT_HANDSHAKE_FAILED_AUTH | zmq.EVENT_HANDSHAKE_FAILED_NO_DETAIL | zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL
)
_MECHANISM_MISMATCH = zmq.PROTOCOL_ERROR_ZMTP_MECHANISM_MISMATCH
_CRYPTOGRAPHIC = zmq.PROTOCOL_ERROR_ZMTP_CRYPTOGRAPHIC

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Guard:
    """What a server proves itself with, and whose keys it lets in."""

    keys: KeyPair
    allows: Callable[[str], bool]
    """Asked in a thread of its own, at every new connection; what it says may change while the server runs."""
    max_connections: int = 4096
    max_unproven: int = 64
    """Connections at once that have not proved a key; further ones end the oldest of these."""


class Grumbler:
    """A log that a flood does not flood: some lines in a row, then only how many were left out."""

    def __init__(self, target: logging.Logger, *, num_lines: int = 5, every_s: float = 10.0) -> None:
        self._log = target
        self._num_lines = num_lines
        self._every_s = every_s
        self._since_s = -every_s
        self._num_said = 0
        self._num_left_out = 0

    def warning(self, text: str, *args: object) -> None:
        """Say it, or count it."""
        now_s = time.monotonic()
        self.settle()
        if now_s >= self._since_s + self._every_s:
            self._since_s, self._num_said = now_s, 0
        if self._num_said < self._num_lines:
            self._num_said += 1
            self._log.warning(text, *args)
        else:
            self._num_left_out += 1

    def settle(self) -> None:
        """Say how many were left out, if that was not done for a while."""
        if self._num_left_out and time.monotonic() >= self._since_s + self._every_s:
            self.flush()

    def flush(self) -> None:
        """Say how many were left out so far."""
        if self._num_left_out:
            self._log.warning("%d more such lines were left out", self._num_left_out)
            self._num_left_out = 0


@dataclass(slots=True)
class _Connection:
    address: str
    since_s: float
    is_shut: bool = False
    """Ended by the doorman, who has said so."""


@dataclass(slots=True)
class _Callers:
    """Connections by file descriptor, those first that have been open longest."""

    open: dict[int, _Connection] = field(default_factory=dict)
    unproven: dict[int, _Connection] = field(default_factory=dict)
    """Those that are so young that libzmq may still wait for their key, and have not been heard."""
    by_address: dict[str, dict[int, None]] = field(default_factory=dict)
    """The unproven, by where they come from."""

    def add(self, fd: int, address: str, now_s: float) -> None:
        self.remove(fd)
        self.open[fd] = self.unproven[fd] = _Connection(address, now_s)
        self.by_address.setdefault(address, {})[fd] = None

    def prove(self, fd: int) -> None:
        connection = self.unproven.pop(fd, None)
        if connection is not None:
            of_address = self.by_address[connection.address]
            del of_address[fd]
            if not of_address:
                del self.by_address[connection.address]

    def remove(self, fd: int) -> _Connection | None:
        self.prove(fd)
        return self.open.pop(fd, None)

    def prove_older_than(self, since_s: float) -> None:
        """libzmq has ended what did not prove itself by then."""
        while self.unproven:
            fd, connection = next(iter(self.unproven.items()))
            if connection.since_s >= since_s:
                return
            self.prove(fd)

    def excess(self) -> int:
        """The oldest of the address that has most unproven connections."""
        worst = max(self.by_address, key=lambda address: len(self.by_address[address]))
        return next(iter(self.by_address[worst]))


class Doorman:
    """Serves one bound, guarded tcp socket, which must be the only one of its context."""

    def __init__(self, context: zmq.Context[zmq.Socket[bytes]], server: zmq.Socket[bytes], guard: Guard) -> None:
        self._guard = guard
        self._port = -1
        self._callers = _Callers()
        self._heard: set[int] = set()
        self._reason = ""
        self._grumbler = Grumbler(log)
        self._ended = threading.Event()
        self._max_open = min(guard.max_connections, _raise_open_files() - _SPARE_FILES)
        self.refused: Counter[str] = Counter()
        """How many were refused, for which reason."""
        self._zap = context.socket(zmq.REP)
        self._zap.linger = 0
        self._zap.bind(_ZAP_ADDRESS)
        events = zmq.EVENT_ACCEPTED | zmq.EVENT_DISCONNECTED | _ANY_FAILURE
        self._monitor = server.get_monitor_socket(events)
        self._server = server
        self._thread = threading.Thread(target=self._serve, name="doorman", daemon=True)
        self._thread.start()

    @property
    def num_open(self) -> int:
        """Connections that are open."""
        return len(self._callers.open)

    def bound_to(self, port: int) -> None:
        """Where the server listens; only connections to there are ever shut down."""
        self._port = port

    def heard(self, fd: int) -> None:
        """A connection has sent a message, and so had proved its key. From the server's thread."""
        self._heard.add(fd)

    def close(self) -> None:
        """End the thread; from the server's thread, before its socket is closed."""
        self._ended.set()
        self._thread.join()
        self._server.disable_monitor()
        self._monitor.close(linger=0)
        self._zap.close()
        self._grumbler.flush()

    def _serve(self) -> None:
        poller = zmq.Poller()
        poller.register(self._zap, zmq.POLLIN)
        poller.register(self._monitor, zmq.POLLIN)
        while not self._ended.is_set():
            self._grumbler.settle()
            for ready, _ in poller.poll(_POLL_MS):
                if ready is self._zap:
                    self._answer(self._zap.recv_multipart())
                else:
                    self._look(self._monitor.recv_multipart())

    def _answer(self, parts: list[bytes]) -> None:
        """Decide about one key. Status 300 tells the other side nothing, and lets it come again once it is known."""
        version, request, _, address, _, mechanism, *credentials = parts
        key = ""
        if mechanism == b"CURVE" and len(credentials) == 1 and len(credentials[0]) == 32:
            key = z85.encode(credentials[0]).decode()
        if key and self._guard.allows(key):
            self._zap.send_multipart([version, request, b"200", b"", key.encode(), b""])
            return
        self._zap.send_multipart([version, request, b"300", b"", b"", b""])
        self._refuse(f"unknown key {key}" if key else "no key", "unknown key", address.decode(errors="replace"))

    def _look(self, parts: list[bytes]) -> None:
        """One event of the monitor; a failed handshake's reason comes just before its connection ends."""
        event, value = struct.unpack("=Hi", parts[0])
        if event == zmq.EVENT_ACCEPTED:
            self._accept(value)
        elif event & _ANY_FAILURE:
            if event == zmq.EVENT_HANDSHAKE_FAILED_AUTH:
                self._reason = ""  # ZAP has said so, with the key
            elif event == zmq.EVENT_HANDSHAKE_FAILED_NO_DETAIL:
                self._reason = "no handshake (a plain client, or none of ours)"
            elif value == _MECHANISM_MISMATCH:
                self._reason = "no key (plain client)"
            elif value == _CRYPTOGRAPHIC:
                self._reason = "it expects another server key"
            else:
                self._reason = "no handshake of ours"
        else:
            self._heard.discard(value)
            connection = self._callers.remove(value)
            if self._reason and not (connection and connection.is_shut):
                self._refuse(self._reason, self._reason, connection.address if connection else "unknown")
            self._reason = ""

    def _accept(self, fd: int) -> None:
        now_s = time.monotonic()
        callers = self._callers
        self._heard.discard(fd)
        callers.add(fd, self._peer_of(fd), now_s)
        callers.prove_older_than(now_s - HANDSHAKE_S - 0.5)
        if len(callers.open) > self._max_open:
            self._shut(fd)
        elif len(callers.unproven) > self._guard.max_unproven:
            for heard in self._heard & callers.unproven.keys():
                callers.prove(heard)
            if len(callers.unproven) > self._guard.max_unproven:
                self._shut(callers.excess())

    def _shut(self, fd: int) -> None:
        """End a connection; libzmq sees its end and closes it."""
        connection = self._callers.open[fd]
        self._callers.prove(fd)
        connection.is_shut = True
        self._refuse("too many connections", "too many connections", connection.address)
        self._with_connection(fd, lambda found: found.shutdown(socket.SHUT_RDWR))

    def _peer_of(self, fd: int) -> str:
        addresses: list[str] = []
        self._with_connection(fd, lambda found: addresses.append(str(found.getpeername()[0])))
        return addresses[0] if addresses else "unknown"

    def _with_connection(self, fd: int, use: Callable[[socket.socket], object]) -> None:
        """Use a connection by a descriptor of our own, if it is still one of ours: libzmq may have closed it, and
        anything else may have its number by now."""
        try:
            duplicate = os.dup(fd)
        except OSError:
            return  # it has ended meanwhile, which its own event will say
        try:
            found = socket.socket(fileno=duplicate)
        except OSError:
            os.close(duplicate)  # no socket
            return
        with found, contextlib.suppress(OSError):  # or ended just now
            if found.family in (socket.AF_INET, socket.AF_INET6) and found.getsockname()[1] == self._port:
                use(found)

    def _refuse(self, text: str, kind: str, address: str) -> None:
        self.refused[kind] += 1
        self._grumbler.warning("refused a connection from %s: %s", address, text)


def _raise_open_files() -> int:
    """Let this process have as many files open as it may; returns how many."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _MAX_OPEN_FILES if hard == resource.RLIM_INFINITY else min(hard, _MAX_OPEN_FILES)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
        return wanted
    return soft if soft != resource.RLIM_INFINITY else _MAX_OPEN_FILES
