"""The backend trusts nothing that another program left behind; virtual Plutos, the real libiio client."""

import errno
import logging
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from radio.air.config import AirConfig
from radio.backends.pluto.driver import Connection
from radio.backends.pluto.leftovers import left_behind
from radio.backends.pluto.remedies import programs_at, remedy
from radio.backends.pluto.samples import from_codes
from radio.config import RadioConfig
from radio.errors import RadioConfigError, RadioLinkError
from radio.virtual_pluto.config import Fault
from radio.virtual_pluto.server import VirtualPlutos
from tests.libiio import require_libiio, virtual_plutos
from tests.radio.backends.pluto.test_pluto_radio import radio

AIR = AirConfig(fading="none", path_loss_db=10.0, snr_db=60.0, cfo_max_hz=0.0, delay_max_samples=0.0)
TUNING = RadioConfig(tx_gain_db=-20.0, rx_gain_db=40.0)
FRAME = (0.5 * np.exp(2j * np.pi * np.arange(400) / 8)).astype(np.complex64)
PHY = "ad9361-phy"
CHANGES = [
    (PHY, "altvoltage0", True, "powerdown", "1", "0"),
    (PHY, "altvoltage1", True, "powerdown", "1", "0"),
    ("cf-ad9361-lpc", "voltage0", False, "sampling_frequency", "125000", "1000000"),
    ("cf-ad9361-dds-core-lpc", "voltage0", True, "sampling_frequency", "125000", "1000000"),
    (PHY, None, False, "xo_correction", "40004000", "40000000"),
    (PHY, None, False, "ensm_mode", "alert", "fdd"),
    (PHY, None, False, "ensm_mode", "sleep", "fdd"),
    (PHY, "voltage0", False, "rf_port_select", "B_BALANCED", "A_BALANCED"),
    (PHY, "voltage0", True, "rf_port_select", "B", "A"),
    (PHY, "voltage0", False, "quadrature_tracking_en", "1", "0"),
    (PHY, "voltage0", False, "bb_dc_offset_tracking_en", "0", "1"),
    (PHY, "voltage0", False, "rf_dc_offset_tracking_en", "0", "1"),
]


@pytest.fixture(autouse=True)
def _libiio() -> None:
    require_libiio()


@pytest.fixture
def plutos() -> Iterator[VirtualPlutos]:
    with virtual_plutos(air=AIR, shared_clock=True, tuning=TUNING) as served:
        yield served


def attribute(uri: str, device: str, channel: str | None, output: bool, name: str, text: str | None = None) -> str:
    """Of a radio, through another connection; written first where there is a text."""
    link = Connection(uri, 3.0)
    try:
        found = link.context.find_device(device)
        owner = found if channel is None else found.find_channel(channel, output)
        if text is not None:
            owner.attrs[name].value = text
        return str(owner.attrs[name].value)
    finally:
        link.close()


def heard_amplitude(plutos: VirtualPlutos) -> float:
    """Of a tone that device 0 sends, as the access point hears it at the tone's frequency."""
    with radio(plutos.device_uris[0]) as sender, radio(plutos.access_point_uri) as receiver:
        sender.configure(TUNING)
        receiver.configure(TUNING)
        sender.start_cyclic(FRAME)
        heard = receiver.capture(8000, skip_samples=4000)
    return float(np.abs(np.fft.fft(heard)[1000]) / 8000)


@pytest.mark.parametrize("station", [0, 1])
@pytest.mark.parametrize(
    ("device", "channel", "output", "name", "left", "wanted"), CHANGES, ids=[f"{c[3]}-{c[4]}-{c[1]}" for c in CHANGES]
)
def test_what_was_left_behind_is_put_right_and_read_back(plutos, station, device, channel, output, name, left, wanted):
    uri = plutos.uris[station]
    with radio(uri) as first:
        first.configure(TUNING)
    assert attribute(uri, device, channel, output, name, left) == left
    amplitude = heard_amplitude(plutos)
    assert attribute(uri, device, channel, output, name) == wanted
    assert amplitude == pytest.approx(0.5 * 10**-0.5, rel=0.02)


def test_the_factorys_own_correction_of_the_crystal_is_kept():
    """What the radio was started with is in its context; 40 MHz would take it away."""
    with virtual_plutos(air=AIR, shared_clock=False, tuning=TUNING, factory_xo_hz=39_999_835) as served:
        uri = served.uris[0]
        attribute(uri, PHY, None, False, "xo_correction", "40000000")
        with radio(uri) as made:
            made.configure(TUNING)
            assert attribute(uri, PHY, None, False, "xo_correction") == "39999835"


def test_a_setting_that_does_not_take_is_refused_with_its_reason(plutos):
    plutos.faults.add(Fault(kind="busy", command="WRITE", station=0, skip=0, times=0, every=1))
    with radio(plutos.uris[0]) as made, pytest.raises(RadioLinkError, match=r"errno 16\); it is in use"):
        made.configure(TUNING)
    plutos.faults.clear()


def test_what_is_left_behind_is_named_before_anything_is_touched(plutos):
    uri = plutos.uris[0]
    for device, channel, output, name, left, _ in CHANGES[:2]:
        attribute(uri, device, channel, output, name, left)
    link = Connection(uri, 3.0)
    notes = left_behind(link, quadrature_tracking=False)
    link.close()
    assert any("rx_lo powerdown is 1, will be 0" in note for note in notes)
    assert any("quadrature_tracking_en is 1, will be 0" in note for note in notes)
    assert attribute(uri, PHY, "altvoltage0", True, "powerdown") == "1"


def test_bits_of_earlier_streams_are_forgotten(plutos):
    uri = plutos.uris[0]
    plutos.air.stations[0].underflowed = plutos.air.stations[0].overflowed = True
    with radio(uri) as made:
        made.configure(TUNING)
    link = Connection(uri, 3.0)
    assert not link.underflowed()
    assert not link.overflowed()
    link.close()


@pytest.mark.parametrize("ignore", [False, True])
def test_a_bit_that_is_set_for_ever_is_named_and_not_taken_for_gaps(ignore):
    settings = {"real_time": True, "streaming": True, "counts_samples": True, "stream_block_samples": 65_536}
    with (
        virtual_plutos(air=AIR, shared_clock=True, pacing="real_time", stuck_underflow=True) as served,
        radio(served.uris[0], ignore_underflow=ignore, **settings) as made,
    ):
        made.configure(RadioConfig())
        if not ignore:
            with pytest.raises(RadioConfigError, match=r"plutosdr-fw issue 107.*pluto\.ignore_underflow"):
                made.stream(FRAME)
            return
        first = made.transmit_at(FRAME, None)
        assert made.transmit_at(FRAME, None) - first < 1 << 30, "the count goes on"


def test_a_part_whose_filter_ends_early_is_warned_of_and_used(plutos, caplog):
    with radio(plutos.uris[0]) as made, caplog.at_level(logging.WARNING):
        made.configure(RadioConfig(sample_rate_hz=30e6))
        assert attribute(plutos.uris[0], PHY, "voltage0", False, "rf_bandwidth") == "20000000"
    assert "ends at 20 MHz" in caplog.text


def test_another_device_is_no_pluto(tmp_path: Path):
    context = tmp_path / "other.xml"
    context.write_text(
        '<?xml version="1.0"?><!DOCTYPE context [<!ELEMENT context ANY><!ELEMENT device ANY><!ELEMENT attribute EMPTY>'
        "<!ELEMENT context-attribute EMPTY><!ATTLIST context name CDATA #REQUIRED description CDATA #IMPLIED>"
        "<!ATTLIST context-attribute name CDATA #REQUIRED value CDATA #REQUIRED>"
        "<!ATTLIST device id CDATA #REQUIRED name CDATA #IMPLIED>"
        "<!ATTLIST attribute name CDATA #REQUIRED filename CDATA #IMPLIED value CDATA #IMPLIED>]>"
        '<context name="xml" description="other"><context-attribute name="hw_model" value="ADALM2000"/>'
        '<device id="iio:device0" name="m2k-dac"><attribute name="x" value="1"/></device></context>'
    )
    with pytest.raises(RadioConfigError, match=r"got ADALM2000 with m2k-dac; allowed: a PlutoSDR"):
        Connection(f"xml:{context}", 1.0)


def test_a_busy_radio_names_the_program_that_holds_it(plutos):
    uri = plutos.uris[0]
    port = uri.rsplit(":", 1)[1]
    script = f"import socket as s, sys; c = s.create_connection(('127.0.0.1', {port})); print(1, flush=True); input()"
    other = subprocess.Popen([sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        assert other.stdout.readline()
        assert any(f"(process {other.pid})" in program for program in programs_at(uri))
        plutos.faults.add(Fault(kind="busy", command="OPEN", station=0, times=0))
        with radio(uri) as made:
            made.configure(TUNING)
            with pytest.raises(RadioLinkError, match=re.escape(f"(process {other.pid}); end that")):
                made.start_cyclic(FRAME)
    finally:
        other.communicate(b"\n", timeout=30)
    assert programs_at(uri) == ()


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (errno.ECONNREFUSED, "no IIO daemon at this port"),
        (errno.ETIMEDOUT, "raise pluto.timeout_s"),
        (errno.EHOSTUNREACH, "nothing is at this address"),
        (errno.EACCES, "udev"),
        (errno.ENODEV, "iio_info -s"),
        (errno.EPIPE, "did the radio restart"),
        (errno.EBUSY, "by no program of this machine"),
        (None, "testbed doctor"),
    ],
)
def test_every_errno_has_its_own_remedy(number, words):
    assert words in remedy("ip:127.0.0.1:9", number)


def test_a_refused_connection_says_so():
    with radio("ip:127.0.0.1:9") as made, pytest.raises(RadioLinkError, match="no IIO daemon at this port"):
        made.configure(TUNING)


def test_a_radio_that_is_silent_for_too_long_is_told_from_one_that_refuses(plutos):
    uri = plutos.uris[0]
    with radio(uri, timeout_s=0.3) as made:
        made.configure(TUNING)
        plutos.faults.add(Fault(kind="timeout", command="READBUF", station=0, times=0))
        with pytest.raises(RadioLinkError, match=r"did not answer in time; .*raise pluto\.timeout_s"):
            made.capture(1000)
        plutos.faults.clear()


@pytest.mark.parametrize("through", ["pyadi", "backend"])
def test_the_calibration_tone_is_muted_by_the_backend(through):
    """A program that only moves the carrier radiates it at full drive."""
    with virtual_plutos(air=AIR, shared_clock=True, tuning=TUNING, calibration_burst_ms=50.0) as served:
        with radio(served.access_point_uri) as receiver:
            receiver.configure(TUNING)
        listening = served.air.open_rx(served.air.stations[-1], 60_000, 4)
        if through == "pyadi":
            link = Connection(served.uris[0], 3.0)
            link.call("tune", lambda pluto: setattr(pluto, "sample_rate", 1_000_000))
            link.call("tune", lambda pluto: setattr(pluto, "tx_hardwaregain_chan0", -20))
            link.call("tune", lambda pluto: setattr(pluto, "tx_lo", 915_000_000))
            link.close()
        else:
            with radio(served.uris[0]) as sender:
                sender.configure(TUNING)
        heard = from_codes(listening.read(lambda: False))
        assert served.air.now_ps >= 50e9, "the call returns when the calibration is over"
        served.air.close_buffer(listening)
    level = np.abs(np.fft.fft(heard[:48_000])[3000]) / 48_000
    assert (level > 0.2) == (through == "pyadi")
    assert (level < 1e-3) == (through == "backend")


def test_tuning_the_rate_moves_phases_and_what_follows_is_as_before(plutos):
    """ADI: phases move with the sample rate. Draws of the oscillators are not used up by that."""
    station = plutos.air.stations[0]
    link = Connection(plutos.uris[0], 3.0)
    before, relocks = station.tx_phase_rad, station.num_relocks
    link.call("rate", lambda pluto: setattr(pluto, "sample_rate", 1_000_000))
    link.close()
    assert station.tx_phase_rad != before
    assert station.num_relocks == relocks
