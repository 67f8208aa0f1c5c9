"""Typed messages over ZeroMQ: one server (ROUTER) and its clients (DEALER), each used by one thread.

A message is one part: a byte that says the protocol's version, and one msgpack object of a tagged union of frozen
structs. Whatever does not decode strictly is dropped and counted, never raised: garbage from one peer must not stop
the others. Who a peer is, is what its connection has proved (CurveZMQ), never what it says. docs/protocol.md is the
prose of this module.
"""

from __future__ import annotations

import ctypes
import logging
import os
import secrets
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Generic, NamedTuple, Protocol, Self, TypeAlias, TypeVar

import msgspec
import zmq

from testbed.control.doorman import HANDSHAKE_S, Doorman, Grumbler, Guard
from testbed.control.keys import Credentials, is_loopback
from testbed.errors import TransportError

PROTOCOL_VERSION = 6
MAX_MESSAGE_BYTES = 4 * 2**20
_PREFIX = bytes([PROTOCOL_VERSION])
_LINGER_MS = 2000
_BACKLOG = 128
_HEARTBEAT_EVERY_MS = 1000
_HEARTBEAT_TIMEOUT_MS = 5000
_SERVER_QUEUES = (256, 10_000)
"""Messages that may wait to be sent to, and to be read from, one peer. The second is so large because a peer that has
filled it and then dies can abort the process (libzmq 4.3.5, stream_engine_base.cpp:310, an assertion on input that was
stopped): only who has proved a key can fill anything."""
_CLIENT_QUEUES = (1000, 256)
_ROUTE_BYTES = 5

log = logging.getLogger(__name__)
M = TypeVar("M")
Context: TypeAlias = zmq.Context[zmq.Socket[bytes]]


class Sender(NamedTuple):
    """Where a message came from."""

    route: bytes
    """Names a connection. Made by the server at random; a new one after every reconnect."""
    key: str
    """The public key (Z85) that the connection has proved; "" where no keys are used."""


class ServerEnd(Protocol[M]):
    """The end that everyone talks to."""

    address: str

    def now_s(self) -> float:
        """A clock that only goes forward; deadlines are in its time."""
        ...

    def send(self, route: bytes, message: M) -> bool:
        """Send to one connection; False if it is gone, or reads nothing."""
        ...

    def send_all(self, routes: Iterable[bytes], message: M) -> list[bytes]:
        """Send to several, encoded once; returns those that are gone."""
        ...

    def receive(self, timeout_s: float) -> tuple[Sender, M] | None:
        """The next well-formed message, or None after ``timeout_s``."""
        ...


class ClientEnd(Protocol[M]):
    """The end that talks to one server."""

    address: str

    def now_s(self) -> float:
        """A clock that only goes forward; deadlines are in its time."""
        ...

    def send(self, message: M) -> None:
        """Queue a message for the server. Raises TransportError if it has read nothing for very long."""
        ...

    def receive(self, timeout_s: float) -> M | None:
        """The next well-formed message, or None after ``timeout_s``."""
        ...


def _encode_complex(value: object) -> list[float]:
    """A complex number travels as [real, imaginary]."""
    if isinstance(value, complex):
        return [float(value.real), float(value.imag)]
    raise NotImplementedError(f"{type(value).__name__}: travels in no message")


def _decode_complex(wanted: type, value: object) -> complex:
    """Raises ValueError, which the decoder reports with the path, unless `value` is two floats."""
    if wanted is not complex:
        raise NotImplementedError(f"{wanted.__name__}: travels in no message")
    if not isinstance(value, list) or [type(part) for part in value] != [float, float]:
        raise ValueError("expected a complex number as [real, imaginary], two floats")
    return complex(*value)


class Codec(Generic[M]):
    """Encodes and strictly decodes one union of message types."""

    def __init__(self, union: object) -> None:
        self._encoder = msgspec.msgpack.Encoder(enc_hook=_encode_complex)
        self._decoder: msgspec.msgpack.Decoder[M] = msgspec.msgpack.Decoder(union, dec_hook=_decode_complex)

    def encode(self, message: M) -> bytes:
        """What travels."""
        return _PREFIX + self._encoder.encode(message)

    def decode(self, body: bytes) -> M | str:
        """The message, or why this is none."""
        if body[:1] != _PREFIX:
            return f"protocol version {body[0] if body else 'none'}, this is {PROTOCOL_VERSION}"
        try:
            return self._decoder.decode(memoryview(body)[1:])
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as err:
            return str(err)


def new_context() -> Context:
    """A ZeroMQ context; processes make one, and threads of one process that talk over inproc share it."""
    return zmq.Context()


@contextmanager
def context() -> Iterator[Context]:
    """A ZeroMQ context that ends with its block, however that ends; its sockets must have been closed by then."""
    made = new_context()
    try:
        yield made
    finally:
        made.term()


def check_address(address: str, *, has_keys: bool = False) -> str:
    """Return ``address`` if no other machine can reach it, or both sides prove who they are.

    Raises TransportError for any other.
    """
    if not is_loopback(address) and not has_keys:
        raise TransportError(
            f"address: got {address!r}, which other machines can reach; allowed without keys are loopback addresses "
            "only; keep 127.0.0.1, or make keys on both machines (`testbed keys`)"
        )
    if has_keys and not address.startswith("tcp://"):
        raise TransportError(f"address: got {address!r}, keys are for tcp://HOST:PORT; leave them out")
    return address


class _Endpoint(Generic[M]):
    """What both ends share: one socket, one codec, a count of dropped messages."""

    def __init__(
        self,
        context: Context,
        kind: int,
        codec: Codec[M],
        address: str,
        *,
        max_bytes: int,
        queues: tuple[int, int],
    ) -> None:
        self.address = address
        self.num_dropped = 0
        self._codec = codec
        self._grumbler = Grumbler(log)
        self._socket = context.socket(kind)
        self._socket.setsockopt(zmq.LINGER, _LINGER_MS)
        self._socket.setsockopt(zmq.MAXMSGSIZE, max_bytes)
        self._socket.setsockopt(zmq.SNDHWM, queues[0])
        self._socket.setsockopt(zmq.RCVHWM, queues[1])
        if address.startswith("tcp://"):  # a peer that is dead or stopped is found out, and its route is gone
            self._socket.setsockopt(zmq.HEARTBEAT_IVL, _HEARTBEAT_EVERY_MS)
            self._socket.setsockopt(zmq.HEARTBEAT_TIMEOUT, _HEARTBEAT_TIMEOUT_MS)
            self._socket.setsockopt(zmq.IPV6, int("[" in address))

    @property
    def pollable(self) -> zmq.Socket[bytes]:
        """For a poller that waits for several ends at once; who reads from it must call `receive`."""
        return self._socket

    def now_s(self) -> float:
        """time.monotonic()."""
        return time.monotonic()

    def _receive_first(self, deadline: float) -> bytes | None:
        """The next message's first part, or None once ``deadline`` has passed."""
        try:
            try:
                return self._socket.recv(zmq.NOBLOCK)
            except zmq.Again:
                remaining_s = deadline - time.monotonic()
                if remaining_s <= 0:
                    return None
                self._socket.set(zmq.RCVTIMEO, int(remaining_s * 1000) + 1)  # without the cost of a poller
                return self._socket.recv()
        except zmq.Again:
            return None

    def _drop_rest(self) -> bool:
        """Whether the message has further parts, which are dropped one by one.

        libzmq hands over a message when it is complete and bounds each part, not their number: an endless message grows
        its memory. Only who has proved a key can send any part.
        """
        if not self._socket.get(zmq.RCVMORE):
            return False
        while self._socket.get(zmq.RCVMORE):
            self._socket.recv(copy=False)
        return True

    def _decode(self, body: bytes, sender: str) -> M | None:
        has_more = self._drop_rest()
        decoded = "more than one part, expected 1" if has_more else self._codec.decode(body)
        if isinstance(decoded, str):
            self._drop(sender, decoded)
            return None
        return decoded

    def _drop(self, sender: str, reason: str) -> None:
        self.num_dropped += 1
        self._grumbler.warning("dropped a message from %s: %s", sender, reason[:200])

    def close(self) -> None:
        """Close the socket; what was sent still has two seconds to leave."""
        self._grumbler.flush()
        self._socket.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, err: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class Server(_Endpoint[M]):
    """The bound end: receives from whom its guard lets in, sends to those that it has heard from."""

    def __init__(
        self,
        context: Context,
        codec: Codec[M],
        address: str,
        *,
        guard: Guard | None = None,
        max_bytes: int = MAX_MESSAGE_BYTES,
    ) -> None:
        """``context`` is for inproc; a guarded server has one of its own, with its doorman. Raises TransportError."""
        check_address(address, has_keys=guard is not None)
        self._own_context = new_context() if guard is not None else None
        _draw_first_route()
        super().__init__(
            self._own_context or context, zmq.ROUTER, codec, address, max_bytes=max_bytes, queues=_SERVER_QUEUES
        )
        self._socket.setsockopt(zmq.ROUTER_MANDATORY, 1)
        self._socket.setsockopt(zmq.BACKLOG, _BACKLOG)
        self._socket.setsockopt(zmq.HANDSHAKE_IVL, int(1000 * HANDSHAKE_S))
        self.doorman: Doorman | None = None
        if guard is not None and self._own_context is not None:
            self._socket.curve_server = True
            self._socket.curve_publickey = guard.keys.public.encode()
            self._socket.curve_secretkey = guard.keys.secret.encode()
            self.doorman = Doorman(self._own_context, self._socket, guard)
        try:
            self._socket.bind(address)
        except zmq.ZMQError as err:
            self.close()
            raise TransportError(
                f"cannot listen on {address}: {os.strerror(err.errno or 0)}; "
                "choose a free port or end the program that holds it"
            ) from err
        self.address = self._socket.getsockopt_string(zmq.LAST_ENDPOINT) or address
        if self.doorman is not None:
            self.doorman.bound_to(int(self.address.rpartition(":")[2]))

    def close(self) -> None:
        """Close the socket; what was sent still has two seconds to leave."""
        if self.doorman is not None:
            self.doorman.close()
            self.doorman = None
        super().close()
        if self._own_context is not None:
            self._own_context.term()

    def send(self, route: bytes, message: M) -> bool:
        """Send to a connection; False if it is gone, or does not read."""
        return self._send(route, self._codec.encode(message))

    def send_all(self, routes: Iterable[bytes], message: M) -> list[bytes]:
        """Send to several, encoded once; returns those that are gone."""
        body = self._codec.encode(message)
        return [route for route in routes if not self._send(route, body)]

    def _send(self, route: bytes, body: bytes) -> bool:
        try:
            self._socket.send(route, zmq.NOBLOCK | zmq.SNDMORE)
            self._socket.send(body, zmq.NOBLOCK)
        except zmq.ZMQError as err:
            if err.errno in (zmq.EHOSTUNREACH, zmq.EAGAIN):
                return False
            raise
        return True

    def receive(self, timeout_s: float) -> tuple[Sender, M] | None:
        """The next well-formed message and where it came from, or None after ``timeout_s``."""
        deadline = time.monotonic() + timeout_s
        while (route := self._receive_first(deadline)) is not None:
            if not self._socket.get(zmq.RCVMORE):
                body, key = b"", ""
            elif self.doorman is None:
                body, key = self._socket.recv(), ""
            else:  # asked of every message: a peer may have named itself by the route of one that has gone
                frame = self._socket.recv(copy=False)
                body, key = frame.bytes, self._proven_key(frame)
            if len(route) != _ROUTE_BYTES or route[0] != 0:
                self._drop_rest()
                self._drop(route.hex()[:10], "its client chose its own routing id; routes are made here")
            elif (message := self._decode(body, key or route.hex())) is not None:
                return Sender(route, key), message
            if time.monotonic() > deadline:
                break
        return None

    def _proven_key(self, frame: zmq.Frame) -> str:
        """What libzmq attached to the frame in this process; nothing in it came from the peer's message."""
        if self.doorman is None:
            return ""
        self.doorman.heard(int(frame.get("__fd")))
        return str(frame.get("User-Id"))


def _draw_first_route() -> None:
    """Seed C's rand(), of which libzmq takes a socket's first route before it counts on. Unseeded it is the same in
    every process, and a client that names itself by the next one aborts the server (libzmq 4.3.5, socket_base.cpp)."""
    ctypes.CDLL(None).srand(secrets.randbits(32))


class Client(_Endpoint[M]):
    """The connecting end; reconnects by itself, under a new route."""

    def __init__(
        self,
        context: Context,
        codec: Codec[M],
        address: str,
        *,
        credentials: Credentials | None = None,
        max_bytes: int = MAX_MESSAGE_BYTES,
    ) -> None:
        """Raises TransportError."""
        check_address(address, has_keys=credentials is not None)
        super().__init__(context, zmq.DEALER, codec, address, max_bytes=max_bytes, queues=_CLIENT_QUEUES)
        self._socket.setsockopt(zmq.RECONNECT_IVL, 50)
        self._socket.setsockopt(zmq.RECONNECT_IVL_MAX, 1000)
        if credentials is not None:
            self._socket.curve_publickey = credentials.own.public.encode()
            self._socket.curve_secretkey = credentials.own.secret.encode()
            self._socket.curve_serverkey = credentials.server_key.encode()
        try:
            self._socket.connect(address)
        except zmq.ZMQError as err:
            self.close()
            raise TransportError(
                f"cannot connect to {address}: {os.strerror(err.errno or 0)}; check the address"
            ) from err

    def send(self, message: M) -> None:
        """Queue a message for the server."""
        try:
            self._socket.send(self._codec.encode(message), zmq.NOBLOCK)
        except zmq.Again as err:
            raise TransportError(
                f"{self.address} does not read what is sent to it; is the program there alive?"
            ) from err

    def receive(self, timeout_s: float) -> M | None:
        """The next well-formed message, or None after ``timeout_s``."""
        deadline = time.monotonic() + timeout_s
        while (body := self._receive_first(deadline)) is not None:
            if (message := self._decode(body, self.address)) is not None:
                return message
            if time.monotonic() > deadline:
                break
        return None
