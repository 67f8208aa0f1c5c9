"""Rows of any source as examples, checked: which columns a template needs, and where a row that lacks one stands."""

import re
from collections.abc import Iterable
from dataclasses import dataclass

from learner.errors import TaskError
from learner.tasks.templates import Row, Template

PlacedRow = tuple[Row, str]
"""A row, and where it stands."""


@dataclass(frozen=True, slots=True)
class Example:
    """One text, its label or answer as written, and where it was read ("train.tsv:17")."""

    text: str
    label: str
    place: str
    columns: tuple[tuple[str, str], ...] = ()
    """What else the prompt names."""
    answers: tuple[str, ...] = ()
    """All accepted answers, of which `label` is the first; empty where there is one."""


@dataclass(frozen=True, slots=True)
class Part:
    """Examples of one source."""

    examples: tuple[Example, ...]
    source: str
    remarks: tuple[str, ...] = ()
    """What should be known about them, in sentences."""


@dataclass(frozen=True, slots=True)
class Examples:
    """Training and evaluation examples, and which source each came from."""

    train: tuple[Example, ...]
    test: tuple[Example, ...]
    train_source: str
    test_source: str
    remarks: tuple[str, ...] = ()

    @classmethod
    def of(cls, train: Part, test: Part) -> "Examples":
        """Both parts, as they are."""
        return cls(train.examples, test.examples, train.source, test.source, train.remarks + test.remarks)


class Layout:
    """Which columns of a row are needed, and what for."""

    def __init__(self, template: Template) -> None:
        self.template = template
        self.columns = [name for name in re.findall(r"\{(\w+)\}", template.prompt) if name != "text"]
        self.keys = [("text_key", template.text_key)]
        if template.kind != "text":
            self.keys.append(("label_key", template.label_key))
        self.keys += [("", name) for name in self.columns]

    def example(self, row: Row, place: str) -> Example:
        """One row as an example; TaskError names the place, and the column that is missing or malformed."""
        for setting, key in self.keys:
            if key not in row:
                remedy = f"set task.{setting} to one of these" if setting else "correct task.prompt or the data"
                raise TaskError(f"{place}: no key {key!r}, found {sorted(map(str, row))}; {remedy}")
        template = self.template
        columns = tuple((name, _text(row[name], name, place)) for name in self.columns)
        text = _text(row[template.text_key], template.text_key, place)
        if template.kind == "text":
            return Example(text, "", place)
        label = row[template.label_key]
        answers: tuple[str, ...] = ()
        if template.kind == "completion" and isinstance(label, dict | list):
            found = label.get("text", ()) if isinstance(label, dict) else label  # as SQuAD has it, or a plain list
            answers = tuple(_text(answer, template.label_key, place) for answer in found)
            if not answers and template.no_answer is not None:
                answers = (template.no_answer,)
            label = answers[0] if answers else None
        if not isinstance(label, str | int) or label == "" or not _is_text(str(label)):
            raise TaskError(
                f"{place}: malformed row, {template.label_key!r} is {shorten(label)}; expected "
                "text or a whole number; "
                "correct or remove the row"
            )
        return Example(text, str(label).strip(), place, columns, answers)

    def read(self, rows: Iterable[PlacedRow], source: str) -> Part:
        """All rows of a source but those whose text is empty, which are counted; TaskError if none is left."""
        found = []
        num_empty = 0
        text_key = self.template.text_key
        for row, place in rows:
            text = row.get(text_key)
            if isinstance(text, str) and not text.strip():
                num_empty += 1
            else:
                found.append(self.example(row, place))
        left_out = f"{source}: {num_empty} rows with an empty {text_key!r} are left out"
        if not found:
            why = f" ({left_out})" if num_empty else ""
            raise TaskError(
                f"{source} is empty{why}; at least one example is needed; add examples or correct task.path"
            )
        return Part(tuple(found), source, (left_out,) if num_empty else ())

    def numbered(self, rows: Iterable[Row], source: str) -> Part:
        """The same of a source that is no file, numbered from 0."""
        return self.read(((row, f"{source}:{n}") for n, row in enumerate(rows)), source)


def shorten(value: object, num_characters: int = 60) -> str:
    """How an error shows a value."""
    try:
        written = repr(value.strip() if isinstance(value, str) else value)
    except (RecursionError, ValueError):  # nested deeply, or an integer of thousands of digits
        written = f"a {type(value).__name__} too large to show"
    return written if len(written) <= num_characters else written[:num_characters] + "…"


def _is_text(value: str) -> bool:
    """Whether it can be written as UTF-8: no half of a surrogate pair, which no tokenizer takes."""
    return value.isascii() or not any("\ud800" <= character <= "\udfff" for character in value)


def _text(value: object, key: str, place: str) -> str:
    if not isinstance(value, str) or not value.strip() or not _is_text(value):
        raise TaskError(
            f"{place}: malformed row, {key!r} is {shorten(value)}; expected a sentence; correct or remove the row"
        )
    return value
