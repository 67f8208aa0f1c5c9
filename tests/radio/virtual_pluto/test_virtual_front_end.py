"""The virtual front end: filters, state, ports, gain control, calibration, several readers of one buffer."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from radio.air.config import AirConfig
from radio.virtual_pluto.bench.filters import butterworth, receives
from radio.virtual_pluto.server import VirtualPlutos

from .conftest import FREQUENCY_HZ, QUIET, RATE_HZ, STEADY, Bench, Client, random_frame
from .test_virtual_air import changed

NUM = 65_536


def tone(cycles: float) -> np.ndarray:
    """A tone of a multiple of 1/64 of the sample rate."""
    return (0.5 * np.exp(2j * np.pi * cycles * np.arange(64))).astype(np.complex64)


def line_dbfs(heard: np.ndarray, cycles: float) -> float:
    """Of one frequency, in cycles a sample."""
    window = np.hanning(heard.size)
    turned = heard * np.exp(-2j * np.pi * cycles * np.arange(heard.size))
    return float(20 * np.log10(max(abs(np.sum(window * turned)) / window.sum(), 1e-7)))


@pytest.mark.parametrize(("offset", "heard"), [(0.0, True), (0.07, True), (0.35, False), (0.45, False), (0.8, False)])
def test_a_tone_beyond_the_band_is_cut_and_not_wrapped_to_the_other_side(offset: float, heard: bool) -> None:
    """A sender `offset` of the sample rate above the receiver, its tone another 3/8 above its own carrier."""
    bench = Bench(STEADY, changed(QUIET, path_loss_db=0.0))
    bench.air.stations[0].chip.tx_lo_hz = FREQUENCY_HZ + round(offset * RATE_HZ)
    bench.air.stations[0].chip.tx_bandwidth_hz = bench.access_point.chip.rx_bandwidth_hz = RATE_HZ
    bench.send(0, tone(3 / 8))
    samples = bench.hear(NUM)[1000:]
    place = 3 / 8 + round(offset * RATE_HZ) / RATE_HZ
    level_dbfs = line_dbfs(samples, place)
    if heard and place < 0.5:
        assert level_dbfs == pytest.approx(20 * np.log10(0.5), abs=1.5)
    else:
        assert level_dbfs < 20 * np.log10(0.5) - 40
        assert 10 * np.log10(np.mean(np.abs(samples) ** 2) + 1e-12) < -46


def test_a_neighbour_reaches_into_the_band_with_what_lies_in_it() -> None:
    """Its carrier is beyond the receiver's band, its lower edge is not; it used to be silent."""
    bench = Bench(STEADY, changed(QUIET, path_loss_db=0.0))
    bench.air.stations[0].chip.tx_lo_hz = FREQUENCY_HZ + round(0.6 * RATE_HZ)
    bench.send(0, tone(-3 / 8))
    samples = bench.hear(NUM)[1000:]
    assert line_dbfs(samples, round(0.6 * RATE_HZ) / RATE_HZ - 3 / 8) == pytest.approx(20 * np.log10(0.5), abs=1.0)


@pytest.mark.parametrize("side", ["rx", "tx"])
def test_a_narrow_analogue_filter_weakens_the_edges_of_the_band_by_its_formula(side: str) -> None:
    bench = Bench(STEADY, changed(QUIET, path_loss_db=0.0))
    chip = bench.access_point.chip if side == "rx" else bench.air.stations[0].chip
    setattr(chip, f"{side}_bandwidth_hz", 400_000)
    expected = {}
    for cycles in (1 / 32, 1 / 4):
        buffer = bench.send(0, tone(cycles))
        expected[cycles] = line_dbfs(bench.hear(NUM)[1000:], cycles)
        bench.air.close_buffer(buffer)
    offsets = np.array([1 / 32, 1 / 4]) * RATE_HZ
    corners = (1.4, 2.5) if side == "rx" else (1.6, 5.0)
    wanted = butterworth(offsets, corners[0] * 200e3, 3) * butterworth(offsets, corners[1] * 200e3, 1)
    assert list(expected.values()) == pytest.approx(20 * np.log10(0.5 * wanted), abs=0.3)


def test_radios_as_the_backend_sets_them_lose_nothing_to_filters() -> None:
    """To the bit: carriers of ±20 ppm crystals, bandwidth as wide as the rate."""
    heard = []
    for bandwidth_hz in (RATE_HZ, 18_000_000):
        bench = Bench(changed(STEADY, ppm_max=20.0), changed(QUIET, path_loss_db=0.0))
        bench.access_point.chip.rx_bandwidth_hz = bandwidth_hz
        bench.send(0, random_frame(500))
        heard.append(bench.hear(4000))
    assert np.array_equal(heard[0], heard[1])
    assert receives(np.array([0.0, 0.6e6]), 1e6, 1e6) == pytest.approx([1.0, 0.0], abs=1e-3)


@pytest.mark.parametrize("state", ["sleep", "wait", "alert", "pinctrl"])
@pytest.mark.parametrize("station", [0, 1])
def test_a_radio_in_another_state_neither_sends_nor_hears(state: str, station: int) -> None:
    bench = Bench(STEADY, changed(QUIET, path_loss_db=0.0))
    bench.send(0, random_frame(100))
    assert np.abs(bench.hear(1000)).max() > 0.4
    with bench.air.change():
        bench.air.stations[station].chip.ensm_mode = state
    assert np.abs(bench.hear(1000)).max() == 0


def test_a_port_without_a_connector_neither_sends_nor_hears() -> None:
    for station, name, port in ((0, "tx_port", "B"), (1, "rx_port", "C_N")):
        bench = Bench(STEADY, changed(QUIET, path_loss_db=0.0))
        setattr(bench.air.stations[station].chip, name, port)
        bench.send(0, random_frame(100))
        assert np.abs(bench.hear(1000)).max() == 0


@pytest.mark.parametrize("mode", ["slow_attack", "fast_attack", "hybrid"])
def test_each_mode_of_gain_control_does_what_its_name_says(mode: str) -> None:
    """Of a strong signal that becomes weak by 30 dB: two find a level again, one by one step; hybrid only backs out."""
    bench = Bench(STEADY, changed(QUIET, path_loss_db=0.0))
    chip = bench.access_point.chip
    chip.gain_mode, chip.rx_gain_db = mode, 60.0
    bench.send(0, tone(1 / 8))
    listening = bench.listen(4096)

    def gains(num: int) -> list[float]:
        found = []
        for _ in range(num):
            listening.read(lambda: False)
            found.append(chip.rx_gain_db)
        return found

    gains(60)
    settled_db, before_db = bench.access_point.rx_power_dbfs, chip.rx_gain_db
    with bench.air.change():
        bench.air.stations[0].chip.tx_gain_db -= 30.0
    after = gains(60)
    if mode == "hybrid":
        assert settled_db < -4
        assert after[-1] == after[0]
        return
    assert settled_db == pytest.approx(-12, abs=2)
    assert bench.access_point.rx_power_dbfs == pytest.approx(-12, abs=2)
    largest = max(abs(np.diff([before_db, *after])))
    assert (largest > 20) if mode == "fast_attack" else (largest <= 4)


def test_fast_attack_stays_at_its_level_while_the_signal_moves_a_little() -> None:
    found = {}
    for mode in ("slow_attack", "fast_attack"):
        bench = Bench(STEADY, changed(QUIET, path_loss_db=0.0))
        bench.access_point.chip.gain_mode = mode
        bench.send(0, tone(1 / 8))
        listening = bench.listen(4096)
        for _ in range(60):
            listening.read(lambda: False)
        before = bench.access_point.chip.rx_gain_db
        with bench.air.change():
            bench.air.stations[0].chip.tx_gain_db -= 5.0
        for _ in range(30):
            listening.read(lambda: False)
        found[mode] = bench.access_point.chip.rx_gain_db - before
    assert found["fast_attack"] == 0
    assert found["slow_attack"] == pytest.approx(5, abs=3)


def test_several_clients_read_one_receiver_and_get_the_same_blocks(serve: Callable[..., VirtualPlutos]) -> None:
    """As iiod 0.x: each gets as much as it opened for."""
    plutos = serve(air=AirConfig(snr_db=10.0, cfo_max_hz=0.0))
    with Client(plutos.uris[0]) as first, Client(plutos.uris[0]) as second:
        assert first.ask("OPEN cf-ad9361-lpc 4000 00000003") == 0
        assert second.ask("OPEN cf-ad9361-lpc 1000 00000003") == 0
        for _ in range(5):
            heard = {}
            for client, size in ((first, 16_000), (second, 4_000)):
                client.send(f"READBUF cf-ad9361-lpc {size}\r\n".encode())
            for client, size in ((first, 16_000), (second, 4_000)):
                assert client.number() == size
                assert client.number() == 3
                heard[client] = client.stream.read(size)
            assert heard[first][:4_000] == heard[second]
        assert first.ask("CLOSE cf-ad9361-lpc") == 0
        assert second.ask("READBUF cf-ad9361-lpc 4000") == 4000, "the other one's buffer stays"


def test_cyclic_transmitters_stay_exclusive(serve: Callable[..., VirtualPlutos]) -> None:
    plutos = serve()
    with Client(plutos.uris[0]) as first, Client(plutos.uris[0]) as second:
        assert first.ask("OPEN cf-ad9361-dds-core-lpc 1000 00000003 CYCLIC") == 0
        assert second.ask("OPEN cf-ad9361-dds-core-lpc 1000 00000003 CYCLIC") == -16
