"""Read what a task names: its own rows, TSV, JSONL, CSV or text files, or a data set of the Hugging Face hub."""

import csv
import json
from collections.abc import Iterable, Iterator
from pathlib import Path

from learner.config import EMBEDDED, TaskConfig
from learner.errors import TaskError
from learner.tasks.hub import HUB_NAME, read_hub
from learner.tasks.registry import template_of
from learner.tasks.rows import Example, Examples, Layout, shorten
from learner.tasks.sampling import Stream, random_order

EMBEDDED_DIR = Path(__file__).parents[1] / "embedded"
_SUFFIXES = (".tsv", ".jsonl", ".csv", ".txt")
_EVALUATION_NAMES = ("test", "dev", "val")
_TRAIN_SHARE = 0.8


def read_examples(config: TaskConfig, *, seed: int) -> Examples:
    """Read what `task.path` names; the seed splits a single file. TaskError names file and line."""
    layout = Layout(template_of(config))
    if (own := _own_rows(config.path, layout)) is not None:
        return own
    if config.path == EMBEDDED:
        return _read_directory(EMBEDDED_DIR, layout)
    path = Path(config.path).expanduser()
    if path.is_dir():
        return _read_directory(path, layout)
    if path.is_file():
        return _split_file(path, layout, seed)
    if path.suffix in _SUFFIXES or not HUB_NAME.fullmatch(config.path):
        raise TaskError(
            f'task.path {config.path!r} does not exist; allowed "embedded", a directory '
            "with train.* and test.*, one "
            ".tsv, .jsonl or .csv file, or a data set name on the Hugging Face hub; correct the path"
        )
    return read_hub(config.path, layout)


def _own_rows(path: str, layout: Layout) -> Examples | None:
    """The rows that the template itself provides, if it does."""
    template, made = layout.template, []
    for split in ("train", "test"):
        source = f"{template.name}:{split}"
        try:
            rows = template.rows(path, split)
            if rows is None:
                return None
            made.append((layout.examples(rows, source), source))
        except OSError as err:
            raise TaskError(f"{source}: cannot read rows for task.path {path!r}: {err}; correct task.path") from err
    (train, train_source), (test, test_source) = made
    return Examples(train, test, train_source, test_source)


def _read_directory(directory: Path, layout: Layout) -> Examples:
    train = _find(directory, "train")
    if train is None:
        raise TaskError(
            f"task directory {directory} has no training file; expected one of train.tsv, "
            "train.jsonl, train.csv, train.txt; "
            "add it or correct task.path"
        )
    for name in _EVALUATION_NAMES:
        test = _find(directory, name)
        if test is not None:
            return Examples(_read_file(train, layout), _read_file(test, layout), str(train), str(test))
    raise TaskError(
        f"task directory {directory} has no evaluation file; expected test.*, dev.* or "
        "val.* as .tsv, .jsonl or .csv; "
        f"add one, or set task.path to {train.name} to split that file 80/20"
    )


def _find(directory: Path, name: str) -> Path | None:
    found = [directory / f"{name}{suffix}" for suffix in _SUFFIXES if (directory / f"{name}{suffix}").is_file()]
    if len(found) > 1:
        raise TaskError(f"task directory {directory} has both {found[0].name} and {found[1].name}; keep one of them")
    return found[0] if found else None


def _split_file(path: Path, layout: Layout, seed: int) -> Examples:
    examples = _read_file(path, layout)
    if len(examples) < 2:
        raise TaskError(f"{path} has 1 example; a file that is split 80/20 needs at least 2; add examples")
    order = random_order(seed, len(examples), Stream.SPLIT)
    num_train = min(max(1, round(_TRAIN_SHARE * len(examples))), len(examples) - 1)
    train = tuple(examples[i] for i in order[:num_train])
    test = tuple(examples[i] for i in order[num_train:])
    return Examples(train, test, f"{path} ({num_train} drawn)", f"{path} (the other {len(test)})")


def _read_file(path: Path, layout: Layout) -> tuple[Example, ...]:
    readers = {".tsv": _read_tsv, ".jsonl": _read_jsonl, ".csv": _read_csv, ".txt": _read_txt}
    if path.suffix not in readers:
        raise TaskError(f"{path} is a {path.suffix or 'nameless'} file; allowed .tsv, .jsonl, .csv, .txt; convert it")
    try:
        with path.open(encoding="utf-8-sig", newline="" if path.suffix == ".csv" else None) as lines:
            examples = tuple(readers[path.suffix](path, lines, layout))
    except UnicodeDecodeError as err:
        raise TaskError(f"{path} is not UTF-8 text ({err.reason} at byte {err.start}); convert it to UTF-8") from err
    except OSError as err:
        raise TaskError(f"cannot read {path}: {err.strerror}; check its permissions") from err
    if not examples:
        raise TaskError(f"{path} is empty; at least one example is needed; add examples or correct task.path")
    return examples


def _read_tsv(path: Path, lines: Iterable[str], layout: Layout) -> Iterator[Example]:
    if layout.columns or layout.template.kind == "text":
        raise TaskError(
            f"{path}: a TSV file has only sentence<TAB>label, the template needs {layout.columns or 'plain text'}; "
            "convert it to .jsonl, or change task.template"
        )
    for number, line in enumerate(lines, start=1):
        if line.strip():
            text, tab, label = line.rstrip("\n").rpartition("\t")
            if not tab or not text.strip() or not label.strip():
                raise TaskError(
                    f"{path}:{number}: malformed row {shorten(line)}; expected "
                    "sentence<TAB>label; correct or remove the row"
                )
            yield Example(text, label.strip(), f"{path}:{number}")


def _read_txt(path: Path, lines: Iterable[str], layout: Layout) -> Iterator[Example]:
    if layout.template.kind != "text":
        raise TaskError(f'{path}: plain text has no labels; set task.template = "text", or give .tsv, .jsonl or .csv')
    for number, line in enumerate(lines, start=1):
        if line.strip():
            yield Example(line.rstrip("\n"), "", f"{path}:{number}")


def _read_jsonl(path: Path, lines: Iterable[str], layout: Layout) -> Iterator[Example]:
    for number, line in enumerate(lines, start=1):
        if line.strip():
            try:
                row = json.loads(line, parse_constant=_no_number, object_pairs_hook=_unique)
            except (ValueError, RecursionError) as err:
                raise TaskError(
                    f"{path}:{number}: malformed row {shorten(line)} ({err}); "
                    "expected one JSON object per line; correct or remove the row"
                ) from err
            if not isinstance(row, dict):
                raise TaskError(
                    f"{path}:{number}: malformed row {shorten(line)}; expected a JSON object; correct or remove the row"
                )
            yield layout.example(row, f"{path}:{number}")


def _no_number(word: str) -> None:
    raise ValueError(f"{word} is no JSON number")


def _unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
    row = dict(pairs)
    if len(row) < len(pairs):
        raise ValueError("a key stands there twice")
    return row


def _read_csv(path: Path, lines: Iterable[str], layout: Layout) -> Iterator[Example]:
    reader = csv.DictReader(lines, strict=True)
    try:
        for row in reader:
            yield layout.example(row, f"{path}:{reader.line_num}")
    except csv.Error as err:
        raise TaskError(f"{path}:{reader.line_num}: malformed row ({err}); correct or remove the row") from err
