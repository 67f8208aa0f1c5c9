"""The run directory: what a run leaves behind, and who reads it back.

config.toml · run.json · rounds.jsonl · journal.bin · summary.json · report.html · plots/ · captures/ · checkpoints/
"""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any, TypeVar

import msgspec
import tomli_w

from testbed.config.files import from_toml
from testbed.config.schema import RunConfig, to_plain
from testbed.errors import RunDirectoryError
from testbed.results.records import RoundRecord, RunInfo, Summary

R = TypeVar("R", bound=msgspec.Struct)
_MIN_FREE_BYTES = 32 * 2**20


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

    @classmethod
    def create(cls, out: Path | None, config: RunConfig) -> RunDirectory:
        """Make a new run directory; an existing one with anything in it is refused, never overwritten."""
        stamp = time.strftime("%Y%m%d-%H%M%S")
        path = out if out is not None else Path("runs") / f"{stamp}-{config.experiment.name}"
        for serial in range(2, 1000):
            if out is not None or not path.exists():
                break
            path = Path("runs") / f"{stamp}-{config.experiment.name}-{serial}"
        try:
            if path.exists() and (not path.is_dir() or any(path.iterdir())):
                raise RunDirectoryError(
                    f"--out {path}: exists and is not empty; "
                    f"choose another, remove it, or continue it with --resume {path}"
                )
            for directory in (path, path / "plots", path / "captures", path / "checkpoints"):
                directory.mkdir(parents=True, exist_ok=True)
            free_bytes = shutil.disk_usage(path).free
        except OSError as err:
            raise RunDirectoryError(f"--out {path}: cannot be made: {err.strerror}; choose another place") from err
        if free_bytes < _MIN_FREE_BYTES:
            raise RunDirectoryError(
                f"--out {path}: {free_bytes / 2**20:.0f} MiB free, at least {_MIN_FREE_BYTES // 2**20} MiB needed; "
                "free some space or choose another disk"
            )
        run = cls(path)
        run.write(run.config, tomli_w.dumps(_without_none(to_plain(config))))
        return run

    @classmethod
    def open(cls, path: Path) -> RunDirectory:
        """An existing run directory. Raises RunDirectoryError if ``path`` is none."""
        run = cls(path)
        if not run.config.is_file() or not run.journal.is_file():
            raise RunDirectoryError(f"{path}: no run directory (config.toml and journal.bin expected); check the path")
        return run

    def read_config(self) -> RunConfig:
        """The resolved configuration."""
        return from_toml(self.config)

    def read_info(self) -> RunInfo:
        """run.json."""
        return self._decode(self.info, RunInfo)

    def read_summary(self) -> Summary | None:
        """summary.json, or None if the run did not get that far."""
        return self._decode(self.summary, Summary) if self.summary.exists() else None

    def read_rounds(self) -> list[RoundRecord]:
        """rounds.jsonl; a last line that a crash cut short is left out."""
        records: list[RoundRecord] = []
        if self.rounds.exists():
            for line in self.rounds.read_bytes().splitlines():
                try:
                    records.append(msgspec.json.decode(line, type=RoundRecord))
                except msgspec.DecodeError:
                    break
        return records

    @staticmethod
    def _decode(path: Path, kind: type[R]) -> R:
        try:
            return msgspec.json.decode(path.read_bytes(), type=kind)
        except OSError as err:
            raise RunDirectoryError(f"{path}: cannot be read: {err.strerror}; is this a run directory?") from err
        except msgspec.DecodeError as err:
            raise RunDirectoryError(f"{path}: not a file of this toolkit: {err}") from err

    def write(self, path: Path, text: str) -> None:
        """Write a file whole or not at all."""
        partial = path.with_name(path.name + ".partial")
        try:
            partial.write_text(text, encoding="utf-8")
            os.replace(partial, path)
        except OSError as err:
            raise RunDirectoryError(f"{path}: {err.strerror}; free some space and run again") from err

    def write_json(self, path: Path, record: msgspec.Struct) -> None:
        """Write a record as indented JSON."""
        self.write(path, json.dumps(msgspec.to_builtins(record), indent=2, ensure_ascii=False) + "\n")

    def keep_traceback(self, trace: str) -> Path:
        """Write the traceback of what ended the run into a file of its own; returns its path."""
        serial = next(n for n in range(1, 10_000) if not (self.path / f"crash-{n}.txt").exists())
        path = self.path / f"crash-{serial}.txt"
        self.write(path, trace)
        return path

    def rewrite_rounds(self, records: Iterable[RoundRecord]) -> None:
        """Replace rounds.jsonl, when a resumed run has repaired it."""
        self.write(self.rounds, "".join(msgspec.json.encode(r).decode() + "\n" for r in records))

    def append_round(self, record: RoundRecord) -> None:
        """Add one line to rounds.jsonl."""
        try:
            with self.rounds.open("ab") as file:
                file.write(msgspec.json.encode(record) + b"\n")
        except OSError as err:
            raise RunDirectoryError(
                f"{self.rounds}: {err.strerror}; earlier rounds are safe: free some space and continue with --resume"
            ) from err


def _without_none(value: Any) -> Any:
    """TOML has no null: leave those keys out."""
    if isinstance(value, dict):
        return {key: _without_none(item) for key, item in value.items() if item is not None}
    return value
