"""Calibrations of whole rigs against what their radios really are, with hands and without."""

import os
import pty
import re
import signal
import subprocess
import sys
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import numpy as np
import pytest
import tomli_w

from radio.air.config import AirConfig
from radio.config import RadioConfig
from testbed.bench.serials import serials_of
from testbed.commands.cli import main
from testbed.config.files import load
from testbed.config.schema import RunConfig
from testbed.control.air_wire import air_setup, make_air
from testbed.errors import ConfigError
from testbed.measurement.calibrate import Wanted, calibrate
from testbed.measurement.calibration import read_calibration, write_calibration
from testbed.measurement.campaign import Asked
from testbed.measurement.measure import measure
from tests.libiio import require_libiio, virtual_plutos

NOW = datetime.now(UTC)
ASKED = Asked(num_captures=3, capture_s=0.02)
BOTH = Asked(num_captures=3, capture_s=0.02, directions=("uplink", "downlink"))
CRYSTALS = ["num_devices=3", "air.transmitter.ppm_max=10", "air.transmitter.lo_corrected=false"]
AIR = AirConfig(fading="none", path_loss_db=20, snr_db=30, cfo_max_hz=0.0, delay_max_samples=0.0)


def test_carriers_of_a_simulated_air_are_its_crystals_in_both_directions():
    config = load("awgn", None, CRYSTALS)
    found = calibrate(config, Wanted(asked=BOTH), now=NOW)
    truth = make_air(air_setup(config, "a test")).truth()
    true_ppm = truth.cfo_hz / config.rig.radio.center_freq_hz * 1e6
    assert np.ptp(true_ppm) > 5
    made = found.calibration
    assert list(made.radios) == ["station-0", "station-1", "station-2", "station-3"]
    assert (made.reference, made.notes, found.missing) == ("station-3", (), {})
    for radio, ppm in zip(made.radios.values(), true_ppm, strict=False):
        assert radio.ppm == pytest.approx(ppm, abs=2 * radio.ppm_half_width)
        assert 0 < radio.ppm_half_width < 1e-3
        assert radio.tx_gain_table == ()
    assert made.radios["station-3"].ppm == 0


def test_carriers_that_do_not_follow_their_crystals_are_named():
    config = load("awgn", None, ["num_devices=1", "air.transmitter.ppm_max=10"])
    (note,) = calibrate(config, Wanted(asked=ASKED), now=NOW).calibration.notes
    assert re.match(r"device 0 uplink: its carrier is \S+ ppm off, its sampling clock \S+ ± \S+: one of them", note)


def test_full_scale_is_what_a_known_power_says_and_unlike_powers_are_named():
    config = load("awgn", None, ["num_devices=2", "air.path_loss_spread_db=6"])
    losses_db = -20 * np.log10(np.abs(make_air(air_setup(config, "a test")).truth().gains))
    assert abs(losses_db[0] - losses_db[1]) > 1
    one = calibrate(config, Wanted(asked=ASKED, source_dbm={1: -42.0}), now=NOW).calibration
    # −6 dBFS are sent, so that −42 dBm are received as −6 − loss
    assert one.radios["station-2"].full_scale_dbm == pytest.approx(-42 + 6 + losses_db[1], abs=0.1)
    assert one.notes == ()
    both = calibrate(config, Wanted(asked=ASKED, source_dbm={0: -42.0, 1: -42.0}), now=NOW).calibration
    (note,) = both.notes
    assert f"is up to {abs(losses_db[0] - losses_db[1]):.1f} dB apart" in note
    assert both.radios["station-2"].full_scale_half_width_db > 0.5


def test_a_rig_that_is_stopped_leaves_no_calibration():
    asked = []

    def stop():
        asked.append(1)
        return len(asked) > 4

    found = calibrate(load("awgn", None, CRYSTALS), Wanted(asked=ASKED), now=NOW, should_stop=stop)
    assert (found.calibration, found.was_stopped) == (None, True)
    assert len(asked) == 5


def on_bench(plutos, *, num_devices=2, devices=None, **radio):
    """The rig of virtual Plutos that are addressed as real ones are."""
    addresses = {"devices": list(devices or plutos.device_uris), "access_point": plutos.access_point_uri}
    config = load("virtual_plutos", None, [f"num_devices={num_devices}"])
    tuning = RadioConfig(max_power_dbfs=-12.0, **radio)
    pluto = msgspec.convert(addresses, type(config.rig.pluto))
    return RunConfig(
        rig=msgspec.structs.replace(config.rig, air=AIR, radio=tuning, pluto=pluto), experiment=config.experiment
    )


@contextmanager
def bench():
    require_libiio()
    tuning = RadioConfig(max_power_dbfs=-12.0)
    with virtual_plutos(num_devices=2, air=AIR, shared_clock=False, tuning=tuning, ppm_max=20.0) as plutos:
        yield plutos


@pytest.fixture(scope="module")
def calibrated(tmp_path_factory):
    """A bench, how it was calibrated with everything that a lab can know, and the file."""
    with bench() as plutos:
        wanted = Wanted(
            asked=replace(BOTH, num_captures=6),
            tx_gains_db=(-50.0, -40.1, -20.0, 0.0),
            rx_gains_db=(10.0, 20.0, 40.0),
            cable_losses_db={0: 1.2, 2: 0.8},
            attenuator_db=20.0,
            source_dbm={0: -42.0, 1: -42.0},
            reference_ppm=ppm_of(plutos)[2],
        )
        found = calibrate(on_bench(plutos), wanted, now=NOW)
        path = tmp_path_factory.mktemp("calibrated") / "calibration.toml"
        write_calibration(path, found.calibration)
        yield plutos, found, path


def ppm_of(plutos):
    return [(crystal / 40e6 - 1) * 1e6 for crystal in plutos.air.links.crystals_hz]


def test_virtual_plutos_are_known_by_serial_and_their_crystals_are_found(calibrated):
    plutos, found, _ = calibrated
    serials = [pluto.serial for pluto in plutos.plutos]
    made = found.calibration
    assert list(made.radios) == serials
    assert made.reference == serials[2]
    assert found.missing == {}
    assert max(map(abs, ppm_of(plutos)[:2])) > 1
    for radio, ppm in zip(made.radios.values(), ppm_of(plutos), strict=True):
        assert radio.ppm == pytest.approx(ppm, abs=1e-7 + 3 * radio.ppm_half_width)
        assert radio.ppm_half_width < 1e-4
    assert not any("sampling clock" in note for note in made.notes)


def test_gain_tables_are_the_chip_s_and_saturated_settings_are_left_out(calibrated):
    """Its transmitter has steps of 0.25 dB: −40.1 is −40 in truth."""
    _, found, _ = calibrated
    for radio in found.calibration.radios.values():
        assert [point.setting_db for point in radio.tx_gain_table] == [-50, -40.1, -30, -20]
        assert [point.setting_db for point in radio.rx_gain_table] == [10, 20, 30, 40]
        for table, nominal_db in ((radio.tx_gain_table, -30), (radio.rx_gain_table, 30)):
            for point in table:
                true_db = round(point.setting_db) - nominal_db
                assert point.measured_db == pytest.approx(true_db, abs=0.01 + 2 * point.half_width_db)
                assert point.half_width_db < (0.3 if point.setting_db == -50 else 0.04)
    left_out = [note for note in found.calibration.notes if "saturated" in note]
    assert [note.partition(":")[2].partition(",")[0] for note in left_out] == [
        f" device {device} {direction}" for device in range(2) for direction in ("uplink", "downlink")
    ]
    assert all("tx gain 0 dB: of 6 captures 6 saturated; more attenuation or lower gains" in note for note in left_out)


def test_links_are_measured_between_antenna_ports_at_other_gains(calibrated, tmp_path):
    plutos, _, path = calibrated
    config = on_bench(plutos, tx_gain_db=-25.0, rx_gain_db=35.0)
    directory, found = measure(config, BOTH, out=tmp_path / "m", calibration=path)
    assert found.serials == {
        "device 0": plutos.plutos[0].serial,
        "device 1": plutos.plutos[1].serial,
        "access point": plutos.plutos[2].serial,
    }
    assert found.calibration.remarks == ()
    for link in found.links:
        cables_db = 0.8 + 1.2 * (link.device == 0)
        assert link.gain_db.value == pytest.approx(-10, abs=0.1)
        assert link.reference_gain_db.value == pytest.approx(-20 + cables_db, abs=0.15)
        assert link.drift_ppm.value == pytest.approx(0, abs=1e-7 + 2 * (link.drift_ppm.high - link.drift_ppm.value))
    uplinks, downlinks = found.links[:2], found.links[2:]
    for link in uplinks:  # 20 dB were between the connectors then, and are now, to which the cables come
        assert link.antenna_gain_db.value == pytest.approx(-20 + 0.8 + 1.2 * (link.device == 0), abs=0.15)
        assert link.received_dbm.value == pytest.approx(-42 + 5 + 0.8, abs=0.15)
    assert all((link.antenna_gain_db, link.received_dbm) == (None, None) for link in downlinks)
    page = directory.report.read_text(encoding="utf-8")
    assert "With the calibration of " in page
    assert "antenna to antenna dB" in page


def test_a_carrier_that_moved_since_is_said(calibrated, tmp_path):
    plutos, _, path = calibrated
    chip = plutos.plutos[0].station.chip
    steady_hz = chip.crystal_hz
    with plutos.air.change():
        chip.crystal_hz = steady_hz * (1 + 0.5e-6)
    try:
        _, found = measure(on_bench(plutos), ASKED, out=tmp_path / "m", calibration=path)
    finally:
        with plutos.air.change():
            chip.crystal_hz = steady_hz
    moved, still = (link.drift_ppm for link in found.links)
    assert moved.value == pytest.approx(0.5, abs=1e-3)
    assert moved.low > 0.4
    assert abs(still.value) < 1e-3


def test_a_radio_that_does_not_answer_is_missing_and_the_others_are_calibrated(calibrated):
    plutos, _, _ = calibrated
    config = on_bench(plutos, num_devices=3, devices=[*plutos.device_uris, "ip:127.0.0.1:9"])
    found = calibrate(config, Wanted(asked=ASKED, tx_gains_db=(-40.0,), rx_gains_db=(20.0,)), now=NOW)
    assert list(found.missing) == ["device 2"]
    assert [radio.station for radio in found.calibration.radios.values()] == ["device 0", "device 1", "access point"]
    assert found.calibration.notes[-1].startswith("device 2: ip:127.0.0.1:9: no radio answers")
    assert serials_of(config.rig).by_station[2] is None
    with pytest.raises(ConfigError, match=r"got serial number virtual\d+ twice"):
        serials_of(on_bench(plutos, devices=[plutos.device_uris[0]] * 2).rig)


def command(*arguments):
    with pytest.raises(SystemExit) as ended:
        main([*arguments])
    return ended.value.code


QUICK = ["--captures", "2", "--capture-ms", "4"]


def test_the_command_keeps_a_file_beside_the_rig_that_measure_uses(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    rig = tmp_path / "mine.toml"
    text = Path("hardware_configs/awgn.toml").read_text(encoding="utf-8")
    rig.write_text(f'calibration = "calibration.toml"\n{text}', encoding="utf-8")
    few = ["--set", "num_devices=1"]
    assert command("calibrate", "--rig", str(rig), *few, *QUICK, "--cable-loss", "0=1.5,ap=0.5") == 0
    shown = capsys.readouterr()
    assert "gains are not stepped" in shown.err
    assert "access point" in shown.out
    path = tmp_path / "calibration.toml"
    made = read_calibration(path)
    assert [radio.cable_loss_db for radio in made.radios.values()] == [1.5, 0.5]
    assert command("measure", "--rig", str(rig), *few, *QUICK, "--out", str(tmp_path / "m")) == 0
    shown = capsys.readouterr()
    assert "drift ppm" in shown.out
    assert "warning" not in shown.err
    old = msgspec.structs.replace(made, date=made.date - timedelta(days=100))
    write_calibration(path, old)
    assert command("measure", "--rig", str(rig), *few, *QUICK, "--out", str(tmp_path / "n")) == 0
    assert "warning: calibration: the calibration is 100 days old" in capsys.readouterr().err
    assert command("measure", "--rig", str(rig), *few, *QUICK, "--max-age-days", "9", "--out", str(tmp_path / "o")) == 1
    assert "allowed: at most 90, 10 times --max-age-days; renew it" in capsys.readouterr().err
    assert not (tmp_path / "o").exists()


@pytest.mark.parametrize(
    ("options", "code", "said"),
    [
        (["--cable-loss", "7=1"], 1, "--cable-loss: got station 7; allowed: 0 to 4 on this rig, or ap"),
        (["--cable-loss", "0=-1"], 1, "--cable-loss: got -1; allowed: 0 to 200"),
        (["--cable-loss", "0=1,0=2"], 2, "got 0 twice"),
        (["--source-dbm", "ap=-42"], 2, "expected numbers by device such as 0=-42,1=-43"),
        (["--source-dbm", "-420"], 1, "--source-dbm: got -420; allowed: -200 to 100"),
        (["--gains", "-30,x"], 2, "expected numbers such as -10,0,10"),
        (["--gains", "-30,5"], 1, "tx_gain_db: got 5.0; allowed: a number >= -89.75 and <= 0"),
        (["--rx-gains", "nan"], 1, "rx_gain_db: got nan; allowed: a number"),
        (["--out", "pyproject.toml"], 1, "pyproject.toml: is there already and is no calibration"),
        (["--set", "air.path_loss_db=150", "--set", "air.snr_db=-60", "--set", "num_devices=1"], 1,
         "device 0 was not calibrated: device 0 uplink: of 2 captures 2 too weak; less attenuation or higher gains"),
    ],
)  # fmt: skip
def test_what_cannot_be_calibrated_is_said_and_nothing_written(tmp_path, capsys, monkeypatch, options, code, said):
    monkeypatch.setenv("COLUMNS", "200")
    out = [] if "--out" in options else ["--out", str(tmp_path / "c.toml")]
    assert command("calibrate", "--rig", "awgn", *QUICK, *out, *options) == code
    assert said in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def written(plutos, tmp_path):
    """The file of a rig whose cables have to be moved, as far as anybody can tell."""
    plain = msgspec.to_builtins(on_bench(plutos).rig)
    keys = ("backend", "num_devices", "radio", "frame", "clock")
    pluto = {key: plain["pluto"][key] for key in ("devices", "access_point")}
    path = tmp_path / "bench.toml"
    limits = {"min_freq_hz": 900e6, "max_freq_hz": 930e6, "max_tx_gain_db": -5.0}
    path.write_text(tomli_w.dumps({key: plain[key] for key in keys} | {"pluto": pluto, "limits": limits}))
    return path


def test_cables_are_waited_for_on_a_terminal_only(calibrated, tmp_path):
    plutos, _, _ = calibrated
    rig = written(plutos, tmp_path)
    arguments = [sys.executable, "-m", "testbed", "calibrate", "--rig", str(rig), *QUICK]
    arguments += ["--gains", "-40", "--rx-gains", "20"]
    place = tmp_path / "calibration.toml"
    alone = subprocess.run(arguments, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    assert alone.returncode == 1
    assert "nobody is asked where there is no terminal; allowed: on a terminal, or with --yes" in alone.stderr
    assert not place.exists()
    loud = subprocess.run([*arguments, "--yes", "--gains", "-40,-4"], capture_output=True, text=True, check=False)
    assert loud.returncode == 1
    assert "tx_gain_db: got -4; allowed: limits.max_tx_gain_db = -5" in loud.stderr
    with terminal(arguments) as (hands, process):
        os.write(hands, b"y\n")  # it may radiate
        assert "connect device 0 to the access point by cable" in said(process, 1)
        os.write(hands, b"\n")
        assert said(process, 1).startswith("connect device 1 to the access point by cable")
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 130
    assert not place.exists()
    with terminal(arguments) as (hands, process):
        os.write(hands, b"y\n\n\n")
        assert process.wait(120) == 0
    assert len(read_calibration(place).radios) == 3
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bench.toml", "calibration.toml"]


@contextmanager
def terminal(arguments):
    """A program with a terminal to type on, and a pipe that says what it prints."""
    hands, its_end = pty.openpty()
    try:
        ends = {"stdin": its_end, "stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE}
        with subprocess.Popen(arguments, text=True, **ends) as process:
            try:
                yield hands, process
            finally:
                process.kill()
    finally:
        os.close(its_end)
        os.close(hands)


def said(process, times):
    """The next line that waits for hands."""
    for line in process.stderr:
        if "press Enter" in line:
            times -= 1
            if times == 0:
                return line
    return ""
