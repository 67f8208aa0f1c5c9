"""The few registers that software peeks at: overflow of the receive core, underflow of the transmit core."""

from __future__ import annotations

import errno
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from radio.virtual_pluto.bench.chip import IioError

STATUS = 0x80000088
OVERFLOW, UNDERFLOW = 4, 1


@dataclass(frozen=True, slots=True)
class StatusBit:
    """A bit of a core's status register; writing it clears it."""

    mask: int
    is_set: Callable[[], bool]
    clear: Callable[[], None]


class Registers:
    """`direct_reg_access` of every device: write an address and read its value, or write address and value."""

    def __init__(self, status: Mapping[str, StatusBit]) -> None:
        """`status` has the bit of each device's status register that means something."""
        self._status = status
        self._address: dict[str, int] = {}
        self._values: dict[tuple[str, int], int] = {}

    def read(self, device: str) -> str:
        """Value of the register that was addressed last."""
        address = self._address.get(device, 0)
        value = self._values.get((device, address), 0)
        if address == STATUS and device in self._status:
            bit = self._status[device]
            value = bit.mask if bit.is_set() else 0
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
        if len(numbers) == 1:
            return
        address, value = numbers
        if address == STATUS and device in self._status:
            if value & self._status[device].mask:
                self._status[device].clear()
        elif len(self._values) < 4096:
            self._values[device, address] = value
