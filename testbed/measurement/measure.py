"""A whole campaign: from a rig to a measurement's directory."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from pathlib import Path

from testbed.config.schema import RunConfig
from testbed.control.air_wire import air_setup, make_air
from testbed.errors import RunDirectoryError
from testbed.measurement import campaign
from testbed.measurement.campaign import Asked, Heard
from testbed.measurement.recordings import save_recording
from testbed.measurement.records import Measurement
from testbed.measurement.report import MeasurementDirectory, write_measurement
from testbed.measurement.summaries import Detail, summarise
from testbed.measurement.verdict import judge
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
    on_heard: Callable[[Heard], None] = lambda _: None,
    should_stop: Callable[[], bool] = lambda: False,
) -> tuple[MeasurementDirectory, Measurement]:
    """Sound the rig's links and write what was found. Raises RadioError and RunDirectoryError."""
    rig = config.rig
    campaign.check(rig, asked)
    medium = make_air(air_setup(config, "measure")) if is_simulated(rig) else None
    if out is not None and out.exists() and not (out.is_dir() and not any(out.iterdir())):
        raise RunDirectoryError(f"{out}: is there already; allowed: a new or an empty directory; {_REMEDY}")
    probe = campaign.probe_of(rig, asked)
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
    links = tuple(detail.link for detail in details)
    judged = judge(links, quiet, rig, seed=config.experiment.seed)
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
        probe_power_dbfs=10 * math.log10(probe.power),
        capture_s=asked.capture_s,
        captures_per_link=asked.num_captures,
        is_triggered=rig.clock.trigger,
        quiet=quiet,
        links=links,
        verdict=None if judged is None else judged[0],
        versions=versions(),
    )
    write_measurement(directory, measurement, details, probe, rig, None if judged is None else judged[1])
    return directory, measurement
