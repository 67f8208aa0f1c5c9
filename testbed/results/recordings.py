"""Captured IQ as SigMF: a data file of complex64 and a JSON file that says what it is."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import sigmf
from sigmf import SigMFFile

from radio.samples import IQ
from testbed.errors import RunDirectoryError
from testbed.results import files

_REMEDY = "free some space and continue with --resume"


@dataclass(frozen=True, slots=True, kw_only=True)
class CaptureInfo:
    """What a recording is of."""

    round: int
    attempt: int
    scheme: str
    sample_rate_hz: float
    center_freq_hz: float
    run_id: str


def is_recorded(round_index: int, *, eval_every: int) -> bool:
    """Whether a round's received payload is kept: that of the first round, and of every evaluated one."""
    return round_index == 0 or (round_index + 1) % eval_every == 0


def save_capture(directory: Path, samples: IQ, info: CaptureInfo, *, max_bytes: float = math.inf) -> bool:
    """Write ``round-NNNNNN.sigmf-data`` and ``.sigmf-meta``, unless the folder would pass ``max_bytes`` of samples.

    Returns whether they were kept. Raises RunDirectoryError.
    """
    data = np.asarray(samples, dtype=np.complex64).tobytes()
    data_path = directory / f"round-{info.round:06d}.sigmf-data"
    files.check_there(directory.parent)
    if not directory.is_dir():
        files.make_folder(directory, remedy=_REMEDY)
    kept = sum(path.stat().st_size for path in directory.glob("*.sigmf-data") if path != data_path)
    if kept + len(data) > max_bytes:
        return False
    files.write(data_path, data, remedy=_REMEDY)
    files.write(data_path.with_suffix(".sigmf-meta"), _meta(data_path, info), remedy=_REMEDY)
    return True


def _meta(data_path: Path, info: CaptureInfo) -> str:
    """SigMF's JSON, with the checksum of the data."""
    try:
        recording = SigMFFile(
            data_file=str(data_path),
            global_info={
                sigmf.DATATYPE_KEY: "cf32_le",
                sigmf.SAMPLE_RATE_KEY: info.sample_rate_hz,
                sigmf.DESCRIPTION_KEY: (
                    f"payload of round {info.round}, attempt {info.attempt}, scheme {info.scheme}, run {info.run_id}"
                ),
                sigmf.VERSION_KEY: "1.0.0",
            },
        )
    except OSError as err:
        raise RunDirectoryError(f"{data_path}: cannot be read back: {files.reason(err)}; {_REMEDY}") from err
    recording.add_capture(0, metadata={sigmf.FREQUENCY_KEY: info.center_freq_hz})
    return f"{recording.dumps(pretty=True)}\n"


def load_capture(data_path: Path) -> IQ:
    """The samples of a recording, complex64 [N]. Raises RunDirectoryError."""
    data = files.read(data_path, remedy="give a .sigmf-data file of a run")
    if len(data) % np.dtype(np.complex64).itemsize:
        raise RunDirectoryError(
            f"{data_path}: got {len(data)} bytes; allowed: 8 a sample; the file was cut off, leave it out"
        )
    return np.frombuffer(data, dtype=np.complex64)
