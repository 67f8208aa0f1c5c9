"""Raw captures as SigMF: 16-bit integers, and what of each is the probe, from whom to whom (docs/sigmf.md)."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from radio.measurement.probe import Probe
from testbed.config.schema import Rig
from testbed.measurement.campaign import Kept, LinkHeard
from testbed.results.sigmf.meta import PROBE_DATATYPE, ProbeKeys
from testbed.results.sigmf.writing import Contents, Note, Segment, station, write_recording

FULL_SCALE = 32767
_REMEDY = "free some space and measure again"


def save_recording(folder: Path, heard: LinkHeard, kept: Kept, probe: Probe, rig: Rig) -> Path:
    """Write DIRECTION-DEVICE-CAPTURE.sigmf-data and .sigmf-meta; returns the data's path. Raises RunDirectoryError."""
    data_path = folder / f"{heard.direction}-{heard.device:03d}-{kept.number:03d}.sigmf-data"
    reals = kept.samples.view(np.float32).astype(np.float64)
    data = np.clip(np.round(reals * FULL_SCALE), -32768, 32767).astype("<i2")
    ends = station(rig, heard.device), station(rig, rig.num_devices)
    sender, receiver = ends if heard.direction == "uplink" else ends[::-1]
    bin_hz = rig.radio.sample_rate_hz / probe.period_samples
    contents = Contents(
        datatype=PROBE_DATATYPE,
        description=f"a repeated probe, {heard.direction} of device {heard.device}, capture {kept.number}",
        keys=ProbeKeys(
            device=heard.device,
            direction=heard.direction,
            capture=kept.number,
            num_samples=kept.samples.size,
            probe_period_samples=probe.period_samples,
            probe_power_dbfs=10 * float(np.log10(probe.power)),
            full_scale=FULL_SCALE,
            coarse_cfo_hz=kept.coarse_cfo_hz,
        ),
        rig=rig,
        senders=[sender],
        receiver=receiver,
        segments=[
            Segment(
                num_samples=kept.samples.size,
                global_index=kept.first_sample,
                began_unix_s=kept.began_unix_s,
                overloaded=bool(np.abs(reals).max() >= 1),
                notes=(
                    Note(
                        label="probe",
                        first_sample=0,
                        num_samples=kept.samples.size,
                        comment=f"{sender} to {receiver}",
                        edges_hz=(float(probe.bins[0]) * bin_hz, float(probe.bins[-1]) * bin_hz),
                    ),
                ),
            )
        ],
    )
    write_recording(data_path, data.tobytes(), contents, remedy=_REMEDY)
    return data_path
