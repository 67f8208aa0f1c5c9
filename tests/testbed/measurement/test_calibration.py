"""Calibration files: what is written reads back, what is damaged or foreign is refused, what does not fit is said."""

import string
from datetime import UTC, datetime, timedelta

import msgspec
import pytest
import tomli_w
from hypothesis import given
from hypothesis import strategies as st

from testbed.config.files import load
from testbed.errors import ConfigError
from testbed.measurement.calibration import (
    FORMAT,
    Calibration,
    GainPoint,
    RadioCalibration,
    as_toml,
    check_place,
    read_calibration,
    write_calibration,
)
from testbed.measurement.corrections import calibrated, fit, gain_at
from testbed.measurement.records import Interval, Link

DATE = datetime(2026, 3, 1, 12, tzinfo=UTC)
RIG = load("awgn", None, ["num_devices=2"]).rig


def point(setting_db, measured_db, half_width_db=0.1):
    return GainPoint(setting_db=setting_db, measured_db=measured_db, half_width_db=half_width_db)


def calibration(**changed):
    """Two devices and an access point whose transmit gains do 90 % of what they say, and receive gains 110 %."""
    tx = tuple(point(-30 + step, 0.9 * step, 0.1 if step else 0.0) for step in (-20.0, 0.0, 20.0))
    rx = tuple(point(30 + step, 1.1 * step, 0.2 if step else 0.0) for step in (-20.0, 0.0, 20.0))
    devices = {
        f"serial {n}": RadioCalibration(
            station=f"device {n}",
            ppm=10.0 + n,
            ppm_half_width=0.01,
            tx_gain_table=tx,
            cable_loss_db=1.0 + n,
            link_gain_db=-20.0,
            link_gain_half_width_db=0.3,
        )
        for n in range(2)
    }
    access_point = RadioCalibration(
        station="access point",
        ppm=0.0,
        ppm_half_width=0.0,
        rx_gain_table=rx,
        cable_loss_db=0.5,
        full_scale_dbm=-25.0,
        full_scale_half_width_db=0.4,
    )
    whole = Calibration(
        format=FORMAT,
        date=DATE,
        rig=RIG.description,
        backend="loopback",
        sample_rate_hz=1e6,
        center_freq_hz=915e6,
        tx_gain_db=-30.0,
        rx_gain_db=30.0,
        reference="ap's serial",
        attenuator_db=60.0,
        radios=devices | {"ap's serial": access_point},
    )
    return msgspec.structs.replace(whole, **changed)


SERIALS = ("serial 0", "serial 1", "ap's serial")
TEXT = as_toml(calibration())
READABLE = st.characters(codec="utf-8", exclude_categories=("Cc", "Cs"))
NAMES = st.text(READABLE, min_size=1, max_size=20)
NUMBERS = st.floats(-300, 300)
POSITIVE = st.floats(0, 200)
TABLES = st.lists(st.tuples(NUMBERS, NUMBERS, POSITIVE), unique_by=lambda each: each[0], max_size=4).map(
    lambda rows: tuple(point(*row) for row in sorted(rows))
)
RADIOS = st.builds(
    RadioCalibration,
    station=st.text(READABLE, max_size=20),
    ppm=st.floats(-1000, 1000),
    ppm_half_width=POSITIVE,
    tx_gain_table=TABLES,
    rx_gain_table=TABLES,
    cable_loss_db=POSITIVE,
    full_scale_dbm=st.none() | NUMBERS,
    full_scale_half_width_db=POSITIVE,
    link_gain_db=st.none() | NUMBERS,
    link_gain_half_width_db=POSITIVE,
)


@given(radios=st.dictionaries(NAMES, RADIOS, min_size=1, max_size=3), attenuator_db=st.none() | POSITIVE, note=NAMES)
def test_what_is_written_reads_back(tmp_path_factory, radios, attenuator_db, note):
    path = tmp_path_factory.mktemp("calibration") / "calibration.toml"
    written = calibration(radios=radios, reference=next(iter(radios)), attenuator_db=attenuator_db, notes=(note,))
    write_calibration(path, written)
    assert read_calibration(path) == written


def refusal(path):
    """The error of reading it, None if it reads."""
    try:
        assert isinstance(read_calibration(path), Calibration)
    except ConfigError as err:
        return str(err)
    return None


@given(
    place=st.integers(0, len(TEXT.encode()) - 1),
    length=st.integers(0, 40),
    inserted=st.binary(max_size=6) | st.text(string.printable, max_size=6).map(str.encode),
)
def test_damaged_files_read_whole_or_are_refused_in_one_line(tmp_path_factory, place, length, inserted):
    path = tmp_path_factory.mktemp("damaged") / "calibration.toml"
    raw = TEXT.encode()
    path.write_bytes(raw[:place] + inserted + raw[place + length :])
    text = refusal(path)
    assert text is None or text.startswith(f"{path}: ")


PLAIN = msgspec.to_builtins(calibration(), builtin_types=(datetime,))
ANYTHING = (
    st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats()
    | st.text(READABLE, max_size=5)
    | st.just([])
    | st.just({})
)


@given(key=st.sampled_from(sorted(PLAIN)), value=ANYTHING)
def test_foreign_values_name_their_key(tmp_path_factory, key, value):
    path = tmp_path_factory.mktemp("foreign") / "calibration.toml"
    table = {name: each for name, each in PLAIN.items() if each is not None} | {key: value}
    path.write_text(tomli_w.dumps(_without_none(table)))
    text = refusal(path)
    assert text is None or f"{path}: {key}" in text or f"{path}: reference: " in text


def _without_none(table):
    if isinstance(table, dict):
        return {key: _without_none(each) for key, each in table.items() if each is not None}
    return [_without_none(each) for each in table] if isinstance(table, (list, tuple)) else table


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        (f'format = "{FORMAT}"\n', "", "format: got nothing; allowed: airzero calibration 1; add it"),
        ("calibration 1", "calibration 2", "format: got 'airzero calibration 2'; allowed: airzero calibration 1"),
        ("date = 2026-03-01 12:00:00+00:00\n", "", "date: got nothing; allowed: a date and time with its zone"),
        ("12:00:00+00:00", "12:00:00", "date: got "),
        ("ppm = 10.0", "ppm = 1e6", "radios.serial 0.ppm: got 1000000.0; allowed: "),
        ("ppm = 10.0", "ppm = nan", "ppm: got nan; allowed: a number"),
        ("ppm = 10.0", "parts = 10.0", "parts: unknown key; allowed: station, ppm"),
        ("setting_db = -50.0", "setting_db = -20.0", "allowed: each larger than the one before"),
        ('reference = "ap\'s serial"', 'reference = "gone"', "reference: got 'gone'; allowed: one of the radios"),
        ("[radios", "radios", "not TOML: "),
    ],
)
def test_what_is_wrong_with_a_file_is_said_in_one_line(tmp_path, old, new, said):
    path = tmp_path / "calibration.toml"
    assert old in TEXT
    path.write_text(TEXT.replace(old, new, 1))
    with pytest.raises(ConfigError) as err:
        read_calibration(path)
    assert said in str(err.value)
    assert str(err.value).startswith(f"{path}: ")
    assert "\n" not in str(err.value)


def test_an_older_calibration_is_kept_and_another_file_is_not_replaced(tmp_path):
    path = tmp_path / "calibration.toml"
    check_place(path)
    write_calibration(path, calibration())
    check_place(path)
    write_calibration(path, calibration(notes=("renewed",)))
    assert read_calibration(path).notes == ("renewed",)
    assert read_calibration(tmp_path / "calibration.toml.1.bak") == calibration()
    rig = tmp_path / "rig.toml"
    rig.write_text("num_devices = 2\n")
    with pytest.raises(ConfigError, match="is there already and is no calibration"):
        check_place(rig)
    with pytest.raises(ConfigError, match="no such file; give a file of `testbed calibrate`"):
        read_calibration(tmp_path / "gone.toml")


def fitted(rig=RIG, serials=SERIALS, *, days=1.0, of=None, **asked):
    return fit(of or calibration(), rig, serials, now=DATE + timedelta(days=days), **asked)


def test_a_calibration_that_fits_says_nothing():
    assert fitted().remarks == ()
    assert fitted().age_days == pytest.approx(1.0)


def test_old_calibrations_are_warned_of_and_very_old_ones_refused():
    assert fitted(days=90).remarks == ()
    (old,) = fitted(days=91).remarks
    assert old == "the calibration is 91 days old, of 2026-03-01; trusted for 90: renew it with `testbed calibrate`"
    assert fitted(days=91, max_age_days=100).remarks == ()
    assert len(fitted(days=900).remarks) == 1
    with pytest.raises(ConfigError, match=r"date: got a calibration of 2026-03-01, 901 days old; allowed: at most 900"):
        fitted(days=901)
    assert fitted(days=-0.9).remarks == ()
    with pytest.raises(ConfigError, match="which is still to come; allowed: in the past; look at this machine's clock"):
        fitted(days=-1.1)


def test_other_radios_are_named_and_get_no_corrections():
    found = fitted(serials=("serial 0", "new one", "ap's serial"))
    assert [remark.partition(",")[0] for remark in found.remarks] == [
        "device 1: radio new one is not in the calibration",
        "radios of the calibration that this rig does not have: serial 1",
    ]
    assert calibrated(LINKS[1], found, RIG, -6.0).drift_ppm is None
    assert calibrated(LINKS[0], found, RIG, -6.0).drift_ppm is not None
    with pytest.raises(ConfigError, match=r"got a calibration of ap's serial, serial 0, serial 1, none of which is on"):
        fitted(serials=(None, None, None))
    plain = calibration(radios={f"station-{n}": each for n, each in enumerate(calibration().radios.values())},
                        reference="station-2")  # fmt: skip
    assert fitted(serials=(None, None, None), of=plain).remarks == ()
    other = msgspec.structs.replace(RIG, description="another one")
    (said,) = fitted(other, (None, None, None), of=plain).remarks
    assert "have no serial numbers to tell whether they are the same" in said


def retuned(**radio):
    return msgspec.structs.replace(RIG, radio=msgspec.structs.replace(RIG.radio, **radio))


LINKS = [
    Link(
        device=n,
        direction="uplink",
        num_captures=1,
        num_spoilt={},
        gain_db=Interval(value=-40.0, low=-40.1, high=-39.9),
        cfo_hz=Interval(value=915.0 * (10.0 + n + 0.5), low=915.0 * (10.4 + n), high=915.0 * (10.6 + n)),
    )
    for n in range(2)
]


def test_gains_are_brought_to_the_reference_and_cables_taken_out():
    rig = retuned(tx_gain_db=-20.0, rx_gain_db=20.0)
    link = calibrated(LINKS[1], fitted(rig), rig, -6.0)
    # 10 dB more by the transmitter are 9, 10 dB less by the receiver are 11; cables of 2 and 0.5 dB
    assert link.reference_gain_db.value == pytest.approx(-40 - 9 + 11 + 2.5)
    assert link.reference_gain_db.high - link.reference_gain_db.low == pytest.approx(2 * (0.01 + 0.01 + 0.04) ** 0.5)
    # behind 60 dB full scales were 20 dB apart: 40 dB come from the radios
    assert link.antenna_gain_db.value == pytest.approx(link.reference_gain_db.value - 40)
    # −46 dBFS at 11 dB less gain than that of which −25 dBm are full scale, in front of 0.5 dB of cable
    assert link.received_dbm.value == pytest.approx(-46 - 25 + 11 + 0.5)
    assert link.drift_ppm.value == pytest.approx(0.5, abs=1e-3)
    assert link.drift_ppm.high - link.drift_ppm.value == pytest.approx((0.1**2 + 0.01**2) ** 0.5, rel=1e-6)


def test_settings_outside_a_table_are_said_and_not_applied():
    rig = retuned(tx_gain_db=-5.0)
    found = fitted(rig)
    assert [remark.partition(" is ")[0] for remark in found.remarks] == [
        "device 0: tx gain -5 dB", "device 1: tx gain -5 dB",
    ]  # fmt: skip
    link = calibrated(LINKS[0], found, rig, -6.0)
    assert link.reference_gain_db is None
    assert link.antenna_gain_db is None
    assert link.received_dbm is not None
    (said,) = fitted(directions=("uplink", "downlink"), rig=retuned(rx_gain_db=60.0)).remarks[:1]
    assert said.startswith("device 0: rx gain 60 dB is outside its rx_gain_table")


def test_gains_measured_at_another_frequency_are_not_applied_and_carriers_are():
    near, far = retuned(center_freq_hz=915e6 * 1.0099), retuned(center_freq_hz=915e6 * 1.0101)
    assert fitted(near).remarks == ()
    found = fitted(far)
    (said,) = found.remarks
    assert said.startswith("gains are not corrected: they were measured at 915 MHz, the rig is at 924.241 MHz")
    link = calibrated(LINKS[0], found, far, -6.0)
    assert (link.reference_gain_db, link.received_dbm) == (None, None)
    assert link.drift_ppm is not None
    (said,) = fitted(retuned(sample_rate_hz=2e6)).remarks
    assert said.startswith("the calibration was made at 1e+06 samples/s, the rig has 2e+06")


def test_between_two_settings_gains_go_in_a_straight_line():
    table = (point(-40.0, -9.0, 0.3), point(-30.0, 0.0, 0.0), point(-20.0, 11.0, 0.2))
    assert gain_at(table, -35.0, -30.0).value == pytest.approx(-4.5)
    assert gain_at(table, -35.0, -30.0).half_width == 0.3
    assert gain_at(table, -20.0, -30.0).value == 11.0
    assert gain_at(table, -20.0, -30.0).half_width == 0.2
    assert gain_at(table, -19.9, -30.0) is None
    assert gain_at((), -30.0, -30.0).value == 0.0
    assert gain_at((), -29.0, -30.0) is None
