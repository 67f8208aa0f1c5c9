"""The few registers that software peeks at: overflow of the receive core, underflow of the transmit core."""

from __future__ import annotations

import errno
from collections.abc import Callable

from radio.virtual_pluto.chip import IioError
from radio.virtual_pluto.context import RX

STATUS = 0x80000088
OVERFLOW = 4


class Registers:
    """`direct_reg_access` of every device: write an address and read its value, or write address and value."""

    def __init__(self, overflowed: Callable[[], bool], clear_overflow: Callable[[], None]) -> None:
        self._overflowed = overflowed
        self._clear_overflow = clear_overflow
        self._address: dict[str, int] = {}
        self._values: dict[tuple[str, int], int] = {}

    def read(self, device: str) -> str:
        """Value of the register that was addressed last."""
        address = self._address.get(device, 0)
        value = self._values.get((device, address), 0)
        if (device, address) == (RX, STATUS):
            value = value & ~OVERFLOW | (OVERFLOW if self._overflowed() else 0)
        return f"0x{value:X}"

    def write(self, device: str, text: str) -> None:
        """An address, or an address and a value; raises IioError."""
        words = text.split()
        try:
            numbers = [int(word, 0) for word in words if len(word) <= 20]
        except ValueError:
            raise IioError(errno.EINVAL) from None
        if len(numbers) != len(words) or not 1 <= len(numbers) <= 2 or not all(0 <= n < 1 << 32 for n in numbers):
            raise IioError(errno.EINVAL)
        self._address[device] = numbers[0]
        if len(numbers) == 2 and len(self._values) < 4096:
            if (device, numbers[0]) == (RX, STATUS) and numbers[1] & OVERFLOW:
                self._clear_overflow()
            else:
                self._values[device, numbers[0]] = numbers[1]
