"""The run directory: what a run leaves behind, and who reads it back.

config.toml · run.json · rounds.jsonl · journal.bin · summary.json · report.html · plots/ · captures/ · checkpoints/
and, of a run that is watched, last_capture.msgpack
"""

from __future__ import annotations

import json
import re
import shutil
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar

import msgspec
import tomli_w

from testbed.config.files import from_toml
from testbed.config.schema import RunConfig, to_plain
from testbed.errors import RunDirectoryError
from testbed.results import files
from testbed.results.records import FORMAT, RoundRecord, RunInfo, Summary
from testbed.results.space import MIB, Space, needed_space

R = TypeVar("R", bound=msgspec.Struct)
MAX_TRACEBACKS = 100
_MAX_NAME_BYTES = 100
_FOLDERS = ("plots", "captures", "checkpoints")


class _Written(msgspec.Struct, frozen=True):
    """Of run.json, what tells whether this version can read the rest."""

    format: int = 1
    """Runs of airzero-testbed 0.1.0 say none."""
    versions: dict[str, str] = {}


class RunDirectory:
    """Paths and writers of one run directory."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.config = path / "config.toml"
        self.info = path / "run.json"
        self.rounds = path / "rounds.jsonl"
        self.journal = path / "journal.bin"
        self.summary = path / "summary.json"
        self.report = path / "report.html"
        self.plots = path / "plots"
        self.captures = path / "captures"
        self.initial_weights = path / "checkpoints" / "initial.safetensors"
        self.final_weights = path / "checkpoints" / "final.safetensors"
        self.best_weights = path / "checkpoints" / "best.safetensors"

    # ---- making and opening

    @classmethod
    def create(cls, out: Path | None, config: RunConfig, *, num_parameters: int = 0) -> RunDirectory:
        """Make a new run directory; an existing one with anything in it is refused, never overwritten.

        Without ``out`` it is made below runs/, whatever the experiment's name. Raises RunDirectoryError, also where
        the disk has not the room that the run will need.
        """
        path = out if out is not None else free_place(config.experiment.name)
        run = cls(path)
        try:
            if path.exists() and (not path.is_dir() or any(path.iterdir())):
                raise RunDirectoryError(
                    f"--out {path}: exists and is not empty; "
                    f"choose another, remove it, or continue it with --resume {path}"
                )
            _check_space(path, needed_space(config, num_parameters=num_parameters))
        except OSError as err:
            raise RunDirectoryError(f"--out {path}: cannot be made: {files.reason(err)}; choose another place") from err
        try:
            for folder in (path, *(path / name for name in _FOLDERS)):
                files.make_folder(folder, remedy="choose another place with --out")
            run.write(run.config, tomli_w.dumps(without_none(to_plain(config))))
            run.write(run.rounds, b"")
        except RunDirectoryError:
            run.discard()
            raise
        return run

    @classmethod
    def open(cls, path: Path) -> RunDirectory:
        """An existing run directory. Raises RunDirectoryError if ``path`` is none, or of a later format."""
        run = cls(path)
        if not run.config.is_file() or not run.journal.is_file():
            raise RunDirectoryError(f"{path}: no run directory (config.toml and journal.bin expected); check the path")
        run.read_format()
        return run

    def discard(self) -> None:
        """Remove what `create` and the first writes made, when a run could not begin; an empty folder is left."""
        for file in (self.config, self.info, self.journal, self.rounds):
            with suppress(OSError):
                file.unlink()
        for name in _FOLDERS:
            shutil.rmtree(self.path / name, ignore_errors=True)

    def check_space(self, config: RunConfig, *, num_parameters: int, first_round: int) -> None:
        """Raise RunDirectoryError unless the rounds that are left will fit on the disk."""
        _check_space(self.path, needed_space(config, num_parameters=num_parameters, first_round=first_round))

    # ---- reading

    def read_format(self) -> int:
        """Which format this directory has. Raises RunDirectoryError for one that only later versions can read."""
        try:
            written = msgspec.json.decode(self.info.read_bytes(), type=_Written)
        except (OSError, msgspec.DecodeError, UnicodeDecodeError):
            return FORMAT  # who needs run.json says what is wrong with it
        if written.format > FORMAT:
            by = written.versions.get("airzero-testbed", "a later version")
            raise RunDirectoryError(
                f"{self.path}: got a run directory of format {written.format}, written by airzero-testbed {by}; "
                f"allowed: up to {FORMAT}; install that version or a newer one"
            )
        return written.format

    def read_config(self) -> RunConfig:
        """The resolved configuration; of an earlier format, without the keys that are gone since."""
        return from_toml(self.config, leave_out_unknown=self.read_format() < FORMAT)

    def read_info(self) -> RunInfo:
        """run.json."""
        return self._decode(self.info, RunInfo)

    def read_summary(self) -> Summary | None:
        """summary.json, or None if the run did not get that far."""
        return self._decode(self.summary, Summary) if self.summary.exists() else None

    def read_rounds(self) -> list[RoundRecord]:
        """rounds.jsonl; a last line that a crash cut short is left out, any other damage is refused."""
        if not self.rounds.exists():
            return []
        *lines, cut_off = files.read(self.rounds).split(b"\n")
        records: list[RoundRecord] = []
        for number, line in enumerate([*lines, cut_off] if cut_off else lines, start=1):
            try:
                records.append(msgspec.json.decode(line, type=RoundRecord))
            except (msgspec.DecodeError, UnicodeDecodeError) as err:
                if number > len(lines):
                    break
                raise RunDirectoryError(
                    f"{self.rounds}, line {number}: not the record of a round ({err}); restore the file from a copy, "
                    f"or remove it and use --resume {self.path}, which takes the rounds from the journal"
                ) from err
        return records

    @staticmethod
    def _decode(path: Path, kind: type[R]) -> R:
        data = files.read(path, remedy="is this a run directory?")
        try:
            return msgspec.json.decode(data, type=kind)
        except (msgspec.DecodeError, UnicodeDecodeError) as err:
            raise RunDirectoryError(
                f"{path}: not a file of this toolkit ({err}); restore it from a copy, or give another run directory"
            ) from err

    # ---- writing

    @property
    def remedy(self) -> str:
        """What to do when something cannot be written here."""
        if self.journal.exists():
            return f"earlier rounds are safe: free some space and continue with --resume {self.path}"
        return files.REMEDY

    def write(self, path: Path, text: str | bytes) -> None:
        """Write a file whole or not at all. Raises RunDirectoryError."""
        files.check_there(self.path)
        files.write(path, text, remedy=self.remedy)

    def write_json(self, path: Path, record: msgspec.Struct) -> None:
        """Write a record as indented JSON."""
        self.write(path, json.dumps(msgspec.to_builtins(record), indent=2, ensure_ascii=False) + "\n")

    def keep_traceback(self, trace: str) -> Path:
        """Write the traceback of what ended the run, or a host, into a file of its own; returns its path.

        Hosts may come and crash for ever: of more than `MAX_TRACEBACKS` the newest takes the last one's place.
        """
        free = (n for n in range(1, MAX_TRACEBACKS) if not (self.path / f"crash-{n}.txt").exists())
        serial = next(free, MAX_TRACEBACKS)
        path = self.path / f"crash-{serial}.txt"
        self.write(path, trace)
        return path

    def write_with(self, path: Path, writer: Callable[[Path], object]) -> None:
        """Let ``writer`` (of weights, of a model) make ``path``, whole or not at all. Raises RunDirectoryError."""
        files.check_there(self.path)
        files.write_with(path, writer, remedy=self.remedy)

    def rewrite_rounds(self, records: Iterable[RoundRecord]) -> None:
        """Replace rounds.jsonl, when a resumed run has repaired it; a copy of what is replaced is kept."""
        before = files.read(self.rounds) if self.rounds.exists() else b""
        data = b"".join(msgspec.json.encode(r) + b"\n" for r in records)
        if data == before and self.rounds.exists():
            return
        if before:
            files.keep_copy(self.rounds, before)
        self.write(self.rounds, data)

    def append_round(self, record: RoundRecord) -> None:
        """Add one line to rounds.jsonl, which is there from the beginning. Raises RunDirectoryError."""
        files.check_there(self.rounds)
        files.append(self.rounds, msgspec.json.encode(record) + b"\n", remedy=self.remedy)


def free_place(name: str) -> Path:
    """Make runs/<time>-<name>, with a number behind it where that is taken; no name leads out of runs/."""
    plain = re.sub(r"[^\w.-]+", "-", name).encode("utf-8", "replace")[:_MAX_NAME_BYTES].decode("utf-8", "ignore")
    stem = f"{time.strftime('%Y%m%d-%H%M%S')}-{plain}"
    for serial in range(1, 1000):
        path = Path("runs") / (stem if serial == 1 else f"{stem}-{serial}")
        try:
            files.system.make_folder(path.parent)
            path.mkdir()
        except FileExistsError:
            continue
        except OSError as err:
            raise RunDirectoryError(
                f"{path}: cannot be made: {files.reason(err)}; choose another place with --out"
            ) from err
        return path
    raise RunDirectoryError(f"runs/{stem}: got 1000 of them; allowed: fewer in one second; choose a place with --out")


def _check_space(path: Path, needed: Space) -> None:
    free_bytes = files.system.free_bytes(path)
    if free_bytes < needed.total:
        raise RunDirectoryError(
            f"{path}: {free_bytes / MIB:.0f} MiB free, {needed.total / MIB:.0f} MiB needed (in MiB: {needed}, and a "
            "reserve); free some space, choose another disk with --out, or lower rounds.num or results.max_capture_mib"
        )


def without_none(value: Any) -> Any:
    """TOML has no null: leave those keys out."""
    if isinstance(value, dict):
        return {key: without_none(item) for key, item in value.items() if item is not None}
    return value
