"""Sounds the recordings of a measurement again, from their SigMF files alone."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path

import msgspec
import numpy as np

from radio.errors import RadioError
from radio.measurement.sounding import sound
from testbed.errors import RunDirectoryError
from testbed.measurement.records import Direction, Link, Measurement, interval
from testbed.measurement.report import MeasurementDirectory
from testbed.reprocessing.records import ProbeAgain, ProbesAgain
from testbed.results import files
from testbed.results.provenance import versions
from testbed.results.sigmf.reading import ProbeRecording, load_recording

_REMEDY = "restore it from a copy, or measure again"


def reprocess_measurement(path: Path) -> ProbesAgain:
    """Every recording of a measurement's directory, beside what measurement.json says. Raises RunDirectoryError."""
    directory = MeasurementDirectory(path)
    try:
        found = msgspec.json.decode(files.read(directory.record, remedy=_REMEDY), type=Measurement)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as err:
        raise RunDirectoryError(f"{directory.record}: not the record of a measurement ({err}); {_REMEDY}") from err
    metas = sorted(directory.recordings.glob("*.sigmf-meta"))
    if not metas:
        raise RunDirectoryError(f"{directory.recordings}: got no *.sigmf-meta; allowed: at least one; {_REMEDY}")
    links = {(link.device, link.direction): link for link in found.links}
    return ProbesAgain(
        started=found.started,
        recordings=tuple(_again(meta, links) for meta in metas),
        versions=versions(),
    )


def _again(path: Path, links: Mapping[tuple[int, Direction], Link]) -> ProbeAgain:
    try:
        recording = load_recording(path)
        if not isinstance(recording, ProbeRecording):
            raise RunDirectoryError(f"{path}: got the payload of a round; allowed: a probe; move it away")
        return _sounded(path.name, recording, links)
    except (RunDirectoryError, RadioError) as err:
        return ProbeAgain(file=path.name, problem=str(err))
    except ArithmeticError as err:
        problem = f"{path}: got numbers from which no sounding follows ({err}); allowed: those of a probe; {_REMEDY}"
        return ProbeAgain(file=path.name, problem=problem)


def _sounded(name: str, recording: ProbeRecording, links: Mapping[tuple[int, Direction], Link]) -> ProbeAgain:
    keys = recording.keys
    with np.errstate(over="raise", divide="raise", invalid="raise"):
        found = sound(recording.samples, recording.probe, recording.sample_rate_hz, coarse_cfo_hz=keys.coarse_cfo_hz)
    link = links.get((keys.device, keys.direction))
    return ProbeAgain(
        file=name,
        device=keys.device,
        direction=keys.direction,
        capture=keys.capture,
        spoilt=found.spoilt,
        gain_db=interval(found.gain_db),
        cfo_hz=interval(found.cfo_hz),
        snr_db=found.snr_db if math.isfinite(found.snr_db) else None,
        recorded_gain_db=link.gain_db if link is not None else None,
        recorded_cfo_hz=link.cfo_hz if link is not None else None,
        recorded_snr_db=link.snr_db.value if link is not None and link.snr_db is not None else None,
    )
