"""Doctor sees what a lab gets wrong, on virtual PlutoSDRs through the real libiio."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec
import numpy as np
import pytest
from rich.console import Console

from radio.backends.backend import RadioFinding
from radio.backends.pluto.config import PlutoConfig
from radio.backends.pluto.driver import Connection
from radio.backends.pluto.radio import PlutoRadio
from radio.errors import RadioConfigError
from radio.link.spectrum import CAPTURE_SAMPLES, spectrum_of
from radio.virtual_pluto.server import VirtualPlutos
from testbed.bench import doctor_checks as checks
from testbed.bench.doctor_report import examine, save
from testbed.bench.findings import Findings, LinkFinding
from testbed.bench.virtual_bench import virtual_plutos
from testbed.config.files import load
from testbed.config.schema import Rig
from tests.libiio import require_libiio
from tests.system.test_pluto_runs import six_free_ports

QUIET = ("num_devices=3", "air.fading=none", "virtual.start_jitter_max_ms=1.0")
CENTRE_HZ = 915e6


@pytest.fixture(autouse=True)
def _libiio() -> None:
    require_libiio()


@contextmanager
def lab(*overrides: str) -> Iterator[tuple[Rig, VirtualPlutos]]:
    """Four virtual radios at ports of their own, and their rig."""
    rig = load("virtual_plutos", None, [*QUIET, f"virtual.first_port={six_free_ports(12_000, 6_000)}", *overrides]).rig
    with virtual_plutos(rig) as plutos:
        yield rig, plutos


def found_on(rig: Rig) -> Findings:
    return examine(rig, Console(quiet=True))


def test_a_bench_in_order_has_no_problems_and_the_report_is_a_file_and_a_picture(tmp_path: Path) -> None:
    with lab() as (rig, _):
        findings = found_on(rig)
    assert findings.problems == ()
    assert [warning for warning in findings.warnings if "quadrature" not in warning and "tones" not in warning] == []
    assert findings.spectrum is not None
    assert findings.spectrum.lines == ()
    paths = save(findings, tmp_path / "report")
    assert [path.name for path in paths] == ["doctor.json", "doctor.png"]
    assert json.loads(paths[0].read_text())["links"][2]["device"] == 2
    assert paths[1].read_bytes().startswith(b"\x89PNG")


def test_what_another_program_left_is_a_warning_before_it_is_put_right() -> None:
    with lab() as (rig, plutos):
        link = Connection(plutos.uris[1], 3.0)
        link.context.find_device("ad9361-phy").find_channel("altvoltage1", True).attrs["powerdown"].value = "1"
        link.close()
        findings = found_on(rig)
    assert "device 1: tx_lo powerdown is 1, will be 0" in findings.warnings
    assert any("quadrature_tracking_en is 1" in warning for warning in findings.warnings)
    assert findings.problems == (), "and it is put right"


def test_one_radio_under_two_names_is_named() -> None:
    with lab() as (rig, plutos):
        devices = (plutos.uris[0], plutos.uris[1], plutos.uris[0].replace("127.0.0.1", "localhost"))
        pluto = msgspec.structs.replace(rig.pluto, devices=devices, access_point=plutos.access_point_uri)
        findings = found_on(msgspec.structs.replace(rig, pluto=pluto))
    assert any(
        "device 0" in problem and "device 2" in problem and "one radio" in problem for problem in findings.problems
    )
    assert any("is a virtual radio, and the rig names real ones" in problem for problem in findings.problems)
    assert findings.links == (), "nothing is sent on a bench that is not what the rig says"


def test_another_rigs_bench_behind_the_ports_is_told_from_the_rigs_own() -> None:
    with lab() as (rig, _):
        other = msgspec.structs.replace(rig, clock=msgspec.structs.replace(rig.clock, shared_clock=True))
        findings = found_on(other)
    (problem,) = findings.problems
    assert problem.startswith("devices 0, 1, 2 and access point: of another bench")


def test_a_radio_with_another_serial_number_is_refused_by_doctor_and_by_the_backend() -> None:
    with lab() as (rig, plutos):
        serials = tuple(pluto.serial for pluto in plutos.plutos)
        right = msgspec.structs.replace(rig, pluto=msgspec.structs.replace(rig.pluto, serials=serials))
        swapped = (serials[1], serials[0], *serials[2:])
        wrong = msgspec.structs.replace(rig, pluto=msgspec.structs.replace(rig.pluto, serials=swapped))
        assert found_on(right).problems == ()
        assert len([problem for problem in found_on(wrong).problems if "pluto.serials" in problem]) == 2
        radio = PlutoRadio(PlutoConfig(uri=plutos.uris[0], serial=serials[1], real_time=False))
        with radio, pytest.raises(RadioConfigError, match=r"allowed: virtual.*\(pluto\.serials\)"):
            radio.configure(rig.radio)


def test_a_foreign_carrier_is_seen_first_and_not_taken_for_a_devices_tone() -> None:
    """It lies where tones of devices may be; the second device is silent, its cable is off."""
    place = CENTRE_HZ + 1e5 + 7e3
    options = ("virtual.foreign_carrier_dbfs=-50", "virtual.swapped_cables=[1]", "virtual.isolation_db=120")
    with lab(f"virtual.foreign_carrier_hz={place}", *options) as (rig, _):
        findings = found_on(rig)
    (line,) = findings.spectrum.lines
    assert line.frequency_hz == pytest.approx(place, abs=20e3)  # as the access point's crystal has it
    assert line.level_dbfs == pytest.approx(-50, abs=2)
    assert any("somebody else is on the air" in warning for warning in findings.warnings)
    (problem,) = [problem for problem in findings.problems if problem.startswith("device 1")]
    assert "heard while it is silent" in problem


def test_swapped_cables_are_seen_by_how_weakly_a_device_arrives() -> None:
    with lab("virtual.swapped_cables=[2]", "virtual.isolation_db=25") as (rig, _):
        findings = found_on(rig)
    (warning,) = [warning for warning in findings.warnings if "swapped" in warning]
    assert warning.startswith("device 2 arrives 2")


def test_quadrature_tracking_that_the_rig_asks_for_on_a_shared_clock_is_warned_of() -> None:
    rig = load("virtual_plutos_shared_clock", None, ["pluto.quadrature_tracking=true"]).rig
    assert "coherent" in checks.tracking_on(rig)[0]
    assert checks.tracking_on(load("virtual_plutos", None, ["pluto.quadrature_tracking=true"]).rig) == []


def test_an_underflow_bit_that_is_set_for_ever_is_named() -> None:
    with lab("virtual.stuck_underflow=true") as (rig, _):
        findings = found_on(rig)
    assert all(radio.underflow_sticks for radio in findings.radios)
    (warning,) = [warning for warning in findings.warnings if "plutosdr-fw issue 107" in warning]
    assert warning.startswith("devices 0, 1, 2 and access point: the underflow bit")


def test_radios_without_serial_numbers_are_not_taken_for_one() -> None:
    radios = [RadioFinding(station=f"device {k}", uri=str(k), serial="unknown") for k in range(3)]
    assert checks.one_radio_twice(radios) == []
    assert checks.weak_links([LinkFinding(device=k, tone_snr_db=snr) for k, snr in enumerate((50.0, 20.0))]) == []


@pytest.mark.parametrize("snr_db", [3.0, 20.0])
def test_the_spectrum_finds_carriers_and_bands_and_nothing_in_noise(snr_db: float) -> None:
    draws = np.random.default_rng(1).normal(size=(3, 2 * CAPTURE_SAMPLES)).view(np.complex128) / np.sqrt(2)
    noise = 1e-3 * draws[0]
    assert spectrum_of(noise.astype(np.complex64), 1e6).lines == ()
    times = np.arange(CAPTURE_SAMPLES)
    carrier = 1e-3 * np.exp(2j * np.pi * 0.2031 * times)
    (line,) = spectrum_of((noise + carrier).astype(np.complex64), 1e6).lines
    assert line.width_hz == 0
    assert line.offset_hz == pytest.approx(203.1e3, abs=300)
    spectrum = np.fft.fft(draws[1])
    spectrum[np.abs(np.fft.fftfreq(times.size) + 0.25) > 0.05] = 0
    modulated = np.fft.ifft(spectrum) * 1e-3 * 10 ** (snr_db / 20)
    lines = spectrum_of((noise + modulated).astype(np.complex64), 1e6).lines
    assert [line for line in lines if line.width_hz == 0] == []
    (band,) = lines
    assert band.offset_hz == pytest.approx(-250e3, abs=15e3)
    assert band.width_hz == pytest.approx(100e3, abs=40e3)
