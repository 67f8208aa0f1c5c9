"""A calibration file: what each radio of a rig is off by, known again by its serial number."""

from __future__ import annotations

from datetime import datetime
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
import tomli_w

from radio.allowed import refusal
from radio.config import MAX_FREQUENCY_HZ
from testbed.config.files import read_toml
from testbed.config.schema import Config
from testbed.errors import ConfigError
from testbed.results import files

Format = Literal["airzero calibration 1"]
FORMAT: Format = "airzero calibration 1"
DEFAULT_NAME = "calibration.toml"
_REMEDY = "choose another --out"
_HEADER = "# Written by `testbed calibrate`. cable_loss_db may be corrected by hand, everything else was measured.\n"

Decibels = Annotated[float, msgspec.Meta(ge=-300, le=300)]
HalfWidthDb = Annotated[float, msgspec.Meta(ge=0, le=300)]
Ppm = Annotated[float, msgspec.Meta(ge=-1000, le=1000)]
Dbm = Annotated[float, msgspec.Meta(ge=-300, le=300)]
LossDb = Annotated[float, msgspec.Meta(ge=0, le=200)]
RadioKey = Annotated[
    str,
    msgspec.Meta(min_length=1, max_length=200, description="a serial number, or station-3 where radios have none"),
]
ZonedDate = Annotated[
    datetime, msgspec.Meta(tz=True, description="a date and time with its zone, such as 2026-03-01T12:00:00+01:00")
]


class GainPoint(Config, frozen=True):
    """What one setting of a gain really does."""

    setting_db: Decibels
    measured_db: Decibels
    """Against the rig's own setting, at which the calibration was made."""
    half_width_db: HalfWidthDb
    """Half of the 95 % interval."""


class RadioCalibration(Config, frozen=True):
    """One radio."""

    station: str
    """What it was on the rig: ``device 0``, ``access point``."""
    ppm: Ppm
    """Error of its carrier against the reference."""
    ppm_half_width: Annotated[float, msgspec.Meta(ge=0, le=1000)]
    """Half of the 95 % interval; 0 for the reference radio itself."""
    tx_gain_table: tuple[GainPoint, ...] = ()
    """Ascending; empty where it was not measured."""
    rx_gain_table: tuple[GainPoint, ...] = ()
    """The same of its receiver."""
    cable_loss_db: LossDb = 0.0
    """Between its connector and the antenna, as the user says; 0 where the antenna sits on the radio."""
    full_scale_dbm: Dbm | None = None
    """Power at its connector that is full scale at the calibration's ``rx_gain_db``; absent where none was known."""
    full_scale_half_width_db: HalfWidthDb = 0.0
    """Half of the 95 % interval, of what was measured; the source's own error comes on top."""
    link_gain_db: Decibels | None = None
    """From its full scale to the reference radio's, through ``attenuator_db``; absent for the reference radio."""
    link_gain_half_width_db: HalfWidthDb = 0.0
    """Half of the 95 % interval."""

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("tx_gain_table", "rx_gain_table"):
            settings = [point.setting_db for point in getattr(self, name)]
            if any(first >= second for first, second in pairwise(settings)):
                raise ConfigError(f"{name}: got settings {settings}; allowed: each larger than the one before")


class Calibration(Config, frozen=True):
    """calibration.toml."""

    format: Format
    date: ZonedDate
    """When it was measured."""
    rig: str
    """Its description."""
    backend: str
    sample_rate_hz: Annotated[float, msgspec.Meta(gt=0, le=1e9)]
    center_freq_hz: Annotated[float, msgspec.Meta(gt=0, le=MAX_FREQUENCY_HZ)]
    tx_gain_db: Decibels
    """Of all transmitters: what ``tx_gain_table`` is relative to."""
    rx_gain_db: Decibels
    """Of all receivers: what ``rx_gain_table`` is relative to."""
    reference: RadioKey
    """The radio that the others were measured against: the access point."""
    radios: dict[RadioKey, RadioCalibration]
    """By serial number."""
    reference_ppm: Ppm | None = None
    """Its own error, where the lab knows it; else every ``ppm`` is relative to it."""
    attenuator_db: LossDb | None = None
    """All that was between the connectors of both radios; absent where nobody said."""
    notes: tuple[str, ...] = ()
    """What was left out, and what disagreed."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.reference not in self.radios:
            raise ConfigError(f"reference: got {self.reference!r}; allowed: one of the radios, {sorted(self.radios)}")


def read_calibration(path: Path) -> Calibration:
    """A calibration file. Raises ConfigError in one line for what is none, or damaged."""
    remedy = "give a file of `testbed calibrate`, or calibrate again"
    if not path.exists():
        raise ConfigError(f"{path}: no such file; {remedy}")
    try:
        table = read_toml(path)
    except RecursionError as err:
        raise ConfigError(f"{path}: not TOML: it is nested too deep; {remedy}") from err
    try:
        return msgspec.convert(table, Calibration)
    except msgspec.ValidationError as err:
        raise ConfigError(f"{path}: {refusal(err, table, Calibration)}; {remedy}") from err


def check_place(path: Path) -> None:
    """Raise ConfigError for a file that is there and is no calibration: it is not replaced."""
    if path.exists():
        try:
            read_calibration(path)
        except ConfigError as err:
            raise ConfigError(
                f"{path}: is there already and is no calibration; allowed: a new file, or an older calibration, of "
                f"which a copy is kept; {_REMEDY}"
            ) from err


def write_calibration(path: Path, calibration: Calibration) -> None:
    """Whole or not at all; what was there stays beside it as .N.bak. Raises RunDirectoryError."""
    if path.exists():
        files.keep_copy(path, files.read(path, remedy=_REMEDY))
    files.write(path, as_toml(calibration), remedy=_REMEDY)


def as_toml(calibration: Calibration) -> str:
    """What the file holds."""
    plain = msgspec.to_builtins(calibration, builtin_types=(datetime,))
    return _HEADER + tomli_w.dumps(_given(plain))


def _given(value: Any) -> Any:
    """Without what is absent or empty."""
    if isinstance(value, dict):
        return {key: _given(each) for key, each in value.items() if each not in (None, ())}
    return [_given(each) for each in value] if isinstance(value, (list, tuple)) else value
