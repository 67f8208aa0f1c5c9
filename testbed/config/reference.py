"""Every key of rigs and experiments, read from the records themselves: type, range, unit, default, meaning."""

from __future__ import annotations

import ast
import inspect
import json
import math
import re
import textwrap
import types
from collections.abc import Iterator
from functools import cache
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import msgspec

from radio.allowed import allowed, hints_of, record_of, suggestion
from testbed.config.names import NAMES
from testbed.config.schema import Experiment, Rig
from testbed.errors import ConfigError
from testbed.plugins import known

_UNITS = {
    "hz": "Hz", "s": "s", "ms": "ms", "db": "dB", "dbfs": "dBFS", "dbm": "dBm", "dbc": "dBc", "ppm": "ppm",
    "deg": "degrees", "samples": "samples", "symbols": "symbols", "bits": "bits", "rounds": "rounds",
    "tokens": "tokens", "bytes": "bytes", "mib": "MiB",
}  # fmt: skip
_KINDS = {bool: "true or false", int: "whole number", float: "number", str: "text"}


class Key(msgspec.Struct, frozen=True, kw_only=True):
    """One key of a file."""

    key: str
    """As `--set` writes it."""
    type: str
    allowed: str
    """Range or choices, in words."""
    unit: str
    """From the name's ending; empty if it has none."""
    default: str
    """As TOML writes it, or "absent" or "required"."""
    meaning: str


class Section(msgspec.Struct, frozen=True, kw_only=True):
    """Keys that are written under one heading."""

    name: str
    """As in TOML: "air.transmitter"; of the keys above all headings, "rig" or "experiment"."""
    file: Literal["rig", "experiment"]
    meaning: str
    keys: tuple[Key, ...]


def sections() -> tuple[Section, ...]:
    """All of them, rigs first, in the order of the records."""
    return (*_sections(Rig, "rig"), *_sections(Experiment, "experiment"))


def find(name: str) -> tuple[Section, ...]:
    """A section with those below it, or one key as a section of its own. Raises ConfigError with what there is."""
    every = sections()
    below = tuple(each for each in every if each.name == name or each.name.startswith((f"{name}.", f"{name}[")))
    if below:
        return below
    for each in every:
        keys = tuple(key for key in each.keys if key.key == name)
        if keys:
            return (msgspec.structs.replace(each, keys=keys),)
    there = [each.name for each in every]
    near = suggestion(name, [*there, *(key.key for each in every for key in each.keys)]).rpartition("; did you mean ")
    hint = f"; did you mean {near[2]}" if near[1] else ""
    raise ConfigError(f"config: got {name!r}; allowed: one of {', '.join(there)}, or a key of these{hint}")


def overview() -> str:
    """The sections, one a line."""
    every = sections()
    width = max(len(each.name) for each in every)
    parts = []
    for file in ("rig", "experiment"):
        lines = [
            f"  {each.name:<{width}}  {len(each.keys):2}  {each.meaning.partition('. ')[0].rstrip('.')}"
            for each in every
            if each.file == file
        ]
        parts.append(f"Sections of {'a rig' if file == 'rig' else 'an experiment'}, and how many keys each has:\n\n")
        parts.append("\n".join(lines) + "\n\n")
    return "".join(parts) + "`testbed config SECTION` explains the keys of one; `--set SECTION.KEY=VALUE` changes one."


def text(shown: tuple[Section, ...], *, width: int = 100) -> str:
    """Sections for a terminal."""
    blocks = []
    for section in shown:
        blocks.append(textwrap.fill(f"[{section.name}]  {section.meaning}", width))
        for key in section.keys:
            unit = f" ({key.unit})" if key.unit else ""
            lines = (f"allowed: {key.allowed}{unit}", f"default: {key.default}", key.meaning)
            wrapped = [textwrap.fill(line, width, initial_indent="    ", subsequent_indent="      ") for line in lines]
            blocks.append("\n".join([key.key, *wrapped]))
    return "\n\n".join(blocks)


def markdown() -> str:
    """docs/configuration.md."""
    parts = [
        "# Configuration\n\nEvery key of rigs (`hardware_configs/*.toml`) and experiments "
        "(`testbed/experiments/*.toml`). `--set SECTION.KEY=VALUE` overrides one of either; `testbed config SECTION` "
        "prints the same as here.\n\nThis page is generated from the records: "
        "`testbed config --markdown > docs/configuration.md`.\n"
    ]
    for section in sections():
        if section.name in ("rig", "experiment"):
            parts.append(f"\n## {'Rigs' if section.name == 'rig' else 'Experiments'}\n\n{section.meaning}\n\n")
        else:
            parts.append(f"\n### `[{section.name}]`\n\n{section.meaning}\n\n")
        parts.append("| key | allowed | unit | default | meaning |\n|---|---|---|---|---|\n")
        parts += [
            f"| `{key.key}` | {_cell(key.allowed)} | {key.unit} | `{key.default}` | {_cell(key.meaning)} |\n"
            for key in section.keys
        ]
    return "".join(parts)


_ONE_OF_SEVERAL: dict[object, str] = {tuple: "[]", dict: ".NAME"}


def _sections(record: type, file: Literal["rig", "experiment"], name: str = "") -> Iterator[Section]:
    meanings, below, keys = _meanings(record), [], []
    for field in msgspec.structs.fields(record):
        hint, dotted = hints_of(record)[field.name], f"{name}.{field.name}".removeprefix(".")
        inner = record_of(hint)
        if inner is None or get_origin(hint) is tuple:
            keys.append(_key(dotted, hint, field, meanings.get(field.name, "")))
        if inner is not None:
            below.append(_sections(inner, file, dotted + _ONE_OF_SEVERAL.get(get_origin(hint), "")))
    yield Section(name=name or file, file=file, meaning=_prose(inspect.getdoc(record) or ""), keys=tuple(keys))
    for each in below:
        yield from each


def _key(dotted: str, hint: Any, field: msgspec.structs.FieldInfo, meaning: str) -> Key:
    names = known(NAMES[dotted]) if dotted in NAMES else None
    return Key(
        key=dotted,
        type="name" if names is not None else _type(hint),
        allowed=f"{', '.join(names)}, or a plug-in's" if names is not None else allowed(hint),
        unit=_unit(field.name),
        default=_default(field),
        meaning=_prose(meaning),
    )


def _type(hint: Any) -> str:
    origin, arguments = get_origin(hint), get_args(hint)
    if origin is Annotated:
        return _type(arguments[0])
    if origin in (Union, types.UnionType):
        return " or ".join(_type(each) for each in arguments if each is not type(None))
    if origin is Literal:
        return "choice"
    return {tuple: "list", dict: "table"}.get(origin, _KINDS.get(hint, "section")) if origin else _KINDS.get(hint, "")


def _unit(name: str) -> str:
    *_, last = re.sub(r"_(min|max)$", "", name).split("_")
    return _UNITS.get(last, "") if "_" in name else ""


def _default(field: msgspec.structs.FieldInfo) -> str:
    if field.required:
        return "required"
    value = field.default if field.default is not msgspec.NODEFAULT else field.default_factory()
    if value is None:
        return "absent"
    if isinstance(value, float):
        return str(value) if math.isfinite(value) else f"{value:g}"
    return json.dumps(list(value) if isinstance(value, tuple) else value, ensure_ascii=False)


@cache
def _meanings(record: type) -> dict[str, str]:
    """The text under each field, from the source of the class and its bases."""
    found: dict[str, str] = {}
    for cls in reversed(record.__mro__):
        if not (issubclass(cls, msgspec.Struct) and cls.__struct_fields__):
            continue
        body = ast.parse(textwrap.dedent(inspect.getsource(cls))).body[0]
        assert isinstance(body, ast.ClassDef)
        for field, under in zip(body.body, body.body[1:], strict=False):
            if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name) and isinstance(under, ast.Expr):
                found[field.target.id] = str(ast.literal_eval(under.value))
    return found


def _prose(words: str) -> str:
    return " ".join(words.replace("``", "`").split())


def _cell(words: str) -> str:
    return words.replace("|", "\\|")
