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
from learner.sampling import Stream, random_order

EMBEDDED_DIR = Path(__file__).parent / "embedded"
_SUFFIXES = (".tsv", ".jsonl", ".csv")
_EVALUATION_NAMES = ("test", "dev", "val")
_HUB_EVALUATION_NAMES = ("test", "validation", "dev", "val")
_HUB_NAME = re.compile(r"[A-Za-z0-9][\w.-]*(/[A-Za-z0-9][\w.-]*)?")
_TRAIN_SHARE = 0.8


@dataclass(frozen=True, slots=True)
class Example:
    """One sentence, its label as written, and where it was read ("train.tsv:17")."""

    text: str
    label: str
    place: str


@dataclass(frozen=True, slots=True)
class Examples:
    """Training and evaluation examples, and which source each came from."""

    train: tuple[Example, ...]
    test: tuple[Example, ...]
    train_source: str
    test_source: str


def read_examples(config: TaskConfig, *, seed: int) -> Examples:
    """Read what `task.path` names; the seed splits a single file. TaskError names file and line."""
    if config.path == EMBEDDED:
        return _read_directory(EMBEDDED_DIR, config)
    path = Path(config.path).expanduser()
    if path.is_dir():
        return _read_directory(path, config)
    if path.is_file():
        return _split_file(path, config, seed)
    if path.suffix in _SUFFIXES or not _HUB_NAME.fullmatch(config.path):
        raise TaskError(
            f'task.path {config.path!r} does not exist; allowed "embedded", a directory '
            "with train.* and test.*, one "
            ".tsv, .jsonl or .csv file, or a data set name on the Hugging Face hub; correct the path"
        )
    return _read_hub(config)


def _read_directory(directory: Path, config: TaskConfig) -> Examples:
    train = _find(directory, "train")
    if train is None:
        raise TaskError(
            f"task directory {directory} has no training file; expected one of train.tsv, "
            "train.jsonl, train.csv; "
            "add it or correct task.path"
        )
    for name in _EVALUATION_NAMES:
        test = _find(directory, name)
        if test is not None:
            return Examples(_read_file(train, config), _read_file(test, config), str(train), str(test))
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


def _split_file(path: Path, config: TaskConfig, seed: int) -> Examples:
    examples = _read_file(path, config)
    if len(examples) < 2:
        raise TaskError(f"{path} has 1 example; a file that is split 80/20 needs at least 2; add examples")
    order = random_order(seed, len(examples), Stream.SPLIT)
    num_train = min(max(1, round(_TRAIN_SHARE * len(examples))), len(examples) - 1)
    train = tuple(examples[i] for i in order[:num_train])
    test = tuple(examples[i] for i in order[num_train:])
    return Examples(train, test, f"{path} ({num_train} drawn)", f"{path} (the other {len(test)})")


def _read_file(path: Path, config: TaskConfig) -> tuple[Example, ...]:
    readers = {".tsv": _read_tsv, ".jsonl": _read_jsonl, ".csv": _read_csv}
    if path.suffix not in readers:
        raise TaskError(f"{path} is a {path.suffix or 'nameless'} file; allowed .tsv, .jsonl, .csv; convert it")
    try:
        with path.open(encoding="utf-8-sig", newline="" if path.suffix == ".csv" else None) as lines:
            examples = tuple(readers[path.suffix](path, lines, config))
    except UnicodeDecodeError as err:
        raise TaskError(f"{path} is not UTF-8 text ({err.reason} at byte {err.start}); convert it to UTF-8") from err
    except OSError as err:
        raise TaskError(f"cannot read {path}: {err.strerror}; check its permissions") from err
    if not examples:
        raise TaskError(f"{path} is empty; at least one example is needed; add examples or correct task.path")
    return examples


def _read_tsv(path: Path, lines: Iterable[str], config: TaskConfig) -> Iterator[Example]:
    for number, line in enumerate(lines, start=1):
        if line.strip():
            text, tab, label = line.rstrip("\n").rpartition("\t")
            if not tab or not text.strip() or not label.strip():
                raise TaskError(
                    f"{path}:{number}: malformed row {_shorten(line)}; expected "
                    "sentence<TAB>label; correct or remove the row"
                )
            yield Example(text, label.strip(), f"{path}:{number}")


def _read_jsonl(path: Path, lines: Iterable[str], config: TaskConfig) -> Iterator[Example]:
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
            yield _from_row(row, config, f"{path}:{number}")


def _read_csv(path: Path, lines: Iterable[str], config: TaskConfig) -> Iterator[Example]:
    reader = csv.DictReader(lines, strict=True)
    try:
        for row in reader:
            yield _from_row(row, config, f"{path}:{reader.line_num}")
    except csv.Error as err:
        raise TaskError(f"{path}:{reader.line_num}: malformed row ({err}); correct or remove the row") from err


def _from_row(row: dict[str, Any], config: TaskConfig, place: str) -> Example:
    for setting, key in (("text_key", config.text_key), ("label_key", config.label_key)):
        if key not in row:
            raise TaskError(
                f"{place}: no key {key!r}, found {sorted(map(str, row))}; set task.{setting} to one of these"
            )
    text, label = row[config.text_key], row[config.label_key]
    if not isinstance(text, str) or not text.strip():
        raise TaskError(
            f"{place}: malformed row, {config.text_key!r} is {_shorten(text)}; expected a "
            "sentence; correct or remove the row"
        )
    if not isinstance(label, str | int) or label == "":
        raise TaskError(
            f"{place}: malformed row, {config.label_key!r} is {_shorten(label)}; expected "
            "text or a whole number; "
            "correct or remove the row"
        )
    return Example(text, str(label).strip(), place)


def _shorten(value: object, num_characters: int = 60) -> str:
    written = repr(value.strip() if isinstance(value, str) else value)
    return written if len(written) <= num_characters else written[:num_characters] + "…"


def _read_hub(config: TaskConfig) -> Examples:
    name = config.path
    try:
        import datasets  # optional, and slow to import
    except ImportError as err:
        raise TaskError(
            f"task.path {name!r} is no local file, and a data set of the Hugging Face hub "
            "needs the package datasets; "
            "run pip install 'airzero-testbed[hub]', or give a local file"
        ) from err
    try:
        splits = datasets.load_dataset(name)
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
    train = _from_split(splits["train"], config, f"{name}:train")
    for split in _HUB_EVALUATION_NAMES:
        if split in splits:
            test = _from_split(splits[split], config, f"{name}:{split}")
            if {example.label for example in test} != {"-1"}:  # the hub's mark for labels that are kept secret
                return Examples(train, test, f"{name}:train", f"{name}:{split}")
    raise TaskError(
        f"data set {name} has no labelled evaluation split among {sorted(splits)}; expected one of "
        f"{', '.join(_HUB_EVALUATION_NAMES)}; give local files"
    )


def _from_split(rows: Iterable[dict[str, Any]], config: TaskConfig, source: str) -> tuple[Example, ...]:
    examples = tuple(_from_row(row, config, f"{source}:{n}") for n, row in enumerate(rows))
    if not examples:
        raise TaskError(f"{source} is empty; at least one example is needed; choose another data set")
    return examples
