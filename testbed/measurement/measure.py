"""A whole campaign: from a rig to a measurement's directory."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from radio.backends.backend import station_name
from testbed.bench.rig import setup_of
from testbed.bench.serials import serials_of
from testbed.config.schema import RunConfig
from testbed.control.air_wire import air_setup, make_air
from testbed.errors import RunDirectoryError
from testbed.measurement import campaign
from testbed.measurement.calibration import read_calibration
from testbed.measurement.campaign import Asked, Heard
from testbed.measurement.corrections import MAX_AGE_DAYS, calibrated, fit, used
from testbed.measurement.recordings import save_recording
from testbed.measurement.records import Measurement
from testbed.measurement.report import MeasurementDirectory, write_measurement
from testbed.measurement.summaries import Detail, summarise
from testbed.measurement.verdict import judge, with_threshold
from testbed.planning.terms import is_simulated
from testbed.results import files
from testbed.results.directory import free_place
from testbed.results.provenance import versions

_REMEDY = "choose another --out"


def measure(
    config: RunConfig,
    asked: Asked,
    *,
    out: Path | None = None,
    calibration: Path | None = None,
    max_age_days: float = MAX_AGE_DAYS,
    on_heard: Callable[[Heard], None] = lambda _: None,
    should_stop: Callable[[], bool] = lambda: False,
) -> tuple[MeasurementDirectory, Measurement]:
    """Sound the rig's links and write what was found. Raises RadioError, RunDirectoryError and ConfigError.

    A calibration file, if there is one, also says gains between antenna ports, powers and drifts.
    """
    rig = config.rig
    campaign.check(rig, asked)
    read = None if calibration is None else read_calibration(calibration)
    medium = make_air(air_setup(config, "measure")) if is_simulated(rig) else None
    if out is not None and out.exists() and not (out.is_dir() and not any(out.iterdir())):
        raise RunDirectoryError(f"{out}: is there already; allowed: a new or an empty directory; {_REMEDY}")
    probe = campaign.probe_of(rig, asked)
    serials = serials_of(rig).by_station
    corrections = None
    if read is not None:
        now = datetime.now(UTC)
        corrections = fit(read, rig, serials, now=now, max_age_days=max_age_days, directions=asked.directions)
    started = time.strftime("%Y-%m-%dT%H:%M:%S%z")
    quiet = campaign.listen(rig, medium)  # before anything is made: radios that do not answer leave nothing behind
    directory = MeasurementDirectory(out or free_place("measure"))
    files.make_folder(directory.path, remedy=_REMEDY)
    files.make_folder(directory.recordings, remedy=_REMEDY)
    details: list[Detail] = []
    for heard in campaign.sound_links(rig, asked, medium, on_heard, should_stop):
        details.append(summarise(heard, rig, asked))
        for kept in heard.kept:
            save_recording(directory.recordings, heard, kept, probe, rig)
    probe_power_dbfs = 10 * math.log10(probe.power)
    if corrections is not None:
        details = [
            replace(detail, link=calibrated(detail.link, corrections, rig, probe_power_dbfs)) for detail in details
        ]
    links = tuple(detail.link for detail in details)
    verdict, fitted = judge(links, quiet, rig, seed=config.experiment.seed) or (None, None)
    if verdict is not None and fitted is not None:
        verdict = with_threshold(verdict, fitted, config.experiment)
    measurement = Measurement(
        started=started,
        rig=rig.description,
        backend=rig.backend,
        num_devices=rig.num_devices,
        sample_rate_hz=rig.radio.sample_rate_hz,
        center_freq_hz=rig.radio.center_freq_hz,
        tx_gain_db=rig.radio.tx_gain_db,
        rx_gain_db=rig.radio.rx_gain_db,
        probe_period_samples=probe.period_samples,
        probe_power_dbfs=probe_power_dbfs,
        capture_s=asked.capture_s,
        captures_per_link=asked.num_captures,
        is_triggered=rig.clock.trigger,
        quiet=quiet,
        links=links,
        verdict=verdict,
        serials={
            station_name(station, setup_of(rig)): serial for station, serial in enumerate(serials) if serial is not None
        },
        calibration=None if corrections is None else used(corrections, str(calibration)),
        versions=versions(),
    )
    write_measurement(directory, measurement, details, probe, rig, fitted)
    return directory, measurement
