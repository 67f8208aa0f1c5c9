"""Which recorded channels are meant, in one line: FORMAT:PATH, or FORMAT:PATH?KEY=VALUE&KEY=VALUE."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from radio.errors import RadioConfigError

OPTIONS: dict[str, tuple[str, ...]] = {
    "sionna": ("access_point", "devices", "rx_antenna", "tx_antenna", "step_s", "sha256"),
    "deepmimo": ("access_point", "receivers", "devices"),
    "matlab": ("variable", "access_point", "devices", "rate_hz", "sha256"),
    "csv": ("devices", "sha256"),
}
"""Format → what may be asked of it."""
MAX_DEVICES = 10_000


@dataclass(frozen=True, slots=True)
class Source:
    """A file, or folder, and what of it."""

    format: str
    path: str
    options: Mapping[str, str]

    def whole(self, name: str) -> int | None:
        """A whole number from 0 on, or None if it is not given. Raises RadioConfigError."""
        text = self.options.get(name)
        if text is None:
            return None
        if not (text.isascii() and text.isdigit() and len(text) < 10):
            raise self.refused(f"{name}: got {text!r}", "a whole number from 0 on", f"as {name}=3")
        return int(text)

    def number(self, name: str) -> float | None:
        """A number above 0, or None if it is not given. Raises RadioConfigError."""
        text = self.options.get(name)
        if text is None:
            return None
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if not 0 < value < math.inf:
            raise self.refused(f"{name}: got {text!r}", "a number above 0", f"as {name}=1e6")
        return value

    @property
    def devices(self) -> tuple[int, ...] | None:
        """Which of the file's nodes are the rig's devices, in their order; None: all. Raises RadioConfigError."""
        text = self.options.get("devices")
        if text is None:
            return None
        found: list[int] = []
        for part in text.split(","):
            first, dash, last = part.partition("-")
            ends = (first, last) if dash else (first, first)
            if not all(end.isascii() and end.isdigit() and len(end) < 10 for end in ends):
                raise self.refused(f"devices: got {text!r}", "numbers and ranges", "as devices=0-4 or devices=3,1,7")
            if int(ends[1]) - int(ends[0]) >= MAX_DEVICES:
                raise self.refused(f"devices: got {text!r}", f"at most {MAX_DEVICES}", "name fewer")
            found += range(int(ends[0]), int(ends[1]) + 1)
        if not found or len(set(found)) < len(found):
            raise self.refused(f"devices: got {text!r}", "each node once", "as devices=0-4 or devices=3,1,7")
        return tuple(found)

    def refused(self, what: str, allowed: str, remedy: str) -> RadioConfigError:
        """What to raise."""
        return RadioConfigError(f"air.channel: {self.path!r}: {what}; allowed: {allowed}; {remedy}")


def parse(text: str) -> Source:
    """Raises RadioConfigError for another form, format or option."""
    kind, colon, rest = text.partition(":")
    if not colon or kind not in OPTIONS or not rest:
        raise RadioConfigError(
            f"air.channel: got {text!r}; allowed: {', '.join(OPTIONS)} and a path, as sionna:channels.h5; name the "
            "format in front"
        )
    path, _, asked = rest.partition("?")
    options: dict[str, str] = {}
    for part in asked.split("&") if asked else []:
        key, equals, value = part.partition("=")
        if key not in OPTIONS[kind] or not equals or not value or key in options:
            raise RadioConfigError(
                f"air.channel: got {part!r} behind {path!r}; allowed of {kind}: {', '.join(OPTIONS[kind])}, each once "
                f"and with a value; as {kind}:{path}?{OPTIONS[kind][0]}=0"
            )
        options[key] = value
    return Source(kind, path, options)
