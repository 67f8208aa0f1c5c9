"""What an access point's receiver remembers between two rounds, as a record that can be written down and taken up.

Bit for bit: numbers are float64 as they are, None for NaN, so that equal memories are equal; what there is one of for
each device or capture is packed.
"""

from __future__ import annotations

import math
from typing import Annotated

import msgspec

from radio.errors import SignalError

Count = Annotated[int, msgspec.Meta(ge=0)]


class Part(msgspec.Struct, frozen=True, kw_only=True, array_like=True, forbid_unknown_fields=True):
    """Base of the parts; written without names of fields, since there is one record a round."""


class Mean(Part, frozen=True):
    """Of a `NoiseMeter`."""

    power: float | None
    num_captures: Count


class InBand(Part, frozen=True):
    """Of an `InBandMeter`."""

    energy: float
    num_dimensions: Count
    recent: bytes
    """The latest captures, oldest first, each energy '<f8' and dimensions '<u4'."""


class Values(Part, frozen=True):
    """Of a `ValueMeter`."""

    clip: float | None
    weight: float
    mean_square: float | None


class ReceiverMemory(Part, frozen=True):
    """All that decides later rounds at a receiver; a link that recalls it goes on as if it had never stopped."""

    clock_samples: Count
    """The radio's count. A simulated air has to go on from there; a radio counts anew, and then `starts` is void."""
    noise: Mean
    in_band: InBand
    link_power: Mean
    values: Values
    starts: bytes | None = None
    """Distances between the counts of devices, each device and samples '<i8'; None where nobody counts."""
    carriers: bytes | None = None
    """Of the devices in order, offset and its variance '<f8'; None where they cannot change."""


def known(number: float) -> float | None:
    """None of what is not known yet, which meters hold as NaN."""
    return None if math.isnan(number) else float(number)


def number_of(known: float | None) -> float:
    """As meters hold it."""
    return math.nan if known is None else known


def unpacked(packed: bytes, item_bytes: int, what: str) -> bytes:
    """The same, if it is a whole number of items. Raises SignalError."""
    if len(packed) % item_bytes:
        raise SignalError(
            f"{what}: got {len(packed)} bytes of memory; allowed: a multiple of {item_bytes}; restore what was written"
        )
    return packed
