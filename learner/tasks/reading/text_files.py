"""Rows of text files, by what their names end in; each may be compressed (.gz)."""

import csv
import gzip
import json
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import TextIO

from learner.errors import TaskError
from learner.tasks.rows import Layout, PlacedRow, shorten
from learner.tasks.templates import Row


def read_text_file(path: Path, suffix: str, layout: Layout) -> Iterator[PlacedRow]:
    """The rows of one file, and where each stands; TaskError names file and line."""
    newline = "" if suffix == ".csv" else None
    is_packed = path.suffix == ".gz"
    try:
        with (gzip.open if is_packed else open)(path, "rt", encoding="utf-8-sig", newline=newline) as lines:
            yield from TEXT_FILES[suffix](path, lines, layout)
    except UnicodeDecodeError as err:
        raise TaskError(f"{path} is not UTF-8 text ({err.reason} at byte {err.start}); convert it to UTF-8") from err
    except (gzip.BadGzipFile, EOFError, zlib.error) as err:
        raise TaskError(f"{path} is no whole gzip file ({err}); fetch it again") from err
    except OSError as err:
        raise TaskError(f"cannot read {path}: {err.strerror}; check its permissions") from err


def _tsv(path: Path, lines: TextIO, layout: Layout) -> Iterator[PlacedRow]:
    if layout.columns or layout.template.kind == "text":
        raise TaskError(
            f"{path}: a TSV file has only sentence<TAB>label, the template needs {layout.columns or 'plain text'}; "
            "convert it to .jsonl, or change task.template"
        )
    text_key, label_key = layout.template.text_key, layout.template.label_key
    for number, line in enumerate(lines, start=1):
        if line.strip():
            text, tab, label = line.rstrip("\n").rpartition("\t")
            if not tab or not label.strip():
                raise TaskError(
                    f"{path}:{number}: malformed row {shorten(line)}; expected "
                    "sentence<TAB>label; correct or remove the row"
                )
            yield {text_key: text, label_key: label}, f"{path}:{number}"


def _txt(path: Path, lines: TextIO, layout: Layout) -> Iterator[PlacedRow]:
    if layout.template.kind != "text":
        raise TaskError(f'{path}: plain text has no labels; set task.template = "text", or give .tsv, .jsonl or .csv')
    for number, line in enumerate(lines, start=1):
        if line.strip():
            yield {layout.template.text_key: line.rstrip("\n")}, f"{path}:{number}"


def _jsonl(path: Path, lines: TextIO, layout: Layout) -> Iterator[PlacedRow]:
    for number, line in enumerate(lines, start=1):
        if line.strip():
            place = f"{path}:{number}"
            row = _decoded(line, place, "one JSON object per line; correct or remove the row")
            if not isinstance(row, dict):
                raise TaskError(
                    f"{place}: malformed row {shorten(line)}; expected a JSON object; correct or remove the row"
                )
            yield row, place


def _json(path: Path, lines: TextIO, layout: Layout) -> Iterator[PlacedRow]:
    """A list of objects, alone or as the key "data"; articles of SQuAD as their questions."""
    whole = _decoded(lines.read(), str(path), 'a list of JSON objects, or {"data": [...]}; correct the file')
    rows = whole.get("data") if isinstance(whole, dict) else whole
    if not isinstance(rows, list):
        raise TaskError(
            f'{path}: holds {shorten(whole)}; expected a list of JSON objects, or {{"data": [...]}}; correct the file, '
            "or name it .jsonl if each line is an object"
        )
    for number, row in enumerate(rows):
        place = f"{path}[{number}]"
        if not isinstance(row, dict):
            raise TaskError(f"{place}: malformed row {shorten(row)}; expected a JSON object; correct or remove the row")
        try:
            yield from _questions(row, place) if "paragraphs" in row else [(row, place)]
        except (TypeError, KeyError, AttributeError) as err:
            raise TaskError(f"{place}: no article of SQuAD ({err!r}); correct or remove it") from err


def _questions(article: Row, place: str) -> Iterable[PlacedRow]:
    """Rows of an article as the original files of SQuAD 1 and 2 hold it."""
    rows = []
    for paragraph in article["paragraphs"]:  # type: ignore[attr-defined]
        for asked in paragraph["qas"]:
            answers = list(dict.fromkeys(answer["text"] for answer in asked["answers"]))
            about = {"context": paragraph["context"], "question": asked["question"], "answers": answers}
            rows.append((about, f"{place} {asked.get('id', asked['question'])!r}"))
    return rows


def _csv(path: Path, lines: TextIO, layout: Layout) -> Iterator[PlacedRow]:
    reader = csv.DictReader(lines, strict=True)
    try:
        for row in reader:
            yield row, f"{path}:{reader.line_num}"
    except csv.Error as err:
        raise TaskError(f"{path}:{reader.line_num}: malformed row ({err}); correct or remove the row") from err


def _decoded(text: str, place: str, expected: str) -> object:
    try:
        return json.loads(text, parse_constant=_no_number, object_pairs_hook=_unique)
    except (ValueError, RecursionError) as err:
        raise TaskError(f"{place}: malformed row {shorten(text)} ({err}); expected {expected}") from err


def _no_number(word: str) -> None:
    raise ValueError(f"{word} is no JSON number")


def _unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
    row = dict(pairs)
    if len(row) < len(pairs):
        raise ValueError("a key stands there twice")
    return row


TEXT_FILES: Mapping[str, Callable[[Path, TextIO, Layout], Iterator[PlacedRow]]] = {
    ".tsv": _tsv,
    ".jsonl": _jsonl,
    ".json": _json,
    ".csv": _csv,
    ".txt": _txt,
}
