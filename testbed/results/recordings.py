"""Captured IQ as SigMF: a data file of complex64 and a JSON file that says what it is."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import sigmf
from sigmf import SigMFFile

from radio.samples import IQ
from testbed.errors import RunDirectoryError


@dataclass(frozen=True, slots=True, kw_only=True)
class CaptureInfo:
    """What a recording is of."""

    round: int
    attempt: int
    scheme: str
    sample_rate_hz: float
    center_freq_hz: float
    run_id: str


def save_capture(directory: Path, samples: IQ, info: CaptureInfo) -> Path:
    """Write ``round-NNNNNN.sigmf-data`` and ``.sigmf-meta``; returns the path of the data file."""
    data_path = directory / f"round-{info.round:06d}.sigmf-data"
    try:
        np.asarray(samples, dtype=np.complex64).tofile(data_path)
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
        recording.add_capture(0, metadata={sigmf.FREQUENCY_KEY: info.center_freq_hz})
        recording.tofile(str(data_path.with_suffix("")), overwrite=True)
    except OSError as err:
        raise RunDirectoryError(f"{data_path}: {err.strerror}; free some space and continue with --resume") from err
    return data_path


def load_capture(data_path: Path) -> IQ:
    """The samples of a recording, complex64 [N]."""
    return np.fromfile(data_path, dtype=np.complex64)
