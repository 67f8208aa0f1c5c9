"""What a run directory says of itself beside its rounds: configuration, how it began, how it ended."""

from __future__ import annotations

from pathlib import Path
from typing import TypeVar

import msgspec

from testbed.config.files import from_toml
from testbed.config.schema import RunConfig
from testbed.errors import ConfigError

_MAX_BYTES = 1 << 22
T = TypeVar("T")


class Began(msgspec.Struct, frozen=True):
    """Of run.json."""

    started: str = ""
    failure: str | None = None
    initial_evaluation: Untouched | None = None


class Untouched(msgspec.Struct, frozen=True):
    """Of the untouched model."""

    loss: float | None = None
    metric: float | None = None
    metric_name: str = "accuracy"


class Ended(msgspec.Struct, frozen=True):
    """Of summary.json."""

    stopped: str = ""
    privacy: str = ""
    metric_name: str = "accuracy"


class Facts:
    """Reads its files again when they have changed."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.config: RunConfig | None = None
        self.began: Began | None = None
        self.ended: Ended | None = None
        self.problem = ""
        """Why the configuration cannot be read; empty where it can, or is not there yet."""
        self._stamps: dict[str, tuple[int, int, int] | None] = {}

    def look(self) -> bool:
        """Whether anything is new."""
        changed = False
        if self._has_changed("config.toml"):
            changed = True
            if self._stamps["config.toml"] is not None:  # of files that are gone, what was seen stays
                self.config = self._configuration()
        if self._has_changed("run.json"):
            changed = True
            self.began = self._decoded("run.json", Began) or (self.began if self._stamps["run.json"] else None)
        if self._has_changed("summary.json"):
            changed = True
            self.ended = self._decoded("summary.json", Ended)
        return changed

    @property
    def private(self) -> bool:
        """Whether only public data may be shown; so it is while nobody knows."""
        return self.config is None or not self.config.experiment.ground_truth

    def changed_s(self, name: str) -> float | None:
        """When a file last changed, Unix time; None where it is not there."""
        try:
            return (self.directory / name).stat().st_mtime
        except OSError:
            return None

    def _has_changed(self, name: str) -> bool:
        try:
            found = (self.directory / name).stat()
            stamp = (found.st_ino, found.st_size, found.st_mtime_ns)
        except OSError:
            stamp = None
        if name in self._stamps and self._stamps[name] == stamp:
            return False
        self._stamps[name] = stamp
        return True

    def _configuration(self) -> RunConfig | None:
        self.problem = ""
        try:
            return from_toml(self.directory / "config.toml", leave_out_unknown=True)
        except ConfigError as err:
            self.problem = str(err)
        except OSError as err:
            self.problem = f"config.toml: {err.strerror or err}"
        return None

    def _decoded(self, name: str, kind: type[T]) -> T | None:
        try:
            with (self.directory / name).open("rb") as file:
                return msgspec.json.decode(file.read(_MAX_BYTES), type=kind)
        except (OSError, msgspec.DecodeError, UnicodeDecodeError):
            return None
