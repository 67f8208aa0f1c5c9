"""Which radio is which: serial numbers of a rig's stations."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from radio.errors import RadioError
from testbed.bench.rig import setup_of
from testbed.config.backends import backend_of, settings_of
from testbed.config.schema import Rig
from testbed.errors import ConfigError


@dataclass(frozen=True, slots=True, kw_only=True)
class Serials:
    """Serial numbers of a rig's radios."""

    by_station: tuple[str | None, ...]
    """The access point last; None where a radio has none."""
    problems: Mapping[int, RadioError]
    """Of stations that did not answer."""


def serials_of(rig: Rig) -> Serials:
    """Of every station. Raises ConfigError for two of one number."""
    backend, settings, setup = backend_of(rig), settings_of(rig), setup_of(rig)
    found: list[str | None] = []
    problems: dict[int, RadioError] = {}
    for station in range(rig.num_devices + 1):
        try:
            found.append(backend.serial(settings, station, setup))
        except RadioError as err:
            found.append(None)
            problems[station] = err
    twice = [serial for serial, count in Counter(found).items() if serial is not None and count > 1]
    if twice:
        raise ConfigError(
            f"radios: got serial number {twice[0]} twice; allowed: one of its own for each radio, by which a "
            "calibration knows it again; look at the rig's addresses"
        )
    return Serials(by_station=tuple(found), problems=problems)


def key_of(serial: str | None, station: int) -> str:
    """What a radio is called in a calibration."""
    return serial if serial is not None else f"station-{station}"
