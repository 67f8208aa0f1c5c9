"""Read what a task names: its own rows, files of text or tables, or a data set of the Hugging Face hub."""

import re
from collections.abc import Callable, Sequence
from pathlib import Path

from learner.config import EMBEDDED, TaskConfig
from learner.errors import TaskError
from learner.tasks.reading.hub import HUB_NAME, read_hub
from learner.tasks.reading.tables import is_saved_split, read_parquet, read_saved, saved_splits
from learner.tasks.reading.text_files import TEXT_FILES, read_text_file
from learner.tasks.registry import template_of
from learner.tasks.rows import Examples, Layout, Part
from learner.tasks.sampling import Stream, random_order

EMBEDDED_DIR = Path(__file__).parents[2] / "embedded"
_TABLE = ".parquet"
_PACKED = ".gz"
_PIECE = re.compile(r"-\d+-of-\d+$")
_SUFFIXES = (*TEXT_FILES, _TABLE)
_EVALUATION_NAMES = ("test", "dev", "val", "validation")
_TRAIN_SHARE = 0.8
_LISTED = ", ".join(_SUFFIXES)


def read_examples(config: TaskConfig, *, seed: int) -> Examples:
    """Read what `task.path` names; the seed splits a single file. TaskError names file and line."""
    layout = Layout(template_of(config))
    if (own := _own_rows(config.path, layout)) is not None:
        return own
    if config.path == EMBEDDED:
        return _read_directory(EMBEDDED_DIR, layout)
    path = Path(config.path).expanduser()
    if path.is_dir():
        if (splits := saved_splits(path)) is not None:
            return _read_saved_splits(path, splits, layout)
        if is_saved_split(path):
            return _split(layout.read(read_saved(path, layout), str(path)), seed)
        return _read_directory(path, layout)
    if path.is_file():
        return _split(_read_files([path], layout), seed)
    if _suffix(path) in _SUFFIXES or not HUB_NAME.fullmatch(config.path):
        raise TaskError(
            f'task.path {config.path!r} does not exist; allowed "embedded", a directory with train.* and test.*, or '
            f"that save_to_disk made, one file ({_LISTED}, text also {_PACKED}), or a data set name on the "
            "Hugging Face hub; correct the path"
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
            made.append(layout.numbered(rows, source))
        except OSError as err:
            raise TaskError(f"{source}: cannot read rows for task.path {path!r}: {err}; correct task.path") from err
    return Examples.of(*made)


def _read_directory(directory: Path, layout: Layout) -> Examples:
    train = _find(directory, "train")
    if not train:
        raise TaskError(
            f"task directory {directory} has no training file; expected one of "
            f"{', '.join(f'train{suffix}' for suffix in _SUFFIXES)}; add it or correct task.path"
        )
    for name in _EVALUATION_NAMES:
        if test := _find(directory, name):
            return Examples.of(_read_files(train, layout), _read_files(test, layout))
    raise TaskError(
        f"task directory {directory} has no evaluation file; expected test.*, dev.* or "
        f"val.* as one of {_LISTED}; "
        f"add one, or set task.path to {train[0].name} to split that file 80/20"
    )


def _find(directory: Path, name: str) -> list[Path]:
    """The file of a split, or its Parquet files in order where it was published in several."""
    names = [f"{name}{suffix}" for suffix in _SUFFIXES]
    names += [f"{name}{suffix}{_PACKED}" for suffix in TEXT_FILES]
    found = [directory / each for each in names if (directory / each).is_file()]
    pieces = sorted(path for path in directory.glob(f"{name}-*{_TABLE}") if _PIECE.search(path.stem))
    if len(found) + bool(pieces) > 1:
        both = [path.name for path in [*found, *pieces[:1]]]
        raise TaskError(f"task directory {directory} has both {both[0]} and {both[1]}; keep one of them")
    if pieces and len(pieces) != int(pieces[0].stem.rpartition("-")[2]):
        raise TaskError(f"task directory {directory} has {len(pieces)} files like {pieces[0].name}; fetch the others")
    return found or pieces


def _read_saved_splits(directory: Path, splits: Sequence[str], layout: Layout) -> Examples:
    evaluation = [name for name in _EVALUATION_NAMES if name in splits]
    if "train" not in splits or not evaluation:
        raise TaskError(
            f"{directory} has the splits {', '.join(splits)}; needed are train and one of "
            f"{', '.join(_EVALUATION_NAMES)}; set task.path to one of its directories to split that 80/20"
        )
    parts = [directory / "train", directory / evaluation[0]]
    return Examples.of(*(layout.read(read_saved(part, layout), str(part)) for part in parts))


def _split(part: Part, seed: int) -> Examples:
    """One source as training and evaluation examples."""
    examples = part.examples
    if len(examples) < 2:
        raise TaskError(f"{part.source} has 1 example; a file that is split 80/20 needs at least 2; add examples")
    order = random_order(seed, len(examples), Stream.SPLIT)
    num_train = min(max(1, round(_TRAIN_SHARE * len(examples))), len(examples) - 1)
    train = tuple(examples[i] for i in order[:num_train])
    test = tuple(examples[i] for i in order[num_train:])
    return Examples(
        train, test, f"{part.source} ({num_train} drawn)", f"{part.source} (the other {len(test)})", part.remarks
    )


def _read_files(paths: Sequence[Path], layout: Layout) -> Part:
    source = str(paths[0]) if len(paths) == 1 else f"{paths[0]} and {len(paths) - 1} more"
    return layout.read((row for path in paths for row in _reader(path)(path, layout)), source)


def _reader(path: Path) -> Callable:  # type: ignore[type-arg]
    suffix = _suffix(path)
    if suffix == _TABLE:
        return read_parquet
    if suffix not in TEXT_FILES:
        raise TaskError(f"{path} is a {suffix or 'nameless'} file; allowed {_LISTED}, text also {_PACKED}; convert it")
    return lambda path, layout: read_text_file(path, suffix, layout)


def _suffix(path: Path) -> str:
    """What a file's name ends in, compressed or not."""
    return Path(path.stem).suffix if path.suffix == _PACKED else path.suffix
