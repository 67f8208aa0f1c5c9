"""The base of all settings of the radio layer: strict, frozen, with ranges checked also when built in Python."""

from __future__ import annotations

import math
from functools import cache
from typing import Any, Literal, get_args, get_origin, get_type_hints

import msgspec

from radio.errors import RadioConfigError


class Checked(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Applies the ranges of the annotations to records built in Python too, where msgspec does not."""

    def __post_init__(self) -> None:
        for name, allowed, meta in _rules(type(self)):
            value = getattr(self, name)
            if allowed and value not in allowed:
                raise RadioConfigError(f"{name}: got {value!r}; allowed: {', '.join(allowed)}")
            if meta is not None and not _within(value, meta):
                raise RadioConfigError(f"{name}: got {value!r}; allowed: {_range_text(meta)}")


@cache
def _rules(record: type[Checked]) -> list[tuple[str, tuple[str, ...], msgspec.Meta | None]]:
    rules = []
    for name, hint in get_type_hints(record, include_extras=True).items():
        allowed = get_args(hint) if get_origin(hint) is Literal else ()
        metas = [extra for extra in get_args(hint)[1:] if isinstance(extra, msgspec.Meta)]
        rules.append((name, allowed, metas[0] if metas and not allowed else None))
    return rules


def _within(value: Any, meta: msgspec.Meta) -> bool:
    return (
        isinstance(value, (int, float))
        and not math.isnan(value)
        and (meta.gt is None or value > meta.gt)
        and (meta.ge is None or value >= meta.ge)
        and (meta.le is None or value <= meta.le)
        and (meta.multiple_of is None or value % meta.multiple_of == 0)
    )


def _range_text(meta: msgspec.Meta) -> str:
    limits = ((">", meta.gt), (">=", meta.ge), ("<=", meta.le), ("a multiple of", meta.multiple_of))
    return "a number " + " and ".join(f"{sign} {limit:g}" for sign, limit in limits if limit is not None)
