"""The base of settings: strict, frozen records whose ranges hold however they are built, from TOML or in Python."""

from __future__ import annotations

import math
from functools import cache
from numbers import Integral
from typing import Any, ClassVar

import msgspec

from radio.allowed import hints_of, refusal
from radio.errors import RadioConfigError


class Checked(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Holds what its annotations allow. Lists become tuples, whole numbers become floats where floats are asked for,
    as from TOML. Records with checks across fields call ``super().__post_init__()`` first."""

    refuses_with: ClassVar[type[Exception]] = RadioConfigError
    """What a bad setting raises; a ValueError too, so that msgspec reports it with its key path."""

    def __post_init__(self) -> None:
        given = {name: _plain(getattr(self, name)) for name in self.__struct_fields__}
        try:
            kept = msgspec.convert(given, _unchecked(type(self)))
        except msgspec.ValidationError as err:
            raise self.refuses_with(str(refusal(err, given, type(self)))) from err
        for name in self.__struct_fields__:
            value = getattr(kept, name)
            if isinstance(value, float) and math.isnan(value):  # no comparison refuses it
                raise self.refuses_with(f"{name}: got nan; allowed: a number")
            msgspec.structs.force_setattr(self, name, value)


@cache
def _unchecked(record: type[Checked]) -> type[msgspec.Struct]:
    """A record of the same fields, which msgspec checks when it converts to it."""
    return msgspec.defstruct(record.__name__, list(hints_of(record).items()))


def _plain(value: Any) -> Any:
    """NumPy's numbers as Python's."""
    if isinstance(value, Integral) and not isinstance(value, bool):
        return int(value)
    return float(value) if isinstance(value, float) else value
