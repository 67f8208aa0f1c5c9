"""Raw captures as SigMF: 16-bit integers, and what of each is the probe.

Own namespace ``airzero`` (all optional, of one recording): ``device``, ``direction`` (uplink | downlink),
``probe_period_samples``, ``probe_power_dbfs`` (mean power sent, against full scale), ``full_scale`` (the integer that
is |I| = 1).
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import sigmf
from sigmf import SigMFFile

from radio.measurement.probe import Probe
from radio.samples import IQ
from testbed.errors import RunDirectoryError
from testbed.measurement.records import Direction
from testbed.results import files

FULL_SCALE = 32767
NAMESPACE = "airzero"
_REMEDY = "free some space and measure again"


def save_recording(
    folder: Path,
    samples: IQ,
    *,
    name: str,
    device: int,
    direction: Direction,
    probe: Probe,
    rate_hz: float,
    center_hz: float,
) -> Path:
    """Write NAME.sigmf-data and NAME.sigmf-meta; returns the data's path. Raises RunDirectoryError."""
    data_path = folder / f"{name}.sigmf-data"
    parts = np.round(samples.view(np.float32).astype(np.float64) * FULL_SCALE)
    data = np.clip(parts, -32768, 32767).astype("<i2")
    files.write(data_path, data.tobytes(), remedy=_REMEDY)
    try:
        recording = SigMFFile(
            data_file=str(data_path),
            global_info={
                sigmf.DATATYPE_KEY: "ci16_le",
                sigmf.SAMPLE_RATE_KEY: rate_hz,
                sigmf.VERSION_KEY: "1.0.0",
                sigmf.DESCRIPTION_KEY: f"a repeated probe, {direction} of device {device}",
                "core:extensions": [{"name": NAMESPACE, "version": "1.0.0", "optional": True}],
                f"{NAMESPACE}:device": device,
                f"{NAMESPACE}:direction": direction,
                f"{NAMESPACE}:probe_period_samples": probe.period_samples,
                f"{NAMESPACE}:probe_power_dbfs": 10 * float(np.log10(probe.power)),
                f"{NAMESPACE}:full_scale": FULL_SCALE,
            },
        )
    except OSError as err:
        raise RunDirectoryError(f"{data_path}: cannot be read back: {files.reason(err)}; {_REMEDY}") from err
    recording.add_capture(0, metadata={sigmf.FREQUENCY_KEY: center_hz})
    recording.add_annotation(0, samples.size, metadata={sigmf.LABEL_KEY: f"{direction} {device}: probe"})
    recording.validate()
    files.write(data_path.with_suffix(".sigmf-meta"), f"{recording.dumps(pretty=True)}\n", remedy=_REMEDY)
    return data_path
