"""Taps as they were measured: block after block, for each device."""

from __future__ import annotations

import zipfile
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np

from radio.arrays import Complexes, Reals
from radio.errors import RadioConfigError

MAX_BYTES = 1 << 30


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class RecordedFading:
    """Gains [K, L] of each block, as a multiple of the amplitude of the link's path loss.

    Round n has the n-th recorded block, and so on from the beginning once all were had; another attempt is one on.
    """

    taps: Complexes
    """[blocks, K, L], mean power over blocks and taps 1 for each device."""
    delays_samples: Reals
    """[L]"""

    @property
    def powers(self) -> Reals:
        """[L], mean over devices and blocks."""
        found: Reals = np.mean(np.abs(self.taps) ** 2, axis=(0, 1))
        return found

    def gains(self, round_index: int, attempt: int) -> Complexes:
        """The block's gains."""
        found: Complexes = self.taps[(round_index + max(attempt, 1) - 1) % len(self.taps)]
        return found


def load_recording(path: str, sample_rate_hz: float) -> RecordedFading:
    """The recorded taps of an .npz with ``taps`` complex [blocks, K, L], ``tap_delays_samples`` [L], ``rate_hz``.

    Raises RadioConfigError for what is no such file, or was recorded at another rate.
    """
    file = Path(path).expanduser()
    try:
        stamp = file.stat()
    except OSError as err:
        raise RadioConfigError(
            f"air.recording: cannot read {path!r}: {err.strerror}; name taps.npz of a measurement"
        ) from err
    if stamp.st_size > MAX_BYTES:
        raise RadioConfigError(f"air.recording: {path!r} has {stamp.st_size} bytes; allowed: {MAX_BYTES}; record less")
    recording, rate_hz = _loaded(str(file), stamp.st_mtime_ns)
    if rate_hz != sample_rate_hz:
        raise RadioConfigError(
            f"air.recording: {path!r} was recorded at {rate_hz:g} samples/s; this rig has {sample_rate_hz:g}; set "
            "radio.sample_rate_hz to that, or measure again"
        )
    return recording


@lru_cache(maxsize=2)
def _loaded(path: str, _: int) -> tuple[RecordedFading, float]:
    try:
        with Path(path).open("rb") as raw, np.load(raw, allow_pickle=False) as arrays:
            taps = np.asarray(arrays["taps"], dtype=np.complex128)
            delays = np.asarray(arrays["tap_delays_samples"], dtype=np.float64)
            rate_hz = float(arrays["rate_hz"])
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as err:
        raise RadioConfigError(f"air.recording: {path!r} holds no recorded taps ({err}); measure again") from err
    if taps.ndim != 3 or 0 in taps.shape or delays.shape != taps.shape[2:] or not np.isfinite(taps).all():
        raise RadioConfigError(
            f"air.recording: {path!r} has taps of shape {taps.shape} and {delays.size} delays; allowed: finite "
            "[blocks, devices, taps] and a delay each; measure again"
        )
    if not (np.isfinite(delays).all() and (delays >= 0).all()):
        raise RadioConfigError(f"air.recording: {path!r} has delays below 0; allowed: 0 and above; measure again")
    powers = np.sum(np.mean(np.abs(taps) ** 2, axis=0), axis=1)
    if not (powers > 0).all():
        raise RadioConfigError(f"air.recording: {path!r} has a device that is never heard; leave it out")
    return RecordedFading(taps=taps / np.sqrt(powers)[:, None], delays_samples=delays), rate_hz
