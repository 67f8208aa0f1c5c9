"""Programs that know nothing of this toolkit: unmodified pyadi-iio, the iio_* tools, Debian's iiod, GNU Radio."""

from __future__ import annotations

import gc
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import msgspec
import numpy as np
import pytest

from radio.air.config import AirConfig
from radio.errors import RadioConfigError
from radio.virtual_pluto.config import VirtualConfig
from radio.virtual_pluto.server import VirtualPlutos

from .conftest import FREQUENCY_HZ, RATE_HZ, STEADY, WHY_NO_TOOLS

NOISY = AirConfig(fading="rayleigh", path_loss_db=20.0, snr_db=10.0, cfo_max_hz=0.0)
FREE_RUNNING = msgspec.structs.replace(
    STEADY, ppm_max=5.0, random_phase=True, start_jitter_min_ms=1.0, start_jitter_max_ms=10.0
)
GIVE_UP_S = 400.0
SYSTEM_PYTHON = "/usr/bin/python3"
needs_tools = pytest.mark.skipif(bool(WHY_NO_TOOLS), reason=WHY_NO_TOOLS)


@contextmanager
def opened(adi: Any, uri: str) -> Iterator[Any]:
    """A configured adi.Pluto whose buffers go before its context."""
    radio = adi.Pluto(uri)
    try:
        radio.sample_rate = RATE_HZ
        radio.tx_lo = radio.rx_lo = FREQUENCY_HZ
        radio.gain_control_mode_chan0 = "manual"
        radio.rx_hardwaregain_chan0 = 30
        radio.tx_hardwaregain_chan0 = -30
        yield radio
    finally:
        radio.tx_destroy_buffer()
        radio.rx_destroy_buffer()
        del radio
        gc.collect()


def run(*command: str, **more: Any) -> subprocess.CompletedProcess[Any]:
    return subprocess.run(command, capture_output=True, timeout=GIVE_UP_S, check=True, **{"text": True, **more})


def test_pyadi_tunes_and_reads_back(adi: Any, serve: Callable[..., VirtualPlutos]) -> None:
    with opened(adi, serve().uris[0]) as radio:
        for rate in (1_000_000, 2_500_000, 521_000, 30_720_000, 61_440_000, 3_000_000):
            radio.sample_rate = rate
            assert radio.sample_rate == rate
        for frequency in (325_000_000, 915_000_000, 2_399_999_999, 3_800_000_000):
            radio.rx_lo = radio.tx_lo = frequency
            assert abs(radio.rx_lo - frequency) <= 5
            assert abs(radio.tx_lo - frequency) <= 5
        radio.rx_rf_bandwidth, radio.tx_rf_bandwidth = 4_000_000, 2_000_000
        assert (radio.rx_rf_bandwidth, radio.tx_rf_bandwidth) == (4_000_000, 2_000_000)
        radio.rx_rf_bandwidth, radio.tx_rf_bandwidth = 50_000_000, 100_000
        assert (radio.rx_rf_bandwidth, radio.tx_rf_bandwidth) == (20_000_000, 200_000)  # the driver clamps
        radio.rx_rf_bandwidth, radio.tx_rf_bandwidth = 4_000_000, 2_000_000
        for gain in (-3, 0, 30, 71):
            radio.rx_hardwaregain_chan0 = gain
            assert radio.rx_hardwaregain_chan0 == gain
        for gain in (-89.75, -10.25, 0):
            radio.tx_hardwaregain_chan0 = gain
            assert radio.tx_hardwaregain_chan0 == gain
        radio.gain_control_mode_chan0 = "slow_attack"
        radio.rx_hardwaregain_chan0 = 5  # pyadi keeps this to itself
        assert radio.rx_hardwaregain_chan0 == 71
        radio.loopback = 1
        assert radio.loopback == 1
        assert "PlutoSDR" in repr(radio)


@pytest.mark.parametrize(("name", "value"), [
    ("rx_lo", 324_000_000), ("tx_lo", 3_900_000_000), ("tx_hardwaregain_chan0", 1.0), ("tx_hardwaregain_chan0", -90.0),
    ("sample_rate", 61_440_001), ("gain_control_mode_chan0", "automatic"), ("rx_hardwaregain_chan0", 72),
])  # fmt: skip
def test_pyadi_is_told_of_values_out_of_range(
    adi: Any, serve: Callable[..., VirtualPlutos], name: str, value: object
) -> None:
    with opened(adi, serve().uris[0]) as radio:
        with pytest.raises(OSError) as caught:
            setattr(radio, name, value)
        assert caught.value.errno == 22


def test_a_cyclic_transmission_correlates_and_can_be_replaced(adi: Any, serve: Callable[..., VirtualPlutos]) -> None:
    plutos = serve(FREE_RUNNING, air=NOISY)
    with opened(adi, plutos.uris[0]) as sender, opened(adi, plutos.access_point_uri) as receiver:
        receiver.rx_buffer_size = 40_000
        for root in (1, 7):
            n = np.arange(1024)
            sequence = np.exp(-1j * np.pi * root * n * n / 1024)  # Zadoff-Chu of an even length
            sender.tx_destroy_buffer()
            sender.tx_cyclic_buffer = True
            sender.tx(sequence * 2**13)
            receiver.rx_destroy_buffer()
            heard = receiver.rx()[20_000:]
            offsets_hz = np.arange(-12_000, 12_001, 100)
            peaks = []
            for offset_hz in offsets_hz:
                turned = heard[:2048] * np.exp(-2j * np.pi * offset_hz * np.arange(2048) / RATE_HZ)
                peaks.append(np.abs(np.correlate(turned, sequence, "valid")).max())
            energy = np.sqrt(np.sum(np.abs(heard[:1024]) ** 2) * 1024)
            assert max(peaks) / energy > 0.7
        sender.tx_destroy_buffer()
        receiver.rx_destroy_buffer()
        before = np.mean(np.abs(heard) ** 2)
        after = np.mean(np.abs(receiver.rx()) ** 2)
        assert after < before / 5


def test_a_second_cyclic_push_is_refused_by_pyadi(adi: Any, serve: Callable[..., VirtualPlutos]) -> None:
    with opened(adi, serve().uris[0]) as radio:
        radio.tx_cyclic_buffer = True
        radio.tx(np.ones(1000) * 1000)
        with pytest.raises(Exception, match="cyclic"):
            radio.tx(np.ones(1000) * 1000)


def test_pyadi_tones_are_where_they_should_be(adi: Any, serve: Callable[..., VirtualPlutos]) -> None:
    plutos = serve()
    with opened(adi, plutos.uris[0]) as sender, opened(adi, plutos.uris[1]) as receiver:
        receiver.rx_buffer_size = 1 << 14
        for frequency in (125_000, -250_000):
            sender.dds_single_tone(frequency, 0.5)
            receiver.rx_destroy_buffer()
            spectrum = np.abs(np.fft.fft(receiver.rx()))
            expected = frequency * spectrum.size // RATE_HZ % spectrum.size
            assert int(np.argmax(spectrum)) == expected
            spectrum[expected] = 0
            assert spectrum.max() < 0.01 * np.sum(spectrum) + 1000
        sender.disable_dds()
        receiver.rx_destroy_buffer()
        assert np.abs(receiver.rx()).max() == 0


def test_stale_samples_come_first_unless_the_buffer_is_destroyed(adi: Any, serve: Callable[..., VirtualPlutos]) -> None:
    plutos = serve()
    with opened(adi, plutos.uris[0]) as sender, opened(adi, plutos.uris[1]) as receiver:
        receiver.rx_buffer_size = 1000
        receiver.rx()
        sender.rx_buffer_size = 10_000
        sender.rx()  # time passes
        sender.tx_cyclic_buffer = True
        sender.tx(np.full(1000, 2**14))
        levels = [np.abs(receiver.rx()).mean() for _ in range(4)]
        assert levels[:3] == [0, 0, 0]
        assert levels[3] > 100
        sender.tx_destroy_buffer()
        receiver.rx_destroy_buffer()
        assert np.abs(receiver.rx()).max() < 300  # fresh: at most the end of what was still travelling


def test_kernel_buffers_of_one_are_always_fresh(adi: Any, serve: Callable[..., VirtualPlutos]) -> None:
    plutos = serve()
    with opened(adi, plutos.uris[0]) as sender, opened(adi, plutos.uris[1]) as receiver:
        receiver._rxadc.set_kernel_buffers_count(1)
        receiver.rx_buffer_size = 1000
        receiver.rx()
        sender.rx_buffer_size = 10_000
        sender.rx()
        sender.tx_cyclic_buffer = True
        sender.tx(np.full(1000, 2**14))
        assert np.abs(receiver.rx()[100:]).min() > 100


def test_digital_loopback_through_pyadi_is_exact(adi: Any, serve: Callable[..., VirtualPlutos]) -> None:
    with opened(adi, serve(FREE_RUNNING, air=NOISY).uris[0]) as radio:
        radio.loopback = 1
        draws = np.random.default_rng(2).integers(-1024, 1024, (1000, 2))
        frame = draws[:, 0] + 1j * draws[:, 1]
        radio.tx_cyclic_buffer = True
        radio.tx(frame * 16)
        radio.rx_buffer_size = 20_000
        heard = radio.rx()[-2000:]
        shift = int(np.argmax(np.abs(np.correlate(heard, frame, "valid"))))
        assert np.array_equal(heard[shift : shift + 1000], frame)


@needs_tools
def test_iio_info_lists_the_whole_radio(serve: Callable[..., VirtualPlutos]) -> None:
    listed = run("iio_info", "-u", serve().uris[0])
    assert "IIO context has 4 devices" in listed.stdout
    assert "hw_model: Analog Devices PlutoSDR" in listed.stdout
    assert "voltage0:  (output, index: 0, format: le:S16/16>>0)" in listed.stdout
    assert "error" not in listed.stderr.lower()


@needs_tools
def test_radios_on_addresses_of_their_own_need_no_port(serve: Callable[..., VirtualPlutos]) -> None:
    try:
        plutos = serve(VirtualConfig(spread="hosts"), num_devices=2)
    except RadioConfigError as err:
        pytest.skip(f"the default port is taken on this machine: {err}")
    assert plutos.uris == ["ip:127.0.0.1", "ip:127.0.0.2", "ip:127.0.0.3"]
    serials = {
        line for uri in plutos.uris for line in run("iio_info", "-u", uri).stdout.splitlines() if "hw_serial" in line
    }
    assert len(serials) == 3


@needs_tools
def test_iio_attr_reads_and_writes(serve: Callable[..., VirtualPlutos]) -> None:
    uri = serve().uris[0]
    written = run("iio_attr", "-u", uri, "-c", "-o", "ad9361-phy", "RX_LO", "frequency", "915000000")
    assert abs(int(written.stdout.split()[-1]) - 915_000_000) <= 5
    assert "slow_attack" in run("iio_attr", "-u", uri, "-c", "-i", "ad9361-phy", "voltage0", "gain_control_mode").stdout
    assert "TXSAMP:30720000" in run("iio_attr", "-u", uri, "-d", "ad9361-phy", "tx_path_rates").stdout
    assert run("iio_attr", "-u", uri, "-D", "ad9361-phy", "loopback").stdout.strip() == "0"
    refused = subprocess.run(
        ["iio_attr", "-u", uri, "-c", "-o", "ad9361-phy", "RX_LO", "frequency", "1"], capture_output=True, text=True
    )
    assert "Invalid argument" in refused.stdout + refused.stderr


@needs_tools
def test_iio_readdev_and_iio_writedev_move_samples(serve: Callable[..., VirtualPlutos]) -> None:
    plutos = serve(msgspec.structs.replace(STEADY, hold_s=0.0), air=NOISY)
    read = run("iio_readdev", "-u", plutos.uris[1], "-b", "32768", "-s", "500000", "cf-ad9361-lpc", text=False)
    samples = np.frombuffer(read.stdout, dtype="<i2")
    assert samples.size == 1_000_000
    assert 0 < samples.std() < 2047
    words = bytes(4 * 300_000)
    run("iio_writedev", "-u", plutos.uris[0], "-b", "30000", "cf-ad9361-dds-core-lpc", input=words, text=False)
    assert plutos.air.stations[0].num_starts == 1  # one transmission without gaps


@contextmanager
def proxied(uri: str) -> Iterator[int]:
    """Debian's iiod in front of a radio; its port."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [str(shutil.which("iiod")), "-u", uri, "-p", str(port)]
    proxy = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        while proxy.poll() is None:
            with suppress(OSError), socket.create_connection(("127.0.0.1", port)):
                break
            time.sleep(0.05)
        yield port
    finally:
        proxy.kill()  # without an Avahi daemon it does not end by itself
        proxy.wait()


needs_iiod = pytest.mark.skipif(shutil.which("iiod") is None, reason="Debian's iiod is missing: install it")


@needs_iiod
def test_debians_iiod_accepts_the_server_as_its_hardware(adi: Any, serve: Callable[..., VirtualPlutos]) -> None:
    plutos = serve()
    with (
        proxied(plutos.uris[1]) as port,
        opened(adi, plutos.uris[0]) as sender,
        opened(adi, f"ip:127.0.0.1:{port}") as receiver,
    ):
        assert abs(plutos.air.stations[1].chip.rx_lo_hz - FREQUENCY_HZ) <= 5
        sender.tx_cyclic_buffer = True
        sender.tx(np.exp(0.2j * np.pi * np.arange(1000)) * 2**14)
        receiver.rx_buffer_size = 4096
        spectrum = np.abs(np.fft.fft(receiver.rx()[-1000:]))
        assert int(np.argmax(spectrum)) == 100
        receiver.tx_cyclic_buffer = True
        receiver.tx(np.ones(1000) * 2**14)
        assert plutos.air.stations[1].sent()


DIALOGUES = [
    "ZPRINT", "BINARY", "NONSENSE x", "TIMEOUT 1000", "TIMEOUT", "READ iio:device0 calib_mode",
    "READ ad9361-phy calib_mode", "READ iio:device0 nothing", "READ iio:device9 x",
    "READ iio:device0 INPUT voltage0 gain_control_mode", "READ iio:device0 INPUT voltage9 x",
    "READ iio:device0 INPUT voltage0 nothing", "READ iio:device0 DEBUG loopback", "READ iio:device0 DEBUG nothing",
    "READ iio:device3 BUFFER watermark", "WRITE iio:device0 calib_mode 4\r\nauto", "WRITE iio:device0 gone 4\r\nauto",
    "WRITE iio:device9 nothing 4\r\nauto", "WRITE iio:device0 OUTPUT altvoltage0 frequency 1\r\n7",
    "WRITE iio:device0 INPUT voltage0 rssi 1\r\n7", "OPEN iio:device3 1024 3", "OPEN iio:device3 1024 00000000",
    "OPEN iio:device9 1024 00000003", "OPEN iio:device0 1024 00000003", "OPEN iio:device3 0 00000003",
    "READBUF iio:device3 100", "WRITEBUF iio:device2 100", "CLOSE iio:device3", "CLOSE iio:device9",
    "SET iio:device3 BUFFERS_COUNT 0", "SET iio:device3 BUFFERS_COUNT 4", "SET iio:device9 BUFFERS_COUNT 4",
    "GETTRIG iio:device3", "GETTRIG iio:device0", "GETTRIG iio:device9", "SETTRIG iio:device3",
    "OPEN iio:device3 64 00000003|CLOSE iio:device3|CLOSE iio:device3",
    "OPEN iio:device2 64 00000003 CYCLIC|WRITEBUF iio:device2 16|0123456789abcdef|CLOSE iio:device2",
    "OPEN iio:device2 64 00000003|READBUF iio:device2 256",
]  # fmt: skip


@needs_iiod
def test_replies_are_those_of_debians_iiod(serve: Callable[..., VirtualPlutos]) -> None:
    plutos = serve()
    with proxied(plutos.uris[0]) as port:
        own_port = int(plutos.uris[0].rpartition(":")[2])
        for dialogue in DIALOGUES:
            assert replies(own_port, dialogue) == replies(port, dialogue), dialogue


def replies(port: int, dialogue: str) -> list[bytes]:
    """One for each command, one at a time; data, as opposed to commands, has no end of line."""
    heard = []
    with socket.create_connection(("127.0.0.1", port), timeout=GIVE_UP_S) as client, client.makefile("rb") as stream:
        for command in dialogue.split("|"):
            is_whole = "\r\n" in command or command[0].isdigit()
            client.sendall(command.encode() + (b"" if is_whole else b"\r\n"))
            heard.append(stream.readline())
            if command.startswith("READ ") and int(heard[-1]) > 0:
                heard.append(stream.read(int(heard[-1]) + 1))
    return heard
