"""Rows of tables in columns: Parquet files, and what `save_to_disk` of Hugging Face's datasets leaves."""

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from learner.errors import TaskError
from learner.tasks.rows import Layout, PlacedRow

_ROWS_AT_ONCE = 4096
_SPLITS_FILE = "dataset_dict.json"
_STATE_FILE = "state.json"


def read_parquet(path: Path, layout: Layout) -> Iterator[PlacedRow]:
    """The rows of one file, a few thousand at a time, and of its columns those that are needed."""
    arrow = _arrow(path)
    try:
        with arrow.parquet.ParquetFile(path) as table:
            names = table.schema_arrow.names
            yield from _rows(path, table.iter_batches(_ROWS_AT_ONCE, columns=_needed(path, names, layout)))
    except (OSError, ValueError, arrow.ArrowException) as err:
        raise TaskError(f"cannot read {path} as Parquet: {_first_line(err)}; fetch it again, or convert it") from err


def saved_splits(directory: Path) -> list[str] | None:
    """Names of the splits in a directory that `save_to_disk` made of several; None if this is none."""
    file = directory / _SPLITS_FILE
    if not file.is_file():
        return None
    return [str(name) for name in _object(file, "splits", list)]


def is_saved_split(directory: Path) -> bool:
    """Whether this is what `save_to_disk` makes of one split."""
    return (directory / _STATE_FILE).is_file()


def read_saved(directory: Path, layout: Layout) -> Iterator[PlacedRow]:
    """The rows of one saved split."""
    arrow = _arrow(directory)
    number = 0
    state = directory / _STATE_FILE
    for entry in _object(state, "_data_files", list):
        if not isinstance(entry, dict) or "filename" not in entry:
            raise TaskError(f"{state}: a data file has no name; save the data set again")
        path = directory / Path(str(entry["filename"])).name
        try:
            with arrow.memory_map(str(path)) as mapped, arrow.ipc.open_stream(mapped) as stream:
                needed = _needed(path, stream.schema.names, layout)
                for row, _ in _rows(path, (batch.select(needed) for batch in stream)):
                    yield row, f"{directory}:{number}"
                    number += 1
        except (OSError, ValueError, arrow.ArrowException) as err:
            raise TaskError(f"cannot read {path}: {_first_line(err)}; save the data set again") from err


def _rows(path: Path, batches: Iterable[Any]) -> Iterator[PlacedRow]:
    number = 0
    for batch in batches:
        for start in range(0, batch.num_rows, _ROWS_AT_ONCE):
            for row in batch.slice(start, _ROWS_AT_ONCE).to_pylist():
                yield row, f"{path}:{number}"
                number += 1


def _needed(path: Path, names: list[str], layout: Layout) -> list[str]:
    """Columns to read; TaskError if one is missing."""
    wanted = dict.fromkeys(key for _, key in layout.keys)
    if not wanted.keys() <= set(names):
        layout.example(dict.fromkeys(names), str(path))  # raises
    return list(wanted)


def _object(file: Path, key: str, kind: type) -> Any:
    try:
        found = json.loads(file.read_text(encoding="utf-8"))[key]
    except (OSError, ValueError, KeyError, TypeError) as err:
        raise TaskError(f"cannot read {file}: {_first_line(err)}; save the data set again") from err
    if not isinstance(found, kind):
        raise TaskError(f"{file}: {key!r} is no {kind.__name__}; save the data set again")
    return found


def _arrow(path: Path) -> Any:
    try:
        import pyarrow  # optional, and slow to import
        import pyarrow.parquet
    except ImportError as err:
        raise TaskError(
            f"{path} needs the package pyarrow; run pip install 'airzero-testbed[parquet]', or convert it to .jsonl"
        ) from err
    return pyarrow


def _first_line(err: Exception) -> str:
    return (str(err).strip() or type(err).__name__).splitlines()[0].rstrip(". ")
