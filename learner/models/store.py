"""The cache of models that were made of other files: Hugging Face directories, each whole or not there."""

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from safetensors import SafetensorError

from learner.errors import ModelError

_MARK = "made_of.json"
_WEIGHTS = "model.safetensors"


def cache() -> Path:
    """$AIRZERO_MODELS, $XDG_CACHE_HOME/airzero/models or ~/.cache/airzero/models."""
    if given := os.environ.get("AIRZERO_MODELS"):
        return Path(given).absolute()
    return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser().absolute() / "airzero" / "models"


def checksum(file: Path) -> str:
    """SHA-256 (hex) of a file."""
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()


def stored(name: str) -> Path | None:
    """The directory of that name, None where there is none. ModelError if its weights are not those that were made."""
    directory = cache() / name
    try:
        made = json.loads((directory / _MARK).read_text())["weights"]
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValueError, KeyError, TypeError) as err:
        raise ModelError(f"{directory / _MARK} cannot be read: {err}; delete that folder, and make it again") from err
    try:
        found = checksum(directory / _WEIGHTS)
    except OSError as err:
        raise ModelError(f"{err.filename}: {err.strerror}; delete that folder, and make it again") from err
    if found != made:
        raise ModelError(
            f"{directory / _WEIGHTS}: its checksum is {found[:12]}, that of what was made {str(made)[:12]}; "
            "delete that folder, and make it again"
        )
    return directory


@contextmanager
def making(name: str, *, source: str) -> Iterator[Path]:
    """A folder to save a model in, which takes its place, over another one, once the block ends without an error.

    source: what it is made of, for people who look into the folder. ModelError where nothing can be written.
    """
    place = cache() / name
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        folder = Path(tempfile.mkdtemp(prefix=f".{name}-", dir=place.parent))
    except OSError as err:
        raise ModelError(f"{place.parent}: {err.strerror}; set AIRZERO_MODELS to a folder of yours") from err
    try:
        yield folder
        made = {"source": source, "weights": checksum(folder / _WEIGHTS)}
        (folder / _MARK).write_text(json.dumps(made, indent=1) + "\n")
        folder.chmod(0o755)
        _put(folder, place)
    except (OSError, SafetensorError) as err:
        cause = getattr(err, "strerror", None) or err
        raise ModelError(f"{place}: cannot be written: {cause}; make room, or set AIRZERO_MODELS") from err
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _put(folder: Path, place: Path) -> None:
    """Rename; of two that are made at once the later one stays."""
    old = Path(tempfile.mkdtemp(prefix=".old-", dir=place.parent))
    try:
        if place.exists():
            place.rename(old / "model")
        folder.rename(place)
    finally:
        shutil.rmtree(old, ignore_errors=True)
