"""Read labelled sentences from TSV, JSONL or CSV files, or from the Hugging Face hub."""

import csv
import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from learner.config import EMBEDDED, TaskConfig
from learner.errors import TaskError
from learner.tasks.sampling import Stream, random_order
from learner.tasks.templates import Template, template_of

EMBEDDED_DIR = Path(__file__).parents[1] / "embedded"
_SUFFIXES = (".tsv", ".jsonl", ".csv", ".txt")
_EVALUATION_NAMES = ("test", "dev", "val")
_HUB_EVALUATION_NAMES = ("test", "validation", "dev", "val")
_HUB_NAME = re.compile(r"[A-Za-z0-9][\w.-]*(/[A-Za-z0-9][\w.-]*)?(:[\w.-]+)?")
_TRAIN_SHARE = 0.8


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
class Examples:
    """Training and evaluation examples, and which source each came from."""

    train: tuple[Example, ...]
    test: tuple[Example, ...]
    train_source: str
    test_source: str


class _Layout:
    """Which columns of a row are needed, and what for."""

    def __init__(self, template: Template) -> None:
        self.template = template
        self.columns = [name for name in re.findall(r"\{(\w+)\}", template.prompt) if name != "text"]
        self.keys = [("text_key", template.text_key)]
        if template.kind != "text":
            self.keys.append(("label_key", template.label_key))
        self.keys += [("", name) for name in self.columns]


def read_examples(config: TaskConfig, *, seed: int) -> Examples:
    """Read what `task.path` names; the seed splits a single file. TaskError names file and line."""
    layout = _Layout(template_of(config))
    if config.path == EMBEDDED:
        return _read_directory(EMBEDDED_DIR, layout)
    path = Path(config.path).expanduser()
    if path.is_dir():
        return _read_directory(path, layout)
    if path.is_file():
        return _split_file(path, layout, seed)
    if path.suffix in _SUFFIXES or not _HUB_NAME.fullmatch(config.path):
        raise TaskError(
            f'task.path {config.path!r} does not exist; allowed "embedded", a directory '
            "with train.* and test.*, one "
            ".tsv, .jsonl or .csv file, or a data set name on the Hugging Face hub; correct the path"
        )
    return _read_hub(config.path, layout)


def _read_directory(directory: Path, layout: _Layout) -> Examples:
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


def _split_file(path: Path, layout: _Layout, seed: int) -> Examples:
    examples = _read_file(path, layout)
    if len(examples) < 2:
        raise TaskError(f"{path} has 1 example; a file that is split 80/20 needs at least 2; add examples")
    order = random_order(seed, len(examples), Stream.SPLIT)
    num_train = min(max(1, round(_TRAIN_SHARE * len(examples))), len(examples) - 1)
    train = tuple(examples[i] for i in order[:num_train])
    test = tuple(examples[i] for i in order[num_train:])
    return Examples(train, test, f"{path} ({num_train} drawn)", f"{path} (the other {len(test)})")


def _read_file(path: Path, layout: _Layout) -> tuple[Example, ...]:
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


def _read_tsv(path: Path, lines: Iterable[str], layout: _Layout) -> Iterator[Example]:
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
                    f"{path}:{number}: malformed row {_shorten(line)}; expected "
                    "sentence<TAB>label; correct or remove the row"
                )
            yield Example(text, label.strip(), f"{path}:{number}")


def _read_txt(path: Path, lines: Iterable[str], layout: _Layout) -> Iterator[Example]:
    if layout.template.kind != "text":
        raise TaskError(f'{path}: plain text has no labels; set task.template = "text", or give .tsv, .jsonl or .csv')
    for number, line in enumerate(lines, start=1):
        if line.strip():
            yield Example(line.rstrip("\n"), "", f"{path}:{number}")


def _read_jsonl(path: Path, lines: Iterable[str], layout: _Layout) -> Iterator[Example]:
    for number, line in enumerate(lines, start=1):
        if line.strip():
            try:
                row = json.loads(line)
            except ValueError as err:
                raise TaskError(
                    f"{path}:{number}: malformed row {_shorten(line)} ({err}); "
                    "expected one JSON object per line; correct or remove the row"
                ) from err
            if not isinstance(row, dict):
                raise TaskError(
                    f"{path}:{number}: malformed row {_shorten(line)}; expected a JSON "
                    "object; correct or remove the row"
                )
            yield _from_row(row, layout, f"{path}:{number}")


def _read_csv(path: Path, lines: Iterable[str], layout: _Layout) -> Iterator[Example]:
    reader = csv.DictReader(lines, strict=True)
    try:
        for row in reader:
            yield _from_row(row, layout, f"{path}:{reader.line_num}")
    except csv.Error as err:
        raise TaskError(f"{path}:{reader.line_num}: malformed row ({err}); correct or remove the row") from err


def _from_row(row: dict[str, Any], layout: _Layout, place: str) -> Example:
    for setting, key in layout.keys:
        if key not in row:
            remedy = f"set task.{setting} to one of these" if setting else "correct task.prompt or the data"
            raise TaskError(f"{place}: no key {key!r}, found {sorted(map(str, row))}; {remedy}")
    template = layout.template
    columns = tuple((name, _text(row[name], name, place)) for name in layout.columns)
    text = _text(row[template.text_key], template.text_key, place)
    if template.kind == "text":
        return Example(text, "", place)
    label = row[template.label_key]
    answers: tuple[str, ...] = ()
    if template.kind == "completion" and isinstance(label, dict | list):
        found = label.get("text", ()) if isinstance(label, dict) else label  # as SQuAD has it, or a plain list
        answers = tuple(_text(answer, template.label_key, place) for answer in found)
        label = answers[0] if answers else None
    if not isinstance(label, str | int) or label == "":
        raise TaskError(
            f"{place}: malformed row, {template.label_key!r} is {_shorten(label)}; expected "
            "text or a whole number; "
            "correct or remove the row"
        )
    return Example(text, str(label).strip(), place, columns, answers)


def _text(value: object, key: str, place: str) -> str:
    if not isinstance(value, str) or not value.strip():
        raise TaskError(
            f"{place}: malformed row, {key!r} is {_shorten(value)}; expected a sentence; correct or remove the row"
        )
    return value


def _shorten(value: object, num_characters: int = 60) -> str:
    written = repr(value.strip() if isinstance(value, str) else value)
    return written if len(written) <= num_characters else written[:num_characters] + "…"


def _read_hub(name: str, layout: _Layout) -> Examples:
    try:
        import datasets  # optional, and slow to import
    except ImportError as err:
        raise TaskError(
            f"task.path {name!r} is no local file, and a data set of the Hugging Face hub "
            "needs the package datasets; "
            "run pip install 'airzero-testbed[hub]', or give a local file"
        ) from err
    try:
        splits = datasets.load_dataset(*name.split(":"))
    except (OSError, ValueError, RuntimeError, KeyError) as err:
        reason = (str(err).strip() or type(err).__name__).splitlines()[0].rstrip(". ")
        raise TaskError(
            f"task.path {name!r} is no local file, and could not be fetched from the "
            f"Hugging Face hub: {reason}; "
            "check the name and the network, or give a local file"
        ) from err
    if "train" not in splits:
        raise TaskError(
            f"data set {name} has no split train, only {sorted(splits)}; choose another or give local files"
        )
    train = _from_split(splits["train"], layout, f"{name}:train")
    for split in _HUB_EVALUATION_NAMES:
        if split in splits:
            test = _from_split(splits[split], layout, f"{name}:{split}")
            if {example.label for example in test} != {"-1"}:  # the hub's mark for labels that are kept secret
                return Examples(train, test, f"{name}:train", f"{name}:{split}")
    raise TaskError(
        f"data set {name} has no labelled evaluation split among {sorted(splits)}; expected one of "
        f"{', '.join(_HUB_EVALUATION_NAMES)}; give local files"
    )


def _from_split(rows: Iterable[dict[str, Any]], layout: _Layout, source: str) -> tuple[Example, ...]:
    examples = tuple(_from_row(row, layout, f"{source}:{n}") for n, row in enumerate(rows))
    if not examples:
        raise TaskError(f"{source} is empty; at least one example is needed; choose another data set")
    return examples
