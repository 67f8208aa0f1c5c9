"""What a setting may be, in words: from a record's annotations and from what msgspec refused."""

from __future__ import annotations

import difflib
import re
import types
from collections.abc import Collection, Mapping
from functools import cache
from typing import Annotated, Any, Literal, NamedTuple, Union, get_args, get_origin, get_type_hints

import msgspec

MAX_SHOWN = 80
_UNITS = {
    "_hz": "Hz",
    "_dbfs": "dBFS",
    "_dbm": "dBm",
    "_db": "dB",
    "_ms": "ms",
    "_s": "s",
    "_ppm": "ppm",
    "_samples": "samples",
}
"""By the end of a key."""
_PREFIXES = {"": 1.0, "G": 1e9, "M": 1e6, "k": 1e3, "m": 1e-3, "u": 1e-6, "µ": 1e-6, "n": 1e-9}
_WORDS: dict[Any, str] = {
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    str: "text",
    Any: "anything",
}


class Refusal(NamedTuple):
    """Where a table does not fit its record, and why."""

    keys: tuple[str, ...]
    """The way to the key, from the record on."""
    text: str
    """What was got and what is allowed."""

    def __str__(self) -> str:
        return f"{dotted(self.keys)}: {self.text}" if self.keys else self.text


def refusal(err: msgspec.ValidationError, table: Any, record: type) -> Refusal:
    """What msgspec refused when it converted ``table`` to ``record``, as key, value and what is allowed."""
    text, *where = re.split(r" - at (`key` in )?`\$", str(err))
    path = where[1] if where else ""
    keys = _named(record, table, re.findall(r"\.\.\.|[^.\[\]`]+", path))
    hint, value = _walk(record, table, keys)
    if where and where[0] is not None and (kinds := _table(hint)) is not None:
        return Refusal(keys, f"got the key {shown(_refused_key(value, kinds[0]))}; allowed: {allowed(kinds[0])}")
    if unknown := re.match(r"Object contains unknown field `(.*)`", text):
        return Refusal((*keys, unknown[1]), f"unknown key; {suggestion(unknown[1], msgspec.structs.fields(hint))}")
    if missing := re.match(r"Object missing required field `(.*)`", text):
        return Refusal((*keys, missing[1]), f"got nothing; allowed: {allowed(_field(hint, missing[1]))}; add it")
    if isinstance(err.__cause__, ValueError):  # a record's own check, which begins with the key if it is about one
        own = str(err.__cause__)
        first, colon, rest = own.partition(": ")
        return Refusal((*keys, *first.split(".")), rest) if colon and _is_key(hint, first) else Refusal(keys, own)
    near = (
        nearest(value, choices(hint)) or _without_unit(keys[-1] if keys else "", value)
        if isinstance(value, str)
        else ""
    )
    return Refusal(keys, f"got {shown(value)}; allowed: {allowed(hint)}{near}")


def dotted(keys: Collection[str]) -> str:
    """Keys as they are written: ``virtual.faults[0].kind``."""
    return re.sub(r"\.(\d+|\.\.\.)(?=\.|$)", r"[\1]", ".".join(keys))


def shown(value: Any) -> str:
    """A value as text, cut where it is long."""
    if isinstance(value, msgspec.Struct):
        return f"a {type(value).__name__}"
    text = repr(value)
    return text if len(text) <= MAX_SHOWN else f"{text[: MAX_SHOWN - 1]}…"


def suggestion(name: str, names: Collection[str] | tuple[msgspec.structs.FieldInfo, ...]) -> str:
    """All that is allowed, and which of it ``name`` is nearest to."""
    known = [each if isinstance(each, str) else each.encode_name for each in names]
    return f"allowed: {', '.join(known)}{nearest(name, known)}"


def nearest(name: str, names: Collection[str]) -> str:
    """``; did you mean 'x'?``, or nothing if no name is near."""
    near = difflib.get_close_matches(name, names, n=1)
    return f"; did you mean {near[0]!r}?" if near else ""


def allowed(hint: Any) -> str:
    """What a field of this type may be: type, range, choices."""
    origin, arguments = get_origin(hint), get_args(hint)
    if origin is Annotated:
        metas = [extra for extra in arguments[1:] if isinstance(extra, msgspec.Meta)]
        described = [meta.description for meta in metas if meta.description]
        if described:
            return described[0]
        return allowed(arguments[0]) + "".join(_limits(meta, arguments[0]) for meta in metas)
    if origin is Literal:
        return ", ".join(map(str, arguments))
    if origin in (Union, types.UnionType):
        return ", ".join("or absent" if each is type(None) else allowed(each) for each in arguments)
    if origin is tuple:
        return f"a list of {_each(arguments[0])}"
    if origin is dict:
        return f"a table of {_each(arguments[1])}"
    if isinstance(hint, type) and issubclass(hint, msgspec.Struct):
        return f"a section of {', '.join(field.encode_name for field in msgspec.structs.fields(hint))}"
    return _WORDS.get(hint, str(hint))


def choices(hint: Any) -> tuple[str, ...]:
    """The words of a closed list, also of one that may be absent; else nothing."""
    if get_origin(hint) is Literal:
        return tuple(each for each in get_args(hint) if isinstance(each, str))
    return tuple(word for each in get_args(hint) for word in choices(each)) if get_origin(hint) is not None else ()


def record_of(hint: Any) -> type[msgspec.Struct] | None:
    """The record in a field's type: itself, of a list's entries, or one that may be absent."""
    if isinstance(hint, type) and issubclass(hint, msgspec.Struct):
        return hint
    return next((found for each in get_args(hint) if (found := record_of(each)) is not None), None)


@cache
def hints_of(record: type) -> Mapping[str, Any]:
    """The fields' types, with their ranges."""
    return get_type_hints(record, include_extras=True)


def _without_unit(key: str, value: str) -> str:
    """How a number with a unit is to be written where the key says the unit; nothing for all else."""
    parts = re.fullmatch(r"([-+]?\d*\.?\d+(?:e[-+]?\d+)?)\s*([A-Za-zµ%°]+)", value.strip())
    unit = next((unit for suffix, unit in _UNITS.items() if key.endswith(suffix)), None)
    if parts is None or unit is None or not parts[2].lower().endswith(unit.lower()):
        return f"; in {unit}, as a number alone" if parts is not None and unit is not None else ""
    scale = _PREFIXES.get(parts[2][: -len(unit)])
    return f"; in {unit}, as {float(parts[1]) * scale:g}" if scale is not None else f"; in {unit}, as a number alone"


def _each(hint: Any) -> str:
    inner = record_of(hint)
    if hint is Any:
        return "anything"
    return "texts" if hint is str else allowed(hint).replace("a section", "sections") if inner else f"({allowed(hint)})"


def _limits(meta: msgspec.Meta, of: Any) -> str:
    signs = ((">", meta.gt), (">=", meta.ge), ("<", meta.lt), ("<=", meta.le), ("a multiple of", meta.multiple_of))
    parts = [f"{sign} {_number(limit)}" for sign, limit in signs if limit is not None]
    unit = "characters" if of is str else "entries"
    if meta.min_length == 1 and of is str:
        parts.append("that is not empty")
    elif meta.min_length is not None:
        parts.append(f"of at least {meta.min_length} {unit}")
    if meta.max_length is not None:
        parts.append(f"of at most {meta.max_length} {unit}")
    if meta.pattern is not None:
        parts.append(f"that matches {meta.pattern}")
    return " " + " and ".join(parts) if parts else ""


def _number(limit: float) -> str:
    if not isinstance(limit, int):
        return f"{limit:.10g}"
    return f"2**{limit.bit_length() - 1}" if limit >= 1 << 24 and limit.bit_count() == 1 else str(limit)


def _named(record: Any, table: Any, keys: Collection[str]) -> tuple[str, ...]:
    """The way with the names of tables' entries, which msgspec leaves out."""
    named: list[str] = []
    for key in keys:
        if key == "...":
            hint, value = _walk(record, table, named)
            kinds = _table(hint)
            if kinds is not None and isinstance(value, dict):
                key = next((str(name) for name, each in value.items() if not _fits(each, kinds[1])), key)
        named.append(key)
    return tuple(named)


def _refused_key(table: Any, kind: Any) -> Any:
    return next((name for name in table if not _fits(name, kind)), None) if isinstance(table, dict) else None


def _fits(value: Any, hint: Any) -> bool:
    try:
        msgspec.convert(value, hint)
    except msgspec.ValidationError:
        return False
    return True


def _walk(record: Any, table: Any, keys: Collection[str]) -> tuple[Any, Any]:
    """The type and the value at the end of the way."""
    hint, value = record, table
    for key in keys:
        if (kinds := _table(hint)) is not None:
            hint = kinds[1]
            value = value.get(key) if isinstance(value, dict) else None
        elif key.isdigit():
            value = value[int(key)] if isinstance(value, (list, tuple)) and int(key) < len(value) else value
            hint = get_args(_bare(hint))[0]
        else:
            inner = record_of(hint)
            hint = _field(inner, key) if inner is not None else hint
            value = value.get(key) if isinstance(value, dict) else getattr(value, key, None)
    is_record = record_of(hint) is not None and get_origin(hint) is not tuple and _table(hint) is None
    return record_of(hint) if is_record and isinstance(value, dict) else hint, value


def _table(hint: Any) -> tuple[Any, Any] | None:
    """What a table's keys and values are; None of what is no table."""
    while get_origin(hint) in (Annotated, Union, types.UnionType):
        hint = next(each for each in get_args(hint) if each is not type(None))
    return get_args(hint) if get_origin(hint) is dict else None


def _bare(hint: Any) -> Any:
    """A list's or table's type without its range, and without that it may be absent."""
    while get_origin(hint) not in (tuple, dict):
        hint = next(each for each in get_args(hint) if each is not type(None))
    return hint


def _field(record: Any, name: str) -> Any:
    return hints_of(record)[name]


def _is_key(record: Any, text: str) -> bool:
    """Whether a text is a field of the record, or a dotted one of a record below."""
    first, dot, rest = text.partition(".")
    if not (isinstance(record, type) and first in hints_of(record)):
        return False
    return not dot or _is_key(record_of(hints_of(record)[first]), rest)
