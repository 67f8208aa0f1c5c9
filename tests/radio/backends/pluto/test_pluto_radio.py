"""The backend's promises beyond the contract: settings, mute, overflow, reconnection. Virtual Plutos, real libiio."""

import logging
import threading
import time
from collections.abc import Iterator
from contextlib import suppress

import numpy as np
import pytest

from radio.air.config import AirConfig
from radio.backends.pluto import driver
from radio.backends.pluto.config import PlutoConfig
from radio.backends.pluto.driver import Connection
from radio.backends.pluto.radio import MAX_BUFFER_SAMPLES, PlutoRadio
from radio.backends.pluto.samples import RX_FULL_SCALE, from_codes, to_codes
from radio.backends.pluto.tuning import MUTED_DB, Setting
from radio.config import FrameConfig, RadioConfig
from radio.errors import DriverError, RadioConfigError, RadioError, RadioLinkError, SamplesLostError, SignalError
from radio.virtual_pluto.config import Fault
from radio.virtual_pluto.server import VirtualPlutos
from radio.waveform.modulation import is_saturated
from tests.libiio import require_libiio, virtual_plutos

AIR = AirConfig(fading="none", path_loss_db=10.0, snr_db=60.0, cfo_max_hz=0.0, delay_max_samples=0.0)
TUNING = RadioConfig(tx_gain_db=-20.0, rx_gain_db=40.0)


@pytest.fixture(autouse=True)
def _libiio() -> None:
    require_libiio()


@pytest.fixture
def plutos() -> Iterator[VirtualPlutos]:
    with virtual_plutos(air=AIR, shared_clock=True, tuning=TUNING) as served:
        yield served


def radio(uri: str, **settings: object) -> PlutoRadio:
    return PlutoRadio(PlutoConfig(uri=uri, **{"real_time": False, "timeout_s": 3.0, **settings}))


def tx_gain_db(uri: str) -> float:
    link = Connection(uri, 3.0)
    try:
        return float(link.call("read", lambda pluto: pluto.tx_hardwaregain_chan0))
    finally:
        link.close()


def test_every_setting_is_made_and_gain_is_manual(plutos):
    uri = plutos.device_uris[0]
    with radio(uri) as made:
        made.configure(TUNING)
        link = Connection(uri, 3.0)
        told = link.call(
            "read",
            lambda p: (p.sample_rate, p.rx_lo, p.tx_lo, p.gain_control_mode_chan0, p.rx_hardwaregain_chan0,
                       p.tx_hardwaregain_chan0, p.rx_rf_bandwidth),
        )  # fmt: skip
        link.close()
    assert told[3] == "manual"
    assert told[0] == pytest.approx(1e6, abs=8)
    assert told[1:3] == pytest.approx((915e6, 915e6), abs=10)
    assert told[4:] == (40, -20, 1_000_000)


def test_a_setting_that_is_silently_ignored_is_an_error(plutos):
    """The chip takes no gain while its own control is on, and says nothing."""
    link = Connection(plutos.device_uris[0], 3.0)
    with pytest.raises(RadioConfigError, match=r"asked rx_gain_db=12.*reports 71"):
        Setting("rx_gain_db", "rx_hardwaregain_chan0", 12.0, 0.5).apply(link)
    link.close()


@pytest.mark.parametrize(
    ("tuning", "names"),
    [
        (RadioConfig(center_freq_hz=100e6), "center_freq_hz"),
        (RadioConfig(sample_rate_hz=400e3), "sample_rate_hz"),
        (RadioConfig(center_freq_hz=5e9), "center_freq_hz"),
    ],
)
def test_what_the_radio_cannot_do_is_refused_and_it_stays_muted(plutos, tuning, names):
    uri = plutos.device_uris[0]
    with radio(uri) as made:
        with pytest.raises(RadioConfigError, match=names):
            made.configure(tuning)
        with pytest.raises(RadioConfigError, match="configure"):
            made.capture(100)
    if names != "sample_rate_hz":  # refused before the radio was asked anything
        assert tx_gain_db(uri) == MUTED_DB


def test_closing_mutes(plutos):
    uri = plutos.device_uris[0]
    with radio(uri) as made:
        made.configure(TUNING)
        assert tx_gain_db(uri) == -20
    assert tx_gain_db(uri) == MUTED_DB


def test_moving_the_carrier_adds_up_and_survives_a_new_tuning(plutos):
    uri = plutos.device_uris[0]
    with radio(uri) as made:
        made.configure(TUNING)
        made.shift_carrier(-20_000.0)
        made.shift_carrier(500.0)
        made.configure(TUNING)
        link = Connection(uri, 3.0)
        assert link.call("read", lambda pluto: pluto.tx_lo) == pytest.approx(915e6 - 19_500, abs=10)
        link.close()


def test_nobody_there_says_what_to_do():
    with radio("ip:127.0.0.1:9") as made, pytest.raises(RadioLinkError, match=r"no radio answers.*testbed air --rig"):
        made.configure(TUNING)


def test_a_missing_library_names_the_remedy(monkeypatch):
    monkeypatch.setattr("ctypes.util.find_library", lambda name: None)
    with pytest.raises(DriverError, match=r"apt-get install libiio0"):
        radio("ip:127.0.0.1").configure(TUNING)


def test_libiio_1_is_refused(monkeypatch):
    monkeypatch.setattr(driver.load_iio(), "version", (1, 0, "v1.0"))
    with pytest.raises(DriverError, match=r"got version 1\.0; allowed: 0\.x.*pip install pyadi-iio==0\.0\.21"):
        radio("ip:127.0.0.1").configure(TUNING)


def test_a_rate_beyond_the_link_is_warned_of(plutos, caplog):
    with radio(plutos.device_uris[0], link_rate_max_hz=0.9e6) as made, caplog.at_level(logging.WARNING):
        made.configure(TUNING)
    assert "more than this link sustains" in caplog.text
    assert PlutoConfig(uri="usb:1.5.5").sustained_rate_hz == 4e6


def test_a_loud_signal_saturates_instead_of_wrapping(plutos):
    with radio(plutos.device_uris[0]) as sender, radio(plutos.access_point_uri) as receiver:
        sender.configure(TUNING)
        receiver.configure(RadioConfig(tx_gain_db=-20.0, rx_gain_db=70.0))
        sender.start_cyclic(np.full(400, 0.5 + 0.5j, dtype=np.complex64))
        heard = receiver.capture(1000, skip_samples=5000)
    assert is_saturated(heard, FrameConfig())
    parts = heard.view(np.float32)
    assert np.abs(parts).max() <= 1.001
    assert np.all(np.diff(np.sign(parts[::2])) == 0)


def test_more_than_a_buffer_holds_is_refused(plutos):
    with radio(plutos.device_uris[0]) as made:
        made.configure(TUNING)
        with pytest.raises(SignalError, match=str(MAX_BUFFER_SAMPLES)):
            made.transmit(np.zeros(1 << 18, dtype=np.complex64), num_repeats=5)


def test_a_stream_does_not_follow_a_cyclic_frame(plutos):
    with radio(plutos.device_uris[0], streaming=True) as made:
        made.configure(TUNING)
        made.start_cyclic(np.zeros(400, dtype=np.complex64))
        with pytest.raises(RadioConfigError, match="stop that first"):
            made.stream(np.zeros(400, dtype=np.complex64))
        made.stop()
        made.stream(np.zeros(400, dtype=np.complex64))


def heard_at_last(made: PlutoRadio) -> np.ndarray:
    """On a busy machine the buffers may overflow again at once."""
    while True:
        with suppress(SamplesLostError):
            return made.capture(2000)


def test_samples_that_went_unread_for_too_long_are_lost_and_said_so():
    with virtual_plutos(air=AIR, shared_clock=True, pacing="real_time") as served:
        settings = {"real_time": True, "counts_samples": True, "streaming": True, "stream_block_samples": 4096}
        with radio(served.access_point_uri, **settings) as made:
            made.configure(RadioConfig())
            heard_at_last(made)
            epoch = made.epoch
            time.sleep(0.3)  # 32 buffers hold 131 ms
            with pytest.raises(SamplesLostError, match="overflowed"):
                made.capture(2000)
            assert made.epoch > epoch
            assert heard_at_last(made).shape == (2000,)
            epoch = made.epoch
            time.sleep(0.3)
            made.begin_block(1, 1)
            assert made.epoch > epoch
            assert heard_at_last(made).shape == (2000,)


def test_a_pause_within_the_buffers_keeps_the_count_and_gives_fresh_samples():
    with virtual_plutos(air=AIR, shared_clock=True, pacing="real_time") as served:
        settings = {"real_time": True, "counts_samples": True, "streaming": True, "stream_block_samples": 16_384}
        with radio(served.access_point_uri, **settings) as made:
            made.configure(RadioConfig())
            made.begin_block(0, 1)
            for block in range(1, 200):
                epoch, before, began_s = made.epoch, made.clock_samples, time.monotonic()
                time.sleep(0.2)
                made.begin_block(block, 1)
                paused_s = time.monotonic() - began_s
                if paused_s >= 0.4:  # a busy machine took longer than the buffers last
                    continue
                assert made.epoch == epoch
                passed = made.clock_samples - before
                if passed == pytest.approx(paused_s * 1e6, abs=70_000):  # else the served radio got no time meanwhile
                    break
            else:
                pytest.fail("the count never went on by as much as the pause")


@pytest.mark.parametrize("command", ["WRITEBUF", "READBUF", "OPEN"])
def test_a_lost_link_is_reported_once_and_connected_again(command):
    faults = (Fault(kind="drop", command=command, times=1),)
    frame = np.full(400, 0.5, dtype=np.complex64)
    with (
        virtual_plutos(air=AIR, shared_clock=True, tuning=TUNING, faults=faults) as served,
        radio(served.device_uris[0]) as sender,
        radio(served.access_point_uri) as receiver,
    ):
        sender.configure(TUNING)
        receiver.configure(TUNING)
        sender.shift_carrier(-1000.0)
        failures = 0
        for _ in range(4):
            try:
                sender.start_cyclic(frame)
                heard = receiver.capture(1000, skip_samples=3000)
            except RadioLinkError:
                failures += 1
        assert failures == 1
        spectrum = np.fft.fft(heard)
        assert np.argmax(np.abs(spectrum)) in (998, 999)  # −1 kHz of 1 MHz: the carrier is where it was moved to


def test_a_daemon_that_restarts_is_found_again(plutos):
    with radio(plutos.device_uris[0], timeout_s=1.0) as made:
        made.configure(TUNING)
        made.capture(1000)
        plutos.restart(0, 0.2)
        with pytest.raises(RadioLinkError):
            made.transmit(np.zeros(400, dtype=np.complex64), num_repeats=1)
        while True:
            try:
                assert made.capture(1000).shape == (1000,)
                break
            except RadioLinkError:
                time.sleep(0.05)
        assert tx_gain_db(plutos.device_uris[0]) == -20


def test_every_failure_is_a_radio_error(plutos):
    made = radio(plutos.device_uris[0])
    made.configure(TUNING)
    made.close()
    with pytest.raises(RadioError, match="close"):
        made.capture(10)


def test_full_scale_is_what_the_converters_mean():
    frame = np.array([1, -1, 1j, 0.5 + 0.25j], dtype=np.complex64)
    assert to_codes(frame).tolist() == [16384, 0, -16384, 0, 0, 16384, 8192, 4096]
    assert from_codes(np.array([RX_FULL_SCALE, -2048], dtype=np.int16))[0].real == 1
    assert from_codes(np.array([0, -2048], dtype=np.int16))[0].imag < -1


def test_frames_are_rounded_to_twelve_bits():
    rng = np.random.default_rng(1)
    frame = (rng.uniform(-0.7, 0.7, 1000) + 1j * rng.uniform(-0.7, 0.7, 1000)).astype(np.complex64)
    codes = to_codes(frame)
    assert np.all(codes % 16 == 0)
    assert np.abs(codes / 16384 - frame.view(np.float32)).max() <= 8.01 / 16384


def test_a_stream_outlives_a_long_silence_of_whoever_reads(plutos):
    """As fast as possible, air time waits for the access point; that is no lost link, however long it thinks."""
    counted = {"streaming": True, "counts_samples": True, "stream_block_samples": 1024, "timeout_s": 1.0}
    frame = np.full(400, 0.5, dtype=np.complex64)
    with radio(plutos.device_uris[0], **counted) as sender, radio(plutos.access_point_uri, **counted) as receiver:
        sender.configure(TUNING)
        receiver.configure(TUNING)
        receiver.begin_block(0, 1)
        first = sender.transmit_at(frame, None)
        receiver.capture(12_000)
        time.sleep(1.5)
        assert first < sender.transmit_at(frame, None) < first + 100_000


def test_another_thread_mutes_a_radio_in_use_and_leaves_its_memory_alone(plutos):
    """As at the end of a process whose worker threads still run."""
    uri = plutos.device_uris[0]
    release, started = threading.Event(), threading.Event()
    made = radio(uri)

    def work() -> None:
        made.configure(TUNING)
        made.start_cyclic(np.full(400, 0.5, dtype=np.complex64))
        started.set()
        release.wait(200)

    worker = threading.Thread(target=work)
    worker.start()
    assert started.wait(200)
    made.close()
    assert tx_gain_db(uri) == MUTED_DB
    assert made._link is not None
    release.set()
    worker.join()
    with pytest.raises(RadioConfigError, match="close"):
        made.capture(100)
    link, made._link = made._link, None
    link.close()
