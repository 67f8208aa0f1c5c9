"""A calibration on a rig: whether it fits, and what it makes of measured links. Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

import msgspec
import numpy as np

from radio.measurement.sounding import Value
from testbed.bench.serials import key_of
from testbed.config.schema import Rig
from testbed.errors import ConfigError
from testbed.measurement.calibration import Calibration, GainPoint, RadioCalibration
from testbed.measurement.records import CalibrationUse, Direction, Interval, Link, interval

MAX_AGE_DAYS = 90.0
REFUSED_AGES = 10.0
"""From so many times the largest age on a calibration is refused."""
MAX_FREQUENCY_SHARE = 0.01
"""Gains that were measured further away than this are not applied."""
_CLOCK_SKEW = timedelta(days=1)
_RENEW = "renew it with `testbed calibrate`"
CALIBRATED_HEADER = ("link", "at reference dB", "antenna to antenna dB", "received dBm", "drift ppm")


@dataclass(frozen=True, slots=True, kw_only=True)
class Fit:
    """A calibration beside the rig that it is used on."""

    calibration: Calibration
    radios: tuple[RadioCalibration | None, ...]
    """By station, the access point last; None for one that the file does not have."""
    uses_gains: bool
    age_days: float
    remarks: tuple[str, ...]
    """All that keeps it from being trusted whole."""


def fit(
    calibration: Calibration,
    rig: Rig,
    serials: Sequence[str | None],
    *,
    now: datetime,
    max_age_days: float = MAX_AGE_DAYS,
    directions: Sequence[Direction] = ("uplink",),
) -> Fit:
    """What of a calibration holds on a rig whose stations have these serial numbers, the access point last.

    Raises ConfigError for one that is much too old, from the future, or of other radios.
    """
    age = now - calibration.date
    age_days = age / timedelta(days=1)
    remarks = _about_age(age, age_days, calibration, max_age_days)
    keys = [key_of(serial, station) for station, serial in enumerate(serials)]
    if not set(keys) & set(calibration.radios):
        raise ConfigError(
            f"radios: got a calibration of {_listed(calibration.radios)}, none of which is on this rig: "
            f"{_listed(keys)}; calibrate this rig"
        )
    if calibration.backend != rig.backend:
        remarks.append(f"the calibration was made with backend {calibration.backend!r}, the rig has {rig.backend!r}")
    if all(serial is None for serial in serials) and calibration.rig != rig.description:
        remarks.append(
            f"the calibration is of {calibration.rig!r}, and these radios have no serial numbers to tell whether they "
            "are the same"
        )
    names = [_name(station, rig) for station in range(len(keys))]
    for key, name in zip(keys, names, strict=True):
        if key not in calibration.radios:
            remarks.append(f"{name}: radio {key} is not in the calibration, nothing of it is corrected; {_RENEW}")
    if missing := [key for key in calibration.radios if key not in keys]:
        remarks.append(f"radios of the calibration that this rig does not have: {_listed(missing)}")
    share = abs(rig.radio.center_freq_hz / calibration.center_freq_hz - 1)
    uses_gains = share <= MAX_FREQUENCY_SHARE
    if not uses_gains:
        remarks.append(
            f"gains are not corrected: they were measured at {calibration.center_freq_hz / 1e6:g} MHz, the rig is at "
            f"{rig.radio.center_freq_hz / 1e6:g} MHz; allowed: within {100 * MAX_FREQUENCY_SHARE:g} %; {_RENEW}"
        )
    if rig.radio.sample_rate_hz != calibration.sample_rate_hz:
        remarks.append(
            f"the calibration was made at {calibration.sample_rate_hz:g} samples/s, the rig has "
            f"{rig.radio.sample_rate_hz:g}: filters and gains may differ"
        )
    radios = tuple(calibration.radios.get(key) for key in keys)
    found = Fit(
        calibration=calibration, radios=radios, uses_gains=uses_gains, age_days=age_days, remarks=tuple(remarks)
    )
    return replace(found, remarks=(*remarks, *_gaps(found, rig, names, directions)))


def _gaps(found: Fit, rig: Rig, names: Sequence[str], directions: Sequence[Direction]) -> list[str]:
    """Which settings no table reaches."""
    gaps: list[str] = []
    for station, (radio, name) in enumerate(zip(found.radios, names, strict=True)):
        is_access_point = station == rig.num_devices
        sends = ("downlink" if is_access_point else "uplink") in directions
        receives = ("uplink" if is_access_point else "downlink") in directions
        for used, kind, setting_db, known in (
            (sends, "tx", rig.radio.tx_gain_db, radio is None or _sent(found, radio, rig) is not None),
            (receives, "rx", rig.radio.rx_gain_db, radio is None or _received(found, radio, rig) is not None),
        ):
            if found.uses_gains and used and not known:
                gaps.append(
                    f"{name}: {kind} gain {setting_db:g} dB is outside its {kind}_gain_table, its links' gains are not "
                    f"corrected; {_RENEW} with this setting among its gains"
                )
    return gaps


def _about_age(age: timedelta, age_days: float, calibration: Calibration, max_age_days: float) -> list[str]:
    if age < -_CLOCK_SKEW:
        raise ConfigError(
            f"date: got {calibration.date.isoformat()}, which is still to come; allowed: in the past; look at this "
            "machine's clock, or calibrate again"
        )
    if age_days > REFUSED_AGES * max_age_days:
        raise ConfigError(
            f"date: got a calibration of {calibration.date.date()}, {age_days:.0f} days old; allowed: at most "
            f"{REFUSED_AGES * max_age_days:g}, {REFUSED_AGES:g} times --max-age-days; {_RENEW}"
        )
    if age_days > max_age_days:
        return [
            f"the calibration is {age_days:.0f} days old, of {calibration.date.date()}; trusted for {max_age_days:g}: "
            f"{_RENEW}"
        ]
    return []


def gain_at(table: Sequence[GainPoint], setting_db: float, reference_db: float) -> Value | None:
    """What a setting does against the reference's, between neighbours in a straight line; None outside the table."""
    if setting_db == reference_db:
        return Value(value=0.0, half_width=0.0)
    settings = [point.setting_db for point in table]
    if not settings or not settings[0] <= setting_db <= settings[-1]:
        return None
    measured = np.interp(setting_db, settings, [point.measured_db for point in table])
    above = int(np.searchsorted(settings, setting_db))
    near = table[above : above + 1] if settings[above] == setting_db else table[above - 1 : above + 1]
    return Value(value=float(measured), half_width=max(point.half_width_db for point in near))


def calibrated(link: Link, found: Fit, rig: Rig, probe_power_dbfs: float) -> Link:
    """The link with what the calibration adds to it."""
    ends = (link.device, rig.num_devices) if link.direction == "uplink" else (rig.num_devices, link.device)
    sender, receiver = (found.radios[station] for station in ends)
    if link.gain_db is None or receiver is None:
        return link
    raw, received = _value(link.gain_db), _received(found, receiver, rig)
    added: dict[str, Interval | None] = {}
    if found.uses_gains and received is not None:
        if receiver.full_scale_dbm is not None:
            power_dbm = probe_power_dbfs + receiver.full_scale_dbm + receiver.cable_loss_db
            scale = Value(value=power_dbm, half_width=receiver.full_scale_half_width_db)
            added["received_dbm"] = interval(_sum(raw, scale, minus=(received,)))
        sent = None if sender is None else _sent(found, sender, rig)
        if sender is not None and sent is not None:
            cables = Value(value=sender.cable_loss_db + receiver.cable_loss_db, half_width=0.0)
            reference = _sum(raw, cables, minus=(sent, received))
            added["reference_gain_db"] = interval(reference)
            between = _between(found, sender, receiver)
            added["antenna_gain_db"] = None if between is None else interval(_sum(reference, minus=(between,)))
    if sender is not None and link.cfo_hz is not None:
        added["drift_ppm"] = interval(_drift_ppm(link.cfo_hz, sender, receiver, rig))
    return msgspec.structs.replace(link, **added)


def used(found: Fit, file: str) -> CalibrationUse:
    """What a measurement's record says of it."""
    date = found.calibration.date.isoformat()
    return CalibrationUse(file=file, date=date, age_days=found.age_days, remarks=found.remarks)


def _between(found: Fit, sender: RadioCalibration, receiver: RadioCalibration) -> Value | None:
    """From the sender's full scale to the receiver's if their connectors were one; None where that is not known."""
    calibration = found.calibration
    is_reference = receiver is calibration.radios[calibration.reference]
    if sender.link_gain_db is None or calibration.attenuator_db is None or not is_reference:
        return None
    return Value(
        value=sender.link_gain_db + calibration.attenuator_db,
        half_width=sender.link_gain_half_width_db,
    )


def _drift_ppm(cfo_hz: Interval, sender: RadioCalibration, receiver: RadioCalibration, rig: Rig) -> Value:
    measured = _value(cfo_hz)
    per_hz = 1e6 / rig.radio.center_freq_hz
    predicted = ((1 + sender.ppm * 1e-6) / (1 + receiver.ppm * 1e-6) - 1) * 1e6
    half_width = math.hypot(measured.half_width * per_hz, sender.ppm_half_width, receiver.ppm_half_width)
    return Value(value=measured.value * per_hz - predicted, half_width=half_width)


def _sent(found: Fit, radio: RadioCalibration, rig: Rig) -> Value | None:
    return gain_at(radio.tx_gain_table, rig.radio.tx_gain_db, found.calibration.tx_gain_db)


def _received(found: Fit, radio: RadioCalibration, rig: Rig) -> Value | None:
    return gain_at(radio.rx_gain_table, rig.radio.rx_gain_db, found.calibration.rx_gain_db)


def _value(of: Interval) -> Value:
    return Value(value=of.value, half_width=(of.high - of.low) / 2)


def _sum(*plus: Value, minus: Sequence[Value] = ()) -> Value:
    total = sum(each.value for each in plus) - sum(each.value for each in minus)
    return Value(value=total, half_width=math.hypot(*(each.half_width for each in (*plus, *minus))))


def _name(station: int, rig: Rig) -> str:
    return "access point" if station == rig.num_devices else f"device {station}"


def _listed(keys: Sequence[str] | dict[str, RadioCalibration]) -> str:
    shown = sorted(keys)
    return ", ".join(shown[:6]) + (f" and {len(shown) - 6} more" if len(shown) > 6 else "")


def calibrated_row(link: Link) -> tuple[str, ...]:
    """What the calibration adds to a link, as a table shows it."""

    def shown(value: Interval | None, digits: int) -> str:
        return (
            "–"
            if value is None
            else f"{round(value.value, digits) + 0.0:.{digits}f} ± {(value.high - value.low) / 2:.{digits}f}"
        )

    return (
        f"{link.device} {'→ AP' if link.direction == 'uplink' else '← AP'}",
        shown(link.reference_gain_db, 2),
        shown(link.antenna_gain_db, 2),
        shown(link.received_dbm, 2),
        shown(link.drift_ppm, 3),
    )
