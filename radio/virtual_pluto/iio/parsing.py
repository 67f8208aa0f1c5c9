"""Reads what clients write into attributes, as strictly as the kernel; all raise IioError(EINVAL)."""

from __future__ import annotations

import errno

from radio.virtual_pluto.bench.chip import IioError


def choice(allowed: str, text: str) -> str:
    """One of the words; raises IioError."""
    if text not in allowed.split():
        raise IioError(errno.EINVAL)
    return text


def boolean(text: str) -> bool:
    """As the kernel reads it: 1, y, t, on; 0, n, f, off; raises IioError."""
    lower = text.lower()
    if lower[:1] in ("1", "y", "t") or lower == "on":
        return True
    if lower[:1] in ("0", "n", "f") or lower == "off":
        return False
    raise IioError(errno.EINVAL)


def integer(text: str, low: int, high: int) -> int:
    """Decimal, or hexadecimal behind 0x; raises IioError outside the range."""
    try:
        value = int(text, 0) if len(text) <= 24 else None
    except ValueError:
        value = None
    if value is None or not low <= value <= high:
        raise IioError(errno.EINVAL)
    return value


def number(text: str, low: float = -1e9, high: float = 1e9) -> float:
    """A decimal number; raises IioError outside the range."""
    try:
        value = float(text) if len(text) <= 32 else low - 1
    except ValueError:
        raise IioError(errno.EINVAL) from None
    if not low <= value <= high:
        raise IioError(errno.EINVAL)
    return value
