"""Finds the last capture of a run: the file that a watched run keeps, or the newest of its recordings."""

from __future__ import annotations

import os
from pathlib import Path

from testbed.config.schema import RunConfig
from testbed.dashboard.pictures import Picture, picture_of
from testbed.errors import RunDirectoryError
from testbed.results.live.capture import NAME, LastCapture, read_last, read_recorded

_Found = tuple[int, int, str]
"""Time of change, inode, name."""


class Captures:
    """Reads a capture once, when it is new."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._seen: _Found | None = None
        self.picture: Picture | None = None
        self.problem: str | None = None
        """Why the newest one cannot be shown."""

    def look(self, config: RunConfig) -> bool:
        """Whether there is a new one, or the last one is gone."""
        newest = self._newest()
        if newest == self._seen:
            return False
        self._seen = newest
        self.picture, self.problem = None, None
        if newest is not None:
            try:
                self.picture = self._read(newest[2], config)
            except RunDirectoryError as err:
                self.problem = str(err)
        return True

    def _newest(self) -> _Found | None:
        found = []
        try:
            live = (self._directory / NAME).stat()
            found.append((live.st_mtime_ns, live.st_ino, NAME))
        except OSError:
            pass
        try:
            with os.scandir(self._directory / "captures") as entries:
                names = [each.name for each in entries if each.name.startswith("round-")]
            metas = [name for name in names if name.endswith(".sigmf-meta")]
            if metas:
                last = max(metas)
                stat = (self._directory / "captures" / last).stat()
                found.append((stat.st_mtime_ns, stat.st_ino, last))
        except OSError:
            pass
        return max(found, default=None)

    def _read(self, name: str, config: RunConfig) -> Picture:
        rig, private = config.rig, not config.experiment.ground_truth
        capture: LastCapture
        if name == NAME:
            capture, source = read_last(self._directory / NAME), "live"
            if private and not capture.withheld and any(not part.is_public for part in capture.parts):
                raise RunDirectoryError(f"{NAME}: got samples of a private run; it was not written for this run")
        else:
            path = self._directory / "captures" / name
            margin = rig.frame.cyclic_prefix_samples
            capture, source = read_recorded(path, margin_samples=margin, private=private), "recording"
        return picture_of(capture, rig.frame, rig.radio, num_devices=rig.num_devices, source=source)
