"""measurement.h5: what measurement.json says, and the arrays behind it."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence

import h5py
import msgspec
import numpy as np

from radio.measurement.probe import Probe
from testbed.measurement.records import Measurement
from testbed.measurement.summaries import Detail


def as_hdf5(measurement: Measurement, details: Sequence[Detail], probe: Probe) -> bytes:
    """A file with a group for each link, ``uplink-000`` and so on; units are in names.

    Attributes of the file and of groups are the fields of measurement.json, nested ones behind a dot. A group's arrays:
    ``times_s``, ``gains_db``, ``cfos_hz`` [good captures]; ``response`` complex [bins] of the first good capture at
    ``/frequencies_hz`` [bins]; ``delay_profile`` [delays], linear, with ``delays_s``; ``path_gains`` complex and
    ``path_delays_s`` [paths]; ``phase_drift_rad`` at ``phase_lags_s``; ``doppler_power`` at ``doppler_hz``.
    """
    buffer = io.BytesIO()
    rate = measurement.sample_rate_hz
    with h5py.File(buffer, "w") as file:
        plain = msgspec.to_builtins(measurement)
        _note(file, {key: value for key, value in plain.items() if key not in ("links", "verdict")})
        file["frequencies_hz"] = probe.bins / probe.period_samples * rate
        for detail, link in zip(details, plain["links"], strict=True):
            group = file.create_group(f"{detail.link.direction}-{detail.link.device:03d}")
            _note(group, {key: value for key, value in link.items() if key != "paths"})
            for name, values in _arrays(detail, rate).items():
                group[name] = values
    return buffer.getvalue()


def _arrays(detail: Detail, rate: float) -> dict[str, np.ndarray[tuple[int, ...], np.dtype[np.generic]]]:
    if detail.profile is None or detail.response is None or detail.drift is None or detail.motion is None:
        return {}
    size = detail.profile.powers.size
    return {
        "times_s": detail.times_s,
        "gains_db": detail.gains_db,
        "cfos_hz": detail.cfos_hz,
        "response": detail.response,
        "delay_profile": detail.profile.powers,
        "delays_s": (detail.profile.origin_samples + np.arange(size)) / rate,
        "path_gains": np.array([path.gain for path in detail.paths], dtype=np.complex128),
        "path_delays_s": np.array([path.delay_samples for path in detail.paths]) / rate,
        "phase_lags_s": detail.drift.lags_s,
        "phase_drift_rad": detail.drift.rms_rad,
        "doppler_hz": detail.motion.doppler_hz,
        "doppler_power": detail.motion.doppler_power,
    }


def _note(where: h5py.Group, values: Mapping[str, object], front: str = "") -> None:
    """What is unknown is left out."""
    for key, value in values.items():
        if isinstance(value, Mapping):
            _note(where, value, f"{front}{key}.")
        elif value is not None:
            where.attrs[f"{front}{key}"] = value
