"""Calibrates a rig: steps the gains of every link between a device and the access point, and compares carriers."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

import msgspec
from scipy.special import stdtrit

from radio.air.medium import Medium
from radio.backends.backend import station_name
from radio.config import RadioConfig
from radio.errors import RadioConfigError, RadioError
from radio.measurement.sounding import NORMAL_95, Sounding, Value
from testbed.bench.rig import setup_of
from testbed.bench.serials import key_of, serials_of
from testbed.config.backends import backend_of, settings_of
from testbed.config.schema import Rig, RunConfig
from testbed.control.air_wire import air_setup, make_air
from testbed.errors import ConfigError
from testbed.measurement import campaign
from testbed.measurement.calibration import FORMAT, Calibration, GainPoint, RadioCalibration
from testbed.measurement.campaign import Asked, OpenLink, open_link
from testbed.measurement.records import Direction
from testbed.measurement.summaries import mean_in_db, weighted
from testbed.planning.terms import is_simulated

STEPS_DB = (-20.0, -10.0, 0.0, 10.0)
"""Gains that are tried by default, beside the rig's."""
STEADY_DB = 0.1
"""A link that moves by no more while gains are stepped is not worth a word; intervals allow for all of it."""
AGREEMENT_DB = 0.5
"""Of full scales that several devices' powers lead to."""
CLOCK_INTERVALS = 2.0
"""Carrier and sampling clock disagree beyond so many times their intervals together."""
Table = dict[float, Value]


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What is calibrated, and what the user knows."""

    asked: Asked
    """Of each setting; the directions decide whose transmitter and receiver are stepped."""
    tx_gains_db: tuple[float, ...] = ()
    """By default around the rig's."""
    rx_gains_db: tuple[float, ...] = ()
    cable_losses_db: Mapping[int, float] = field(default_factory=dict)
    """By station."""
    attenuator_db: float | None = None
    """All between the connectors of both radios."""
    source_dbm: Mapping[int, float] = field(default_factory=dict)
    """Device → power at the access point's connector while it sends the probe at the rig's gain."""
    reference_ppm: float | None = None
    """The access point's own error."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Calibrated:
    """What a calibration came to."""

    calibration: Calibration | None
    """None if nothing was found, or if it was interrupted."""
    missing: Mapping[str, str]
    """Station → why it was not calibrated."""
    was_stopped: bool = False


@dataclass(slots=True, kw_only=True)
class _Direction:
    """What one direction of a link showed."""

    gain_db: Value
    carrier_ppm: Value
    clock_ppm: Value
    tx: Table
    rx: Table
    notes: list[str]


class _StoppedError(Exception):
    """Somebody asked to stop."""


def needs_hands(rig: Rig) -> bool:
    """Whether cables have to be moved: neither on a simulated air nor between virtual radios."""
    return not backend_of(rig).draws_noise(settings_of(rig))


def check(rig: Rig, wanted: Wanted) -> None:
    """Raise RadioConfigError or ConfigError for what cannot be calibrated."""
    campaign.check(rig, wanted.asked)
    for name, gains in (("tx_gain_db", wanted.tx_gains_db), ("rx_gain_db", wanted.rx_gains_db)):
        for gain in gains:
            RadioConfig(**{name: gain})
    stations = range(rig.num_devices + 1)
    for option, given, allowed, lowest, highest in (
        ("--cable-loss", wanted.cable_losses_db, stations, 0.0, 200.0),
        ("--source-dbm", wanted.source_dbm, stations[:-1], -200.0, 100.0),
    ):
        if wild := [value for value in given.values() if not lowest <= value <= highest]:
            raise ConfigError(f"{option}: got {wild[0]:g}; allowed: {lowest:g} to {highest:g}; correct it")
        if bad := sorted(set(given) - set(allowed)):
            raise ConfigError(
                f"{option}: got station {bad[0]}; allowed: 0 to {rig.num_devices - 1} on this rig"
                f"{', or ap' if len(allowed) == len(stations) else ''}; correct it"
            )


def calibrate(
    config: RunConfig,
    wanted: Wanted,
    *,
    now: datetime,
    on_step: Callable[[str], None] = lambda _: None,
    on_progress: Callable[[str], None] = lambda _: None,
    should_stop: Callable[[], bool] = lambda: False,
) -> Calibrated:
    """Every device in turn; `on_step` says what hands have to do, and returns when it is done.

    A radio that fails is named and the others go on. Raises RadioError where the access point does not answer.
    """
    rig = config.rig
    check(rig, wanted)
    medium = make_air(air_setup(config, "calibrate")) if is_simulated(rig) else None
    setup, serials = setup_of(rig), serials_of(rig)
    if rig.num_devices in serials.problems:
        raise serials.problems[rig.num_devices]
    keys = [key_of(serial, station) for station, serial in enumerate(serials.by_station)]
    reference = keys[rig.num_devices]
    radios: dict[str, RadioCalibration] = {}
    missing: dict[str, str] = {}
    notes: list[str] = []
    tables: dict[Direction, list[Table]] = {"uplink": [], "downlink": []}
    scales: list[Value] = []
    for device in range(rig.num_devices):
        name = station_name(device, setup)
        if device in serials.problems:
            missing[name] = str(serials.problems[device])
            continue
        on_step(f"connect {name} to the access point by cable, through an attenuator; nothing else may transmit")
        try:
            found = {
                direction: _direction(rig, wanted, medium, device, direction, name, on_progress, should_stop)
                for direction in wanted.asked.directions
            }
        except _StoppedError:
            return Calibrated(calibration=None, missing=missing, was_stopped=True)
        except RadioError as err:
            missing[name] = str(err)
            on_progress(f"{name}: {err}")
            continue
        up, down = found["uplink"], found.get("downlink")
        try:
            radios[keys[device]] = _radio(name, up, down, wanted, device)
        except ConfigError as err:
            missing[name] = f"what was measured means nothing: {err}"
            continue
        notes += up.notes + (down.notes if down is not None else [])
        tables["uplink"].append(up.rx)
        if down is not None:
            tables["downlink"].append(down.tx)
        if device in wanted.source_dbm:
            probe_dbfs = 10 * math.log10(campaign.probe_of(rig, wanted.asked).power)
            level = wanted.source_dbm[device] - probe_dbfs - up.gain_db.value
            scales.append(Value(value=level, half_width=up.gain_db.half_width))
    if not radios:
        return Calibrated(calibration=None, missing=missing)
    scale = weighted(scales) if scales else None
    levels = [each.value for each in scales]
    if scales and max(levels) - min(levels) > AGREEMENT_DB:
        notes.append(
            f"full_scale_dbm: what the devices say of it is up to {max(levels) - min(levels):.1f} dB apart, which its "
            "interval allows for; measure each one's power: --source-dbm 0=-42,1=-43"
        )
    radios[reference] = RadioCalibration(
        station=station_name(rig.num_devices, setup),
        ppm=wanted.reference_ppm or 0.0,
        ppm_half_width=0.0,
        tx_gain_table=_points(_together(tables["downlink"])),
        rx_gain_table=_points(_together(tables["uplink"])),
        cable_loss_db=wanted.cable_losses_db.get(rig.num_devices, 0.0),
        full_scale_dbm=None if scale is None else round(scale.value, 4),
        full_scale_half_width_db=0.0 if scale is None else round(scale.half_width, 4),
    )
    calibration = Calibration(
        format=FORMAT,
        date=now.replace(microsecond=0),
        rig=rig.description,
        backend=rig.backend,
        sample_rate_hz=rig.radio.sample_rate_hz,
        center_freq_hz=rig.radio.center_freq_hz,
        tx_gain_db=rig.radio.tx_gain_db,
        rx_gain_db=rig.radio.rx_gain_db,
        reference=reference,
        reference_ppm=wanted.reference_ppm,
        attenuator_db=wanted.attenuator_db,
        notes=(*notes, *(f"{name}: {why}" for name, why in missing.items())),
        radios=radios,
    )
    return Calibrated(calibration=calibration, missing=missing)


def _radio(name: str, up: _Direction, down: _Direction | None, wanted: Wanted, device: int) -> RadioCalibration:
    return RadioCalibration(
        station=name,
        ppm=round(_against(up.carrier_ppm.value, wanted.reference_ppm or 0.0), 8),
        ppm_half_width=round(up.carrier_ppm.half_width, 8),
        tx_gain_table=_points(up.tx),
        rx_gain_table=_points(down.rx) if down is not None else (),
        cable_loss_db=wanted.cable_losses_db.get(device, 0.0),
        link_gain_db=round(up.gain_db.value, 4),
        link_gain_half_width_db=round(up.gain_db.half_width, 4),
    )


def plan(rig: Rig, wanted: Wanted, place: Path) -> list[str]:
    """What will be done, line by line."""
    tx, rx = settings_tried(rig, wanted)
    num_settings = 2 + len(tx) + len(rx)
    num_captures, capture_s = wanted.asked.num_captures, wanted.asked.capture_s
    ways = "both ways" if "downlink" in wanted.asked.directions else "from the device to the access point"
    lines = [
        f"calibrates {rig.num_devices} devices against the access point, one after the other, {ways}:",
        f"  1. at tx gain {rig.radio.tx_gain_db:g} dB and rx gain {rig.radio.rx_gain_db:g} dB, first and last: "
        f"carrier, sampling clock, gain ({num_captures} captures of {1e3 * capture_s:g} ms)",
    ]
    if tx or rx:
        lines.append(
            f"  2. at tx gains {', '.join(f'{gain:g}' for gain in tx)} dB, and at rx gains "
            f"{', '.join(f'{gain:g}' for gain in rx)} dB: what each step really does ({num_settings} settings in all)"
        )
    else:
        lines.append("  gains are not stepped: on a simulated air they do nothing, it has them in its path loss")
    return [*lines, f"  then writes {place}; until then nothing is written"]


def settings_tried(rig: Rig, wanted: Wanted) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Transmit and receive gains beside the rig's own, ascending; none on a simulated air, where they do nothing."""
    if is_simulated(rig):
        return (), ()
    radio = rig.radio
    loudest_db = 0.0 if rig.limits.max_tx_gain_db is None else rig.limits.max_tx_gain_db
    tx = wanted.tx_gains_db or [min(max(radio.tx_gain_db + step, -89.75), loudest_db) for step in STEPS_DB]
    rx = wanted.rx_gains_db or [min(max(radio.rx_gain_db + step, -3.0), 71.0) for step in STEPS_DB]
    return tuple(sorted(set(tx) - {radio.tx_gain_db})), tuple(sorted(set(rx) - {radio.rx_gain_db}))


def loudest(rig: Rig, wanted: Wanted) -> Rig:
    """The rig at the largest transmit gain that is tried, which its limits must allow."""
    tx_gain_db = max((rig.radio.tx_gain_db, *settings_tried(rig, wanted)[0]))
    return msgspec.structs.replace(rig, radio=msgspec.structs.replace(rig.radio, tx_gain_db=tx_gain_db))


def _direction(
    rig: Rig,
    wanted: Wanted,
    medium: Medium | None,
    device: int,
    direction: Direction,
    name: str,
    on_progress: Callable[[str], None],
    should_stop: Callable[[], bool],
) -> _Direction:
    """One direction of a link: the rig's gains first and last, all others between. Raises RadioError."""
    title = f"{name} {direction}"
    tx_gains, rx_gains = settings_tried(rig, wanted)
    notes: list[str] = []
    with open_link(rig, wanted.asked, medium, device, direction) as link:

        def soundings(tx_gain_db: float | None = None, rx_gain_db: float | None = None) -> list[Sounding]:
            link.tune(tx_gain_db=tx_gain_db, rx_gain_db=rx_gain_db)
            return _soundings(link, wanted.asked.num_captures, should_stop)

        on_progress(f"{title}: at the rig's gains")
        link.tune()
        link.find_carrier()
        first = soundings()
        gain_db = _mean(_good(first, title))
        tables: dict[str, Table] = {"tx": {}, "rx": {}}
        for kind, gains in (("tx", tx_gains), ("rx", rx_gains)):
            for setting in gains:
                on_progress(f"{title}: {kind} gain {setting:g} dB")
                try:
                    heard = soundings(**{f"{kind}_gain_db": setting})
                    tables[kind][setting] = _mean(_good(heard, f"{title}, {kind} gain {setting:g} dB"))
                except RadioConfigError as err:
                    notes.append(f"left out: {title}, {kind} gain {setting:g} dB: {err}")
                except _SpoiltError as err:
                    notes.append(f"left out: {err}")
        last = soundings()
    again_db = _mean(_good(last, title))
    moved_db = abs(again_db.value - gain_db.value)
    if (tx_gains or rx_gains) and moved_db > max(STEADY_DB, gain_db.half_width + again_db.half_width):
        notes.append(
            f"{title}: its gain moved by {moved_db:.2f} dB while gains were stepped, which its intervals allow for; "
            "fix the cables and calibrate again"
        )
    both = _good(first, title) + _good(last, title)
    nominal = weighted([gain_db, again_db])
    carrier = weighted([each.cfo_hz for each in both])
    clock = weighted([each.sro for each in both])
    carrier_ppm = _scaled(carrier, 1e6 / rig.radio.center_freq_hz)
    clock_ppm = _scaled(clock, 1e6)
    apart = abs(carrier_ppm.value - clock_ppm.value)
    follows = medium is None or direction == "uplink"  # a simulated device samples on the air's clock
    if follows and apart > CLOCK_INTERVALS * (carrier_ppm.half_width + clock_ppm.half_width):
        notes.append(
            f"{title}: its carrier is {carrier_ppm.value:.3f} ppm off, its sampling clock "
            f"{clock_ppm.value:.3f} ± {clock_ppm.half_width:.3f}: one of them does not follow its crystal"
        )
    tx_nominal, rx_nominal = rig.radio.tx_gain_db, rig.radio.rx_gain_db
    return _Direction(
        gain_db=nominal,
        carrier_ppm=carrier_ppm,
        clock_ppm=clock_ppm,
        tx=_relative(tables["tx"], tx_nominal, nominal, moved_db),
        rx=_relative(tables["rx"], rx_nominal, nominal, moved_db),
        notes=notes,
    )


class _SpoiltError(RadioError):
    """A setting at which nothing can be said."""


def _soundings(link: OpenLink, num_captures: int, should_stop: Callable[[], bool]) -> list[Sounding]:
    found = []
    for _ in range(num_captures):
        if should_stop():
            raise _StoppedError
        found.append(link.take().sounding)
    return found


def _good(soundings: Sequence[Sounding], what: str) -> list[Sounding]:
    """What can be used; nothing where one capture is saturated, as the others nearly are."""
    spoilt = Counter(each.spoilt for each in soundings if each.spoilt is not None)
    good = [each for each in soundings if each.spoilt is None]
    if "saturated" in spoilt or not good:
        words = " and ".join(f"{number} {why}" for why, number in spoilt.items())
        remedy = "more attenuation or lower gains" if "saturated" in spoilt else "less attenuation or higher gains"
        raise _SpoiltError(f"{what}: of {len(soundings)} captures {words}; {remedy}")
    return good


def _mean(good: Sequence[Sounding]) -> Value:
    """Mean gain with Student's interval, as captures are few."""
    mean = mean_in_db(good)
    wider = float(stdtrit(len(good) - 1, 0.975)) / NORMAL_95 if len(good) > 1 else 1.0
    return Value(value=mean.value, half_width=wider * mean.half_width)


def _relative(table: Table, nominal_db: float, at_nominal: Value, moved_db: float) -> Table:
    """Against the rig's own setting, which is in it if any other is."""
    found = {
        setting: Value(
            value=each.value - at_nominal.value,
            half_width=math.hypot(each.half_width, at_nominal.half_width, moved_db),
        )
        for setting, each in table.items()
    }
    return found | {nominal_db: Value(value=0.0, half_width=0.0)} if found else {}


def _together(tables: Sequence[Table]) -> Table:
    """One radio's tables as several links saw them."""
    settings = {setting for table in tables for setting in table}
    return {setting: weighted([table[setting] for table in tables if setting in table]) for setting in settings}


def _points(table: Table) -> tuple[GainPoint, ...]:
    return tuple(
        GainPoint(
            setting_db=setting,
            measured_db=round(table[setting].value, 4),
            half_width_db=round(table[setting].half_width, 4),
        )
        for setting in sorted(table)
    )


def _against(relative_ppm: float, reference_ppm: float) -> float:
    """Of two relative errors, one on top of the other."""
    return ((1 + relative_ppm * 1e-6) * (1 + reference_ppm * 1e-6) - 1) * 1e6


def _scaled(value: Value, factor: float) -> Value:
    return Value(value=value.value * factor, half_width=value.half_width * factor)
