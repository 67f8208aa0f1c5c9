"""What a virtual radio does by itself: loopbacks, decimation, tones, time; and what its configuration refuses."""

from __future__ import annotations

import time

import numpy as np
import pytest

from radio.air.config import AirConfig, TransmitterConfig
from radio.errors import RadioConfigError
from radio.virtual_pluto.bench.clock import PS_PER_S, sample_at, time_of
from radio.virtual_pluto.config import VirtualConfig

from .conftest import QUIET, RATE_HZ, STEADY, Bench, random_frame, words_of
from .test_virtual_air import HALF_CODE, changed, never


def test_digital_loopback_is_bit_exact_and_silent_towards_others() -> None:
    bench = Bench(STEADY, AirConfig(snr_db=0.0, cfo_max_hz=0.0))
    frame = random_frame(1000)
    bench.air.stations[0].chip.loopback = 1
    bench.send(0, frame)
    heard = bench.listen(1000, station=bench.air.stations[0]).read(never)
    assert np.array_equal(heard, words_of(frame) >> 4)


def test_rf_loopback_hears_its_own_transmitter_at_unity_and_nobody_else() -> None:
    bench = Bench(STEADY, changed(QUIET, path_loss_db=0.0), num_devices=2)
    frame = random_frame(1000)
    bench.air.stations[0].chip.loopback = 2
    bench.send(1, random_frame(900, seed=9))
    assert np.abs(bench.hear(1000, bench.air.stations[0])).max() == 0
    bench.send(0, frame)
    heard = bench.hear(1000, bench.air.stations[0])
    shift = int(np.argmax(np.abs(np.fft.ifft(np.fft.fft(heard) * np.fft.fft(frame).conj()))))
    assert np.abs(np.roll(heard, -shift) - frame).max() < 4 * HALF_CODE


def test_decimation_by_eight_in_the_cores_needs_both_ends() -> None:
    bench = Bench(STEADY, changed(QUIET, path_loss_db=0.0))
    bench.send(0, random_frame(100))
    with bench.air.change():
        bench.access_point.chip.rx_by_8 = True
    assert np.abs(bench.hear(1000)).max() == 0
    before_ps = bench.air.now_ps
    with bench.air.change():
        bench.air.stations[0].chip.tx_by_8 = True
    assert np.abs(bench.hear(1000)).max() > 0.4
    assert bench.air.now_ps - before_ps == 8 * 1000 * PS_PER_S // RATE_HZ


def test_the_synthesiser_sends_tones_while_no_buffer_is_open() -> None:
    bench = Bench(STEADY, changed(QUIET, path_loss_db=0.0))
    tones = bench.air.stations[0].chip.tones
    for k, phase_mdeg in ((0, 90_000), (2, 0)):
        tones[k].frequency_hz, tones[k].scale, tones[k].phase_mdeg = 100_000, 0.25, phase_mdeg
    spectrum = np.fft.fft(bench.hear(4000)[1000:2000])
    assert int(np.argmax(np.abs(spectrum))) == 100
    assert np.abs(spectrum[100]) / 1000 == pytest.approx(0.5, rel=0.02)  # DAC full scale is twice ours
    bench.air.open_tx(bench.air.stations[0], 100, 4, cyclic=False)
    assert np.abs(bench.hear(1000)).max() == 0


def test_real_time_follows_the_clock() -> None:
    bench = Bench(changed(STEADY, pacing="real_time"))
    started_s = time.monotonic()
    before_ps = bench.air.now_ps
    buffer = bench.listen(10_000)
    for _ in range(5):
        buffer.read(never)
    elapsed_s = (bench.air.now_ps - before_ps) / PS_PER_S
    assert 0.05 <= elapsed_s <= time.monotonic() - started_s


def test_times_and_samples_convert_exactly() -> None:
    for rate_uhz in (10**12, 999_980_000_001, 61_440_000 * 10**6 + 7):
        for sample in (0, 1, 12_345, 10**13 + 1):
            assert sample_at(time_of(sample, rate_uhz), rate_uhz) in (sample, sample + 1)
            assert time_of(sample_at(10**15, rate_uhz), rate_uhz) >= 10**15


@pytest.mark.parametrize("air", [
    AirConfig(level="symbol", cfo_max_hz=0.0),
    AirConfig(cfo_max_hz=20.0),
    AirConfig(cfo_max_hz=0.0, start_jitter_samples=5),
    AirConfig(cfo_max_hz=0.0, transmitter=TransmitterConfig(ppm_max=5.0)),
])  # fmt: skip
def test_what_the_virtual_section_decides_is_refused_in_the_air_section(air: AirConfig) -> None:
    with pytest.raises(RadioConfigError, match="on virtual Plutos"):
        Bench(STEADY, air)


def test_a_bench_listens_on_loopback_unless_told_otherwise() -> None:
    with pytest.raises(RadioConfigError, match="allow_remote"):
        VirtualConfig(host="10.0.0.1")
    assert VirtualConfig(spread="hosts").address(3) == ("127.0.0.4", 30431)
    assert VirtualConfig().address(3) == ("127.0.0.1", 30434)
    with pytest.raises(RadioConfigError, match="at most 65533 for 3 radios"):
        VirtualConfig(first_port=65534).address(2)
