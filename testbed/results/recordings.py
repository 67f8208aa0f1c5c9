"""Received payloads as SigMF: complex64, one segment of a superposed payload or one for each slot.

With what the receiver knew (plan, channels, noise), so that the estimate follows from the file.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from radio.link.reception import Captured
from radio.records import Plan
from radio.samples import IQ
from radio.waveform.base import Part
from radio.waveform.modulation import is_saturated
from testbed.config.schema import Rig
from testbed.errors import RunDirectoryError
from testbed.results import files
from testbed.results.sigmf.meta import (
    PAYLOAD_DATATYPE,
    PayloadKeys,
    PayloadSegmentKeys,
    PlanKeys,
    channels_of,
)
from testbed.results.sigmf.writing import Contents, Note, Segment, station, write_recording

_REMEDY = "free some space and continue with --resume"


@dataclass(frozen=True, slots=True, kw_only=True)
class CaptureInfo:
    """What a recording is of."""

    round: int
    attempt: int
    scheme: str
    run_id: str
    rig: Rig
    plan: Plan
    parts: tuple[Part, ...] = ()
    """Of the payload, or of each slot."""


def is_recorded(round_index: int, *, eval_every: int) -> bool:
    """Whether a round's received payload is kept: that of the first round, and of every evaluated one."""
    return round_index == 0 or (round_index + 1) % eval_every == 0


def save_capture(
    directory: Path, captured: Sequence[Captured], info: CaptureInfo, *, max_bytes: float = math.inf
) -> bool:
    """Write ``round-NNNNNN.sigmf-data`` and ``.sigmf-meta``, unless the folder would pass ``max_bytes`` of samples.

    Returns whether they were kept. Raises RunDirectoryError.
    """
    data = b"".join(np.asarray(each.samples, dtype=np.complex64).tobytes() for each in captured)
    data_path = directory / f"round-{info.round:06d}.sigmf-data"
    files.check_there(directory.parent)
    if not directory.is_dir():
        files.make_folder(directory, remedy=_REMEDY)
    kept = sum(path.stat().st_size for path in directory.glob("*.sigmf-data") if path != data_path)
    if kept + len(data) > max_bytes:
        return False
    write_recording(data_path, data, _contents(captured, info), remedy=_REMEDY)
    return True


def payload_keys(captured: Sequence[Captured], info: CaptureInfo) -> PayloadKeys:
    """What is said of a payload as a whole."""
    return PayloadKeys(
        round=info.round,
        attempt=info.attempt,
        scheme=info.scheme,
        run_id=info.run_id,
        air_level="symbol" if info.rig.frame.is_symbol_level else "sample",
        num_samples=sum(each.samples.size for each in captured),
        plan=PlanKeys.of(info.plan),
        channels=channels_of(info.plan, captured[0].known),
        sounding_saturated=any(each.known.saturated for each in captured),
    )


def _contents(captured: Sequence[Captured], info: CaptureInfo) -> Contents:
    frame = info.rig.frame
    return Contents(
        datatype=PAYLOAD_DATATYPE,
        description=f"payload of round {info.round}, attempt {info.attempt}, scheme {info.scheme}, run {info.run_id}",
        keys=payload_keys(captured, info),
        rig=info.rig,
        senders=[station(info.rig, device) for device in info.plan.active],
        receiver=station(info.rig, info.rig.num_devices),
        segments=[
            Segment(
                num_samples=each.samples.size,
                global_index=each.known.first_sample,
                began_unix_s=each.began_unix_s,
                overloaded=None if frame.is_symbol_level else is_saturated(each.samples, frame),
                keys=PayloadSegmentKeys(
                    noise_power=float(each.known.noise_power),
                    value_power=float(each.known.value_power),
                    device=each.device,
                ),
                notes=tuple(
                    Note(
                        label=part.name,
                        first_sample=part.first_sample,
                        num_samples=part.num_samples,
                        comment="" if each.device is None else f"{station(info.rig, each.device)} to the access point",
                    )
                    for part in info.parts
                ),
            )
            for each in captured
        ],
    )


def load_capture(data_path: Path) -> IQ:
    """The samples of a recorded payload, also one of an earlier version, complex64 [N]. Raises RunDirectoryError."""
    data = files.read(data_path, remedy="give a .sigmf-data file of a run")
    if len(data) % np.dtype(np.complex64).itemsize:
        raise RunDirectoryError(
            f"{data_path}: got {len(data)} bytes; allowed: 8 a sample; the file was cut off, leave it out"
        )
    return np.frombuffer(data, dtype=np.complex64)
