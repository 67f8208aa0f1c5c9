"""From a directory to what its recordings say now, in a file beside them."""

from __future__ import annotations

import re
from pathlib import Path

import msgspec

from testbed.errors import ConfigError, RunDirectoryError
from testbed.measurement.report import MeasurementDirectory
from testbed.reprocessing.payloads import reprocess_run
from testbed.reprocessing.probes import reprocess_measurement
from testbed.reprocessing.records import PayloadsAgain, ProbesAgain
from testbed.results import files
from testbed.results.directory import RunDirectory

_REMEDY = "free some space or make it writable, and reprocess again"


def reprocess(path: Path, scheme_name: str | None = None) -> tuple[Path, ProbesAgain | PayloadsAgain]:
    """Look at a measurement's or a run's recordings again; returns the file that says what came of it, and that.

    Raises ConfigError for a scheme that cannot be used, RunDirectoryError for a directory without recordings.
    """
    found: ProbesAgain | PayloadsAgain
    if MeasurementDirectory(path).record.is_file():
        if scheme_name is not None:
            raise ConfigError(f"--scheme: got {scheme_name!r} with a measurement; allowed with runs only; leave it out")
        name, found = "reprocessed.json", reprocess_measurement(path)
    elif RunDirectory(path).config.is_file():
        found = reprocess_run(RunDirectory.open(path), scheme_name)
        name = f"reprocessed-{re.sub(r'[^A-Za-z0-9_.-]+', '-', found.scheme)}.json"
    else:
        raise RunDirectoryError(
            f"{path}: neither a measurement nor a run (measurement.json, or config.toml and journal.bin, expected); "
            "check the path"
        )
    written = path / name
    files.write(written, msgspec.json.format(msgspec.json.encode(found), indent=2) + b"\n", remedy=_REMEDY)
    return written, found


def is_good(found: ProbesAgain | PayloadsAgain) -> bool:
    """Whether any recording could be looked at."""
    each = found.recordings if isinstance(found, ProbesAgain) else found.rounds
    return any(one.problem is None for one in each)
