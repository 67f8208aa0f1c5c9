"""One connection of the IIOD text protocol: commands in, integers and data out.

Every command ends in a line feed; every reply begins with a decimal integer, negative for an errno. A buffer belongs
to the connection that opened it and goes with it.
"""

from __future__ import annotations

import errno
import socket
import time
from collections.abc import Callable
from string import hexdigits

import numpy as np

from radio.virtual_pluto.bench.buffers import RxClient, TxBuffer
from radio.virtual_pluto.bench.chip import IioError
from radio.virtual_pluto.bench.station import Words
from radio.virtual_pluto.config import Fault
from radio.virtual_pluto.iio.context import RX, TX, Device, Key, find_channel, find_device
from radio.virtual_pluto.iio.pluto import Pluto
from radio.virtual_pluto.iio.wire import HungUpError, Wire

MAX_ATTRIBUTE_BYTES = 1 << 16
MAX_BUFFER_BYTES = 1 << 28
MAX_KERNEL_BYTES = 1 << 30
MAX_KERNEL_BUFFERS = 64
OPEN_RETRY_S = 0.05
VERSION = "0.25.virtual"


class Connection:
    """Serves one client until it leaves."""

    def __init__(self, client: socket.socket, pluto: Pluto, restart: Callable[[float], None]) -> None:
        self._wire = Wire(client)
        self._pluto = pluto
        self._restart = restart
        self._buffer: RxClient | TxBuffer | None = None
        self._mask = 0
        self._channels: tuple[int, ...] = ()
        self._rest = np.empty(0, dtype=np.int16)
        self._commands = {
            "VERSION": self._version, "PRINT": self._print, "TIMEOUT": self._timeout, "SET": self._set,
            "GETTRIG": self._get_trigger, "SETTRIG": self._no_trigger, "READ": self._read, "WRITE": self._write,
            "OPEN": self._open, "CLOSE": self._close, "READBUF": self._read_buffer, "WRITEBUF": self._write_buffer,
        }  # fmt: skip

    def serve(self) -> None:
        """Answer commands until the client hangs up."""
        try:
            while True:
                words = self._wire.read_line().split()
                if not words:
                    continue
                if words[0] == "EXIT":
                    return
                self._answer(words)
        except (HungUpError, OSError):
            return
        finally:
            if self._buffer is not None:
                self._pluto.air.close_buffer(self._buffer)

    def _answer(self, words: list[str]) -> None:
        command = self._commands.get(words[0])
        if command is None:
            return self._wire.send_number(-errno.EINVAL)
        try:
            fault = self._pluto.faults.strike(self._pluto.station.index, words[0])
            if fault is not None:
                self._suffer(fault, words)
            command(words[1:])
        except IioError as err:
            if err.number == errno.EPIPE:
                raise HungUpError from err
            self._wire.send_number(-err.number)

    def _suffer(self, fault: Fault, words: list[str]) -> None:
        if fault.kind == "restart":
            self._restart(fault.duration_s)
            raise HungUpError
        if fault.kind == "drop":
            raise HungUpError
        if fault.kind == "silence":
            until_s = time.monotonic() + fault.duration_s
            while time.monotonic() < until_s and not self._wire.is_gone():
                time.sleep(min(0.02, fault.duration_s))
            if self._wire.is_gone():
                raise HungUpError
            return
        if words[0] == "WRITE":
            self._read_payload(words[1:])  # it comes in any case
        raise IioError(errno.EBUSY if fault.kind == "busy" else errno.ETIMEDOUT)

    def _version(self, _: list[str]) -> None:
        self._wire.send(f"{VERSION}\n".encode())

    def _print(self, _: list[str]) -> None:
        xml = self._pluto.xml().encode()
        self._wire.send(b"%d\n%s\n" % (len(xml), xml))

    def _timeout(self, words: list[str]) -> None:
        if not words:
            raise IioError(errno.EINVAL)
        self._wire.send_number(
            0
        )  # whatever takes long here is the air's doing, and the client has deadlines of its own

    def _set(self, words: list[str]) -> None:
        if len(words) != 3 or words[1] != "BUFFERS_COUNT":
            raise IioError(errno.EINVAL)
        device, count = self._device(words[0]), _number(words[2])
        if not 1 <= count <= MAX_KERNEL_BUFFERS:
            raise IioError(errno.EINVAL)
        self._pluto.buffer_counts[device.id] = count
        self._wire.send_number(0)

    def _get_trigger(self, words: list[str]) -> None:
        if self._device(words[0] if words else "").id not in (RX, TX):
            raise IioError(errno.ENODEV)
        self._wire.send_number(0)

    def _no_trigger(self, _: list[str]) -> None:
        raise IioError(errno.ENODEV)

    def _read(self, words: list[str]) -> None:
        keys = self._find(words)
        if isinstance(keys, tuple):
            text = self._pluto.attributes.read(keys).encode() + b"\0"
            self._wire.send(b"%d\n%s\n" % (len(text), text))
            return
        parts = []
        for key in keys:
            try:
                value = self._pluto.attributes.read(key).encode() + b"\0"
                parts.append(len(value).to_bytes(4, "big") + value + bytes(-len(value) % 4))
            except IioError as err:
                parts.append((-err.number).to_bytes(4, "big", signed=True))
        every = b"".join(parts)
        self._wire.send(b"%d\n%s\n" % (len(every), every))

    def _write(self, words: list[str]) -> None:
        payload = self._read_payload(words)
        key = self._find(words[:-1])
        if not isinstance(key, tuple):
            raise IioError(errno.ENOSYS)
        self._pluto.attributes.write(key, payload.decode("ascii", "replace"))
        self._wire.send_number(len(payload))

    def _read_payload(self, words: list[str]) -> bytearray:
        try:
            size = _number(words[-1]) if words else -1
        except IioError:
            size = -1
        if not 0 <= size <= MAX_ATTRIBUTE_BYTES:
            self._wire.send_number(-errno.EINVAL)
            raise HungUpError  # what follows cannot be told from commands
        return self._wire.read(size)

    def _find(self, words: list[str]) -> Key | list[Key]:
        """The file that is named; all files of the kind where the last word is missing. Raises IioError."""
        device = self._device(words[0] if words else "")
        kind = words[1] if len(words) > 1 else ""
        if kind in ("INPUT", "OUTPUT"):
            channel = find_channel(device, words[2] if len(words) > 2 else "", output=kind == "OUTPUT")
            if channel is None:
                raise IioError(errno.ENXIO)
            files = dict(channel.files)
            wanted = words[3:]
        elif kind in ("DEBUG", "BUFFER"):
            names = device.debug_attributes if kind == "DEBUG" else device.buffer_attributes
            files = {name: f"{kind.lower()}/{name}" for name in names}
            wanted = words[2:]
        else:
            files = {name: name for name in device.attributes}
            wanted = words[1:]
        if not wanted:
            return [(device.id, file) for file in files.values()]
        if wanted[0] not in files:
            raise IioError(errno.ENOENT)
        return (device.id, files[wanted[0]])

    def _open(self, words: list[str]) -> None:
        if len(words) not in (3, 4) or (len(words) == 4 and words[3] != "CYCLIC"):
            raise IioError(errno.EINVAL)
        device, num_samples, mask = self._device(words[0]), _number(words[1]), words[2]
        if device.id not in (RX, TX):
            raise IioError(errno.EINVAL)
        bits = int(mask, 16) if len(mask) == 8 and set(mask) <= set(hexdigits) else 0
        count = self._pluto.buffer_counts[device.id]
        num_bytes = 4 * num_samples
        if not 0 < bits < 4 or num_samples < 1 or num_bytes > MAX_BUFFER_BYTES:
            raise IioError(errno.EINVAL)
        if num_bytes * count > MAX_KERNEL_BYTES:
            raise IioError(errno.ENOMEM)
        if self._buffer is not None:
            raise IioError(errno.EBUSY)
        self._buffer = self._open_buffer(device, num_samples, count, cyclic=len(words) == 4)
        self._mask, self._channels = bits, tuple(i for i in range(2) if bits >> i & 1)
        self._rest = np.empty(0, dtype=np.int16)
        self._wire.send_number(0)

    def _open_buffer(self, device: Device, num_samples: int, count: int, *, cyclic: bool) -> RxClient | TxBuffer:
        until_s = time.monotonic() + OPEN_RETRY_S
        air, station = self._pluto.air, self._pluto.station
        while True:
            try:
                if device.id == RX:
                    return air.open_rx(station, num_samples, count)
                return air.open_tx(station, num_samples, count, cyclic=cyclic)
            except IioError:
                if time.monotonic() > until_s:
                    raise
            time.sleep(0.002)

    def _close(self, words: list[str]) -> None:
        self._device(words[0] if words else "")
        if self._buffer is None:
            raise IioError(errno.ENXIO)
        self._pluto.air.close_buffer(self._buffer)
        self._buffer = None
        self._wire.send_number(0)

    def _read_buffer(self, words: list[str]) -> None:
        device, size = self._sized(words)
        if not isinstance(self._buffer, RxClient) or device.id != RX:
            raise IioError(errno.EBADF)
        width = 2 * len(self._channels)
        if not width <= size <= MAX_BUFFER_BYTES:
            raise IioError(errno.EINVAL)
        left, mask = size // width * width, b"%08x\n" % self._mask
        while left > 0:
            if self._rest.size == 0:
                block = self._buffer.read(self._wire.is_gone)
                self._rest = block if len(self._channels) == 2 else block[self._channels[0] :: 2].copy()
            chunk = self._rest[: left // 2]
            self._rest = self._rest[chunk.size :]
            self._wire.send(b"%d\n%s" % (chunk.nbytes, mask))
            self._wire.send(chunk.data)
            left -= chunk.nbytes
            mask = b""

    def _write_buffer(self, words: list[str]) -> None:
        device, size = self._sized(words)
        if not isinstance(self._buffer, TxBuffer) or device.id != TX:
            raise IioError(errno.EBADF)
        width = 2 * len(self._channels)
        if not width <= size <= MAX_BUFFER_BYTES or size % width:
            raise IioError(errno.EINVAL)
        self._wire.send_number(0)
        left = size
        while left > 0:
            data = self._wire.read(min(left, width * self._buffer.num_samples))
            self._buffer.push(self._both_channels(np.frombuffer(data, dtype="<i2")), self._wire.is_gone)
            left -= len(data)
        self._wire.send_number(size)

    def _both_channels(self, sent: Words) -> Words:
        """Words [2N], with zeros for a channel that is not enabled."""
        if len(self._channels) == 2:
            return sent
        words = np.zeros(2 * sent.size, dtype=np.int16)
        words[self._channels[0] :: 2] = sent
        return words

    def _sized(self, words: list[str]) -> tuple[Device, int]:
        if len(words) != 2:
            raise IioError(errno.EINVAL)
        return self._device(words[0]), _number(words[1])

    def _device(self, name: str) -> Device:
        device = find_device(name)
        if device is None:
            raise IioError(errno.ENODEV)
        return device


def _number(text: str) -> int:
    """A decimal number of at most 12 digits; raises IioError."""
    if not text.isascii() or not text.isdigit() or len(text) > 12:
        raise IioError(errno.EINVAL)
    return int(text)
