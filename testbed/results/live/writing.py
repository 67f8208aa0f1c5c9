"""Keeps the file of the last capture up to date, for whoever watches a run."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec

from radio.link.reception import Captured
from testbed.results.live.capture import NAME, last_capture
from testbed.results.recordings import CaptureInfo, payload_keys

MIN_INTERVAL_S = 0.25
log = logging.getLogger(__name__)
_ENCODER = msgspec.msgpack.Encoder()


class LiveCapture:
    """Writes at most four times a second; what cannot be written is left out, as no run may end of it."""

    def __init__(self, directory: Path, *, private: bool, clock: Callable[[], float] = time.monotonic) -> None:
        self._path = directory / NAME
        self._partial = directory / f"{NAME}.part"
        self._private = private
        self._clock = clock
        self._due = clock()
        self._works = True

    def offer(self, captured: Sequence[Captured], info: Callable[[], CaptureInfo]) -> None:
        """What a round received, of slots the first; ``info`` is asked only if it is written."""
        now = self._clock()
        if now < self._due or not captured or not self._works:
            return
        self._due = now + MIN_INTERVAL_S
        said = info()
        found = last_capture(
            captured[0].samples,
            payload_keys(captured, said),
            said.parts,
            sample_rate_hz=said.rig.radio.sample_rate_hz,
            margin_samples=said.rig.frame.cyclic_prefix_samples,
            private=self._private,
        )
        try:
            self._partial.write_bytes(_ENCODER.encode(found))
            self._partial.replace(self._path)  # whole for every reader; not forced to disk, the next one comes soon
        except OSError as err:
            log.warning("%s: cannot be written, and is left out from now on: %s", self._path, err)
            self._works = False
