"""Typed messages over ZeroMQ: one server (ROUTER) and its clients (DEALER), each used by one thread.

This is the only module that imports zmq. A message is two parts: the protocol's name and version, and one msgpack
object of a tagged union of frozen structs. Whatever does not decode strictly is dropped and counted, never raised:
garbage from one peer must not stop the others. docs/protocol.md is the prose of this module.
"""

from __future__ import annotations

import ipaddress
import logging
import os
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Generic, Self, TypeVar

import msgspec
import zmq

from testbed.errors import TransportError

PROTOCOL_VERSION = 5
PROTOCOL = b"airzero/5"
MAX_MESSAGE_BYTES = 64 * 2**20
_LINGER_MS = 2000

log = logging.getLogger(__name__)
M = TypeVar("M")


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

    def encode(self, message: M) -> list[bytes]:
        """The parts that travel."""
        return [PROTOCOL, self._encoder.encode(message)]

    def decode(self, parts: list[bytes]) -> M | str:
        """The message, or why these parts are none."""
        if len(parts) != 2:
            return f"{len(parts)} parts, expected 2"
        if parts[0] != PROTOCOL:
            return f"protocol {parts[0][:32]!r}, this is {PROTOCOL!r}"
        try:
            return self._decoder.decode(parts[1])
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as err:
            return str(err)


def new_context() -> zmq.Context[zmq.Socket[bytes]]:
    """A ZeroMQ context; processes make one, and threads of one process that talk over inproc share it."""
    return zmq.Context()


@contextmanager
def context() -> Iterator[zmq.Context[zmq.Socket[bytes]]]:
    """A ZeroMQ context that ends with its block, however that ends; its sockets must have been closed by then."""
    made = new_context()
    try:
        yield made
    finally:
        made.term()


def check_address(address: str) -> str:
    """Return ``address`` if it stays on this machine.

    Raises TransportError for anything that other machines could reach, since traffic is not encrypted.
    """
    scheme, _, rest = address.partition("://")
    if scheme in ("inproc", "ipc") and rest:
        return address
    host, _, port = rest.rpartition(":")
    if scheme != "tcp" or not host or not (port.isdigit() or port == "*"):
        raise TransportError(
            f"address: got {address!r}, allowed tcp://127.0.0.1:PORT, ipc://PATH or inproc://NAME; correct it"
        )
    try:
        loopback = ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        loopback = host == "localhost"
    if not loopback:
        raise TransportError(
            f"address: got {address!r}, allowed are loopback addresses only, because this traffic is not encrypted; "
            "keep 127.0.0.1 and join machines with an SSH tunnel (ssh -L)"
        )
    return address


class _Endpoint(Generic[M]):
    """What both ends share: one socket, one codec, a count of dropped messages."""

    def __init__(self, context: zmq.Context[zmq.Socket[bytes]], kind: int, codec: Codec[M]) -> None:
        self._socket = context.socket(kind)
        self._socket.setsockopt(zmq.LINGER, _LINGER_MS)
        self._socket.setsockopt(zmq.MAXMSGSIZE, MAX_MESSAGE_BYTES)
        self._codec = codec
        self.num_dropped = 0

    def _receive_parts(self, deadline: float) -> list[bytes] | None:
        """The next parts, or None once ``deadline`` (time.monotonic) has passed."""
        remaining_ms = max(0, int((deadline - time.monotonic()) * 1000) + 1)
        if not self._socket.poll(remaining_ms):
            return None
        return self._socket.recv_multipart()

    def _decode(self, parts: list[bytes], sender: str) -> M | None:
        decoded = self._codec.decode(parts)
        if isinstance(decoded, str):
            self.num_dropped += 1
            log.warning("dropped a message from %s: %s", sender, decoded)
            return None
        return decoded

    def close(self) -> None:
        """Close the socket; what was sent still has two seconds to leave."""
        self._socket.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, err: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class Server(_Endpoint[M]):
    """The bound end: receives from any peer, sends to the peers that it has heard from."""

    def __init__(self, context: zmq.Context[zmq.Socket[bytes]], codec: Codec[M], address: str) -> None:
        super().__init__(context, zmq.ROUTER, codec)
        self._socket.setsockopt(zmq.ROUTER_MANDATORY, 1)
        self._socket.setsockopt(zmq.ROUTER_HANDOVER, 1)
        try:
            self._socket.bind(check_address(address))
        except zmq.ZMQError as err:
            self.close()
            raise TransportError(
                f"cannot listen on {address}: {os.strerror(err.errno or 0)}; "
                "choose a free port or end the program that holds it"
            ) from err
        except TransportError:
            self.close()
            raise
        self.address = self._socket.getsockopt_string(zmq.LAST_ENDPOINT) or address

    def send(self, peer: bytes, message: M) -> bool:
        """Send to ``peer``; False if it is gone."""
        try:
            self._socket.send_multipart([peer, *self._codec.encode(message)], flags=zmq.NOBLOCK)
        except zmq.ZMQError as err:
            if err.errno in (zmq.EHOSTUNREACH, zmq.EAGAIN):
                return False
            raise
        return True

    def receive(self, timeout_s: float) -> tuple[bytes, M] | None:
        """The next well-formed message and its sender, or None after ``timeout_s``."""
        deadline = time.monotonic() + timeout_s
        while (parts := self._receive_parts(deadline)) is not None:
            peer, *rest = parts
            if (message := self._decode(rest, peer.hex()[:8])) is not None:
                return peer, message
        return None


class Client(_Endpoint[M]):
    """The connecting end; reconnects by itself and keeps its name when the server comes back."""

    def __init__(self, context: zmq.Context[zmq.Socket[bytes]], codec: Codec[M], address: str) -> None:
        super().__init__(context, zmq.DEALER, codec)
        self._socket.setsockopt(zmq.ROUTING_ID, uuid.uuid4().bytes)
        self._socket.setsockopt(zmq.RECONNECT_IVL, 50)
        self._socket.setsockopt(zmq.RECONNECT_IVL_MAX, 1000)
        self.address = address
        try:
            self._socket.connect(check_address(address))
        except zmq.ZMQError as err:
            self.close()
            raise TransportError(
                f"cannot connect to {address}: {os.strerror(err.errno or 0)}; check the address"
            ) from err
        except TransportError:
            self.close()
            raise

    def send(self, message: M) -> None:
        """Queue a message for the server."""
        try:
            self._socket.send_multipart(self._codec.encode(message), flags=zmq.NOBLOCK)
        except zmq.Again as err:
            raise TransportError(
                f"{self.address} does not read what is sent to it; is the program there alive?"
            ) from err

    def receive(self, timeout_s: float) -> M | None:
        """The next well-formed message, or None after ``timeout_s``."""
        deadline = time.monotonic() + timeout_s
        while (parts := self._receive_parts(deadline)) is not None:
            if (message := self._decode(parts, self.address)) is not None:
                return message
        return None
