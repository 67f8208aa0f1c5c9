"""One client's socket: lines and data in, integers and data out."""

from __future__ import annotations

import select
import socket

MAX_LINE_BYTES = 1024


class HungUpError(Exception):
    """The client is gone, or has to go."""


class Wire:
    """Reads and writes; raises HungUpError, or OSError, when there is nobody any more."""

    def __init__(self, client: socket.socket) -> None:
        self._socket = client
        self._hang_up = select.poll()
        self._hang_up.register(client, select.POLLRDHUP)
        self._pending = b""

    def read_line(self) -> str:
        """The next line, without its end."""
        while b"\n" not in self._pending:
            if len(self._pending) > MAX_LINE_BYTES:
                raise HungUpError
            received = self._socket.recv(4096)
            if not received:
                raise HungUpError
            self._pending += received
        line, _, self._pending = self._pending.partition(b"\n")
        return line.decode("ascii", "replace").strip()

    def read(self, size: int) -> bytearray:
        """So many bytes."""
        data = bytearray(size)
        first = min(size, len(self._pending))
        data[:first], self._pending = self._pending[:first], self._pending[first:]
        view = memoryview(data)[first:]
        while view:
            received = self._socket.recv_into(view)
            if received == 0:
                raise HungUpError
            view = view[received:]
        return data

    def send(self, data: bytes | memoryview) -> None:
        """All of it."""
        self._socket.sendall(data)

    def send_number(self, number: int) -> None:
        """A reply; negative is an errno."""
        self._socket.sendall(b"%d\n" % number)

    def is_gone(self) -> bool:
        """Whether the client hung up while it was waiting for an answer, whatever it had sent before."""
        return bool(self._hang_up.poll(0))
