"""Writes a recording: samples, and JSON that passes SigMF's own validation. Says nothing of who made it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

import msgspec
import sigmf
from sigmf import SigMFFile

from testbed.config.backends import backend_of
from testbed.config.schema import Rig
from testbed.errors import RunDirectoryError
from testbed.results import files
from testbed.results.provenance import versions
from testbed.results.sigmf.meta import NAMESPACE, VERSION

_NTIA_VERSION = "v2.0.0"


@dataclass(frozen=True, slots=True, kw_only=True)
class Segment:
    """One capture in a recording."""

    num_samples: int
    global_index: int
    """Of its first sample, on the clock that times the rig's captures."""
    began_unix_s: float
    overloaded: bool | None
    """Whether a sample is at full scale; None where there is no converter."""
    keys: msgspec.Struct | None = None
    """Of our namespace."""
    notes: tuple[Note, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Note:
    """An annotation, from its segment's begin."""

    label: str
    first_sample: int
    num_samples: int
    comment: str = ""
    edges_hz: tuple[float, float] | None = None
    """Lower and upper, from the centre."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Contents:
    """What a recording is of."""

    datatype: str
    description: str
    keys: msgspec.Struct
    """Of our namespace, for the whole recording."""
    rig: Rig
    senders: Sequence[str]
    receiver: str
    segments: Sequence[Segment] = field(default_factory=tuple)


def write_recording(data_path: Path, data: bytes, contents: Contents, *, remedy: str) -> None:
    """Write ``data_path`` and the .sigmf-meta beside it. Raises RunDirectoryError."""
    files.write(data_path, data, remedy=remedy)
    try:
        recording = SigMFFile(data_file=str(data_path), metadata=_metadata(contents))
    except OSError as err:
        raise RunDirectoryError(f"{data_path}: cannot be read back: {files.reason(err)}; {remedy}") from err
    recording.validate()
    files.write(data_path.with_suffix(".sigmf-meta"), f"{recording.dumps(pretty=True)}\n", remedy=remedy)


def station(rig: Rig, number: int) -> str:
    """What a station is called, the access point coming behind the last device."""
    return "access point" if number == rig.num_devices else f"device {number}"


def _metadata(contents: Contents) -> dict[str, Any]:
    """All at once: `add_capture` and `add_annotation` sort whatever is there, each time."""
    captures, annotations = [], []
    begin = 0
    for segment in contents.segments:
        captures.append({sigmf.SAMPLE_START_KEY: begin, **_capture(segment, contents.rig)})
        annotations += [_annotation(note, begin, contents.rig) for note in segment.notes]
        begin += segment.num_samples
    return {"global": _global(contents), "captures": captures, "annotations": annotations}


def _annotation(note: Note, begin: int, rig: Rig) -> dict[str, Any]:
    about: dict[str, Any] = {
        sigmf.SAMPLE_START_KEY: begin + note.first_sample,
        sigmf.SAMPLE_COUNT_KEY: note.num_samples,
        sigmf.LABEL_KEY: note.label,
    }
    if note.comment:
        about[sigmf.COMMENT_KEY] = note.comment
    if note.edges_hz is not None:
        low, high = note.edges_hz
        about[sigmf.FREQ_LOWER_EDGE_KEY] = rig.radio.center_freq_hz + low
        about[sigmf.FREQ_UPPER_EDGE_KEY] = rig.radio.center_freq_hz + high
    return about


def _global(contents: Contents) -> dict[str, Any]:
    rig = contents.rig
    extensions = [(NAMESPACE, VERSION), ("ntia-emitter", _NTIA_VERSION), ("ntia-sensor", _NTIA_VERSION)]
    return {
        sigmf.DATATYPE_KEY: contents.datatype,
        sigmf.SAMPLE_RATE_KEY: rig.radio.sample_rate_hz,
        sigmf.VERSION_KEY: sigmf.__specification__,
        sigmf.DESCRIPTION_KEY: contents.description,
        sigmf.HW_KEY: _hardware(rig),
        sigmf.RECORDER_KEY: _recorder(),
        sigmf.EXTENSIONS_KEY: [{"name": name, "version": number, "optional": True} for name, number in extensions],
        "ntia-emitter:emitters": [
            {"id": sender, "center_frequency": rig.radio.center_freq_hz} for sender in contents.senders
        ],
        "ntia-sensor:sensor": {"sensor_spec": {"id": contents.receiver, "description": _hardware(rig)}},
        **msgspec.to_builtins(contents.keys),
    }


def _capture(segment: Segment, rig: Rig) -> dict[str, Any]:
    at = datetime.fromtimestamp(segment.began_unix_s, UTC).isoformat(timespec="microseconds")
    found: dict[str, Any] = {
        sigmf.FREQUENCY_KEY: rig.radio.center_freq_hz,
        sigmf.DATETIME_KEY: at.replace("+00:00", "Z"),
        sigmf.GLOBAL_INDEX_KEY: segment.global_index,
    }
    if segment.overloaded is not None:
        found["ntia-sensor:overload"] = segment.overloaded
    if not backend_of(rig).is_simulated:
        found["ntia-sensor:sigan_settings"] = {"gain": rig.radio.rx_gain_db}
    if segment.keys is not None:
        found |= msgspec.to_builtins(segment.keys)
    return found


@cache
def _recorder() -> str:
    return f"airzero-testbed {versions()['airzero-testbed']}"


def _hardware(rig: Rig) -> str:
    kind = "virtual pluto" if rig.backend == "pluto" and rig.pluto.is_virtual else rig.backend
    return f"{kind}: {rig.description}" if rig.description else kind
