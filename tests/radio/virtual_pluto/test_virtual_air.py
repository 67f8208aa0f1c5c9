"""The air behind the virtual radios: its channels, its time, its kernel buffers."""

from __future__ import annotations

import threading
import time
from typing import Any

import msgspec
import numpy as np
import pytest

from radio.air.air import Air
from radio.air.config import AirConfig, ReceiverConfig, TransmitterConfig
from radio.virtual_pluto.bench.clock import PS_PER_S, sample_at

from .conftest import FREQUENCY_HZ, QUIET, RATE_HZ, STEADY, Bench, iq_of, random_frame, words_of

HALF_CODE = 0.5 / 2048
FADED = AirConfig(
    tdl="A", delay_spread_s=300e-9, path_loss_db=12.0, path_loss_spread_db=3.0, snr_db=float("inf"), cfo_max_hz=0.0,
    delay_max_samples=5.0,
)  # fmt: skip


def never() -> bool:
    return False


def changed(config: Any, **fields: Any) -> Any:
    return msgspec.structs.replace(config, **fields)


@pytest.mark.parametrize("ppm_max", [0.0, 20.0])
@pytest.mark.parametrize("air", [FADED, changed(FADED, doppler_hz=200.0)], ids=["block", "moving"])
def test_an_uplink_is_what_the_loopback_air_computes_for_the_same_seed(ppm_max: float, air: AirConfig) -> None:
    bench = Bench(changed(STEADY, ppm_max=ppm_max, seed=7), air, num_devices=3)
    bench.access_point.chip.crystal_hz = 40e6  # an Air's access point is the reference
    oracle = Air(
        changed(air, transmitter=TransmitterConfig(ppm_max=ppm_max, lo_corrected=False)),
        num_devices=3, seed=7, sample_rate_hz=RATE_HZ, tx_power=0.25, center_freq_hz=FREQUENCY_HZ,
    )  # fmt: skip
    oracle.begin_block(0, 1)
    for device in range(3):
        frame = random_frame(1000, seed=device, amplitude=0.3)
        oracle.transmit(device, frame, None)
        bench.send(device, frame)
    received, expected = bench.hear(20_000), oracle.capture(3, 20_000)
    assert np.abs(expected).mean() > 0.05
    error = received - expected
    assert max(np.abs(error.real).max(), np.abs(error.imag).max()) < HALF_CODE + 1e-4


def test_links_are_reciprocal_and_devices_hear_each_other_and_themselves() -> None:
    bench = Bench(STEADY, changed(FADED, path_loss_db=6.0), num_devices=2)
    frame = random_frame(500)
    heard: dict[tuple[int, int], Any] = {}
    for sender in range(3):
        buffer = bench.send(sender, frame)
        for receiver in range(3):
            at = bench.air.now_ps
            samples = bench.hear(4000, bench.air.stations[receiver])
            heard[sender, receiver] = np.roll(samples[1500:2000], (sample_at(at, RATE_HZ * 10**6) + 1500) % 500)
        bench.air.close_buffer(buffer)
    starts = {sender: bench.air.stations[sender].playouts for sender in range(3)}
    assert starts  # the frames start at different times, so compare magnitudes of spectra
    spectra = {pair: np.abs(np.fft.fft(samples)) for pair, samples in heard.items()}
    for low, high in ((0, 1), (0, 2), (1, 2)):
        assert np.allclose(spectra[low, high], spectra[high, low], atol=0.05)
        assert np.abs(heard[low, high]).mean() > 10 * HALF_CODE
    for own in range(3):
        assert np.abs(heard[own, own]).mean() == pytest.approx(0.5 * 10 ** (-40 / 20), rel=0.1)


def test_carrier_offset_follows_both_crystals_and_both_oscillators() -> None:
    bench = Bench(changed(STEADY, ppm_max=20.0, seed=3), changed(QUIET, path_loss_db=0.0))
    sender, receiver = bench.air.stations
    sender.chip.tx_lo_hz += 50_000
    bench.send(0, np.full(64, 0.5, dtype=np.complex64))
    samples = bench.hear(50_000)[1000:]
    measured_hz = np.angle(np.sum(samples[1:] * samples[:-1].conj())) * RATE_HZ / (2 * np.pi)
    ppm = [station.chip.crystal_hz / 40 - 1e6 for station in (sender, receiver)]
    expected_hz = 50_000 + (ppm[0] - ppm[1]) * FREQUENCY_HZ / 1e6
    assert ppm[0] != ppm[1]
    assert measured_hz == pytest.approx(expected_hz, abs=2)


def test_correcting_the_reference_takes_the_offset_away() -> None:
    bench = Bench(changed(STEADY, ppm_max=20.0, seed=3), changed(QUIET, path_loss_db=0.0))
    for station in bench.air.stations:
        with bench.air.change():
            station.chip.xo_correction_hz = round(station.chip.crystal_hz)
    bench.send(0, np.full(64, 0.5, dtype=np.complex64))
    samples = bench.hear(50_000)[1000:]
    measured_hz = np.angle(np.sum(samples[1:] * samples[:-1].conj())) * RATE_HZ / (2 * np.pi)
    assert abs(measured_hz) < 2 * FREQUENCY_HZ * 0.5 / 40e6


def test_a_shared_clock_leaves_no_offset_and_tuning_draws_a_new_phase() -> None:
    bench = Bench(changed(STEADY, ppm_max=20.0, random_phase=True), changed(QUIET, path_loss_db=0.0), shared_clock=True)
    bench.send(0, np.full(64, 0.5, dtype=np.complex64))
    first, again = bench.hear(2000)[100:], bench.hear(2000)[100:]
    assert np.abs(first - first[0]).max() < 4 * HALF_CODE
    assert np.abs(first[0] - again[0]) < 4 * HALF_CODE
    with bench.air.change():
        bench.air.relock(bench.air.stations[0], "tx")
    assert np.abs(bench.hear(2000)[1000] - first[0]) > 0.01


def test_radios_at_other_rates_or_frequencies_are_not_heard() -> None:
    bench = Bench()
    bench.send(0, random_frame(100))
    assert np.abs(bench.hear(1000)).max() > 0.04
    sender = bench.air.stations[0]
    with bench.air.change():
        sender.chip.tx_lo_hz += RATE_HZ
    assert np.abs(bench.hear(1000)).max() == 0
    with bench.air.change():
        sender.chip.tx_lo_hz -= RATE_HZ
        sender.chip.sample_rate_hz = 2 * RATE_HZ
    assert np.abs(bench.hear(1000)).max() == 0


def test_gains_scale_the_signal_and_the_receiver_saturates() -> None:
    bench = Bench()
    bench.send(0, np.full(64, 0.5, dtype=np.complex64))
    base = bench.hear(1000)[500].real
    assert base == pytest.approx(0.05, abs=HALF_CODE)
    bench.air.stations[0].chip.tx_gain_db += 6.0
    assert bench.hear(1000)[500].real == pytest.approx(base * 10 ** (6 / 20), abs=2 * HALF_CODE)
    bench.access_point.chip.rx_gain_db += 41.0
    assert bench.hear(1000)[500].real == 2047 / 2048


def test_automatic_gain_finds_a_level_and_shows_it() -> None:
    bench = Bench()
    bench.send(0, np.full(64, 0.5, dtype=np.complex64))
    bench.access_point.chip.gain_mode = "slow_attack"
    bench.access_point.chip.rx_gain_db = 71.0
    bench.hear(100_000)
    level_db = 20 * np.log10(np.abs(bench.hear(1000)).mean())
    assert -16 < level_db < -10
    assert bench.access_point.chip.rx_gain_db == pytest.approx(30 + 26 - 12, abs=2)


def test_noise_has_the_power_that_the_rig_asks_for_and_is_white() -> None:
    bench = Bench(STEADY, AirConfig(fading="none", path_loss_db=20.0, snr_db=0.0, cfo_max_hz=0.0))
    noise = bench.hear(200_000)
    expected = bench.radio.max_power / 100
    assert np.mean(np.abs(noise) ** 2) == pytest.approx(expected, rel=5 / np.sqrt(200_000))
    for lag in (1, 2, 3):
        assert abs(np.mean(noise[lag:] * noise[:-lag].conj())) < 5 * expected / np.sqrt(200_000)
    kurtosis = np.mean(noise.real**4) / np.mean(noise.real**2) ** 2
    assert kurtosis == pytest.approx(3.0, abs=5 * np.sqrt(24 / 200_000))
    assert not np.array_equal(noise[:1000], bench.hear(1000))


def test_impairments_of_the_air_configuration_are_applied() -> None:
    air = changed(
        QUIET, path_loss_db=0.0, transmitter=TransmitterConfig(iq_image_dbc=-20.0, dc_dbc=-30.0),
        receiver=ReceiverConfig(dc_dbc=-26.0),
    )  # fmt: skip
    bench = Bench(STEADY, air)
    n = np.arange(1000)
    bench.send(0, (0.25 * np.exp(2j * np.pi * 0.1 * n)).astype(np.complex64))
    spectrum = np.abs(np.fft.fft(bench.hear(4000)[1000:2000])) / 1000
    assert 20 * np.log10(spectrum[900] / spectrum[100]) == pytest.approx(-20, abs=0.5)
    assert spectrum[0] > 10 ** (-30 / 20) - 10 ** (-26 / 20) / 2


def test_phase_noise_keeps_its_standard_deviation() -> None:
    air = changed(QUIET, path_loss_db=0.0, transmitter=TransmitterConfig(phase_noise_deg=3.0))
    bench = Bench(STEADY, air)
    bench.send(0, np.full(64, 0.9, dtype=np.complex64))
    angles = np.angle(bench.hear(1 << 19)[1000:])
    assert np.rad2deg(angles.std()) == pytest.approx(3.0, rel=0.25)


def test_air_time_stands_still_while_nobody_reads() -> None:
    bench = Bench()
    bench.send(0, random_frame(100), cyclic=False)
    bench.listen(1000)
    time.sleep(0.02)
    assert bench.air.now_ps == 0


def test_reading_moves_time_by_exactly_what_was_read() -> None:
    bench = Bench()
    buffer = bench.listen(1000)
    for blocks in range(1, 5):
        buffer.read(never)
        assert bench.air.now_ps == blocks * 1000 * PS_PER_S // RATE_HZ


def test_a_one_shot_frame_is_heard_once() -> None:
    bench = Bench(STEADY, changed(QUIET, path_loss_db=0.0))
    frame = random_frame(400)
    bench.send(0, frame, cyclic=False)
    heard = bench.hear(2000)
    assert np.abs(heard[:400] - frame).max() < 4 * HALF_CODE
    assert np.abs(heard[450:]).max() == 0


def test_start_jitter_lies_within_its_limits_and_differs() -> None:
    config = changed(STEADY, start_jitter_min_ms=1.0, start_jitter_max_ms=10.0)
    bench = Bench(config)
    starts = []
    for _ in range(30):
        at = sample_at(bench.air.now_ps, RATE_HZ * 10**6)
        buffer = bench.send(0, np.full(4000, 0.5, dtype=np.complex64), cyclic=False)
        heard = np.abs(bench.hear(16_000))
        bench.air.close_buffer(buffer)
        first = int(np.argmax(heard > 0.02))
        starts.append(first)
        assert 990 <= first <= 10_010, at
    assert len(set(starts)) > 20


def test_back_to_back_buffers_are_gapless_and_in_lock_step_with_a_reader() -> None:
    bench = Bench(changed(STEADY, start_jitter_max_ms=3.0, hold_s=60.0), changed(QUIET, path_loss_db=0.0))
    stream = random_frame(64_000, seed=5)
    buffer = bench.air.open_tx(bench.air.stations[0], 1000, 4, cyclic=False)

    def push() -> None:
        for part in stream.reshape(64, 1000):
            buffer.push(words_of(part), never)

    reader = bench.listen(2048)  # while somebody listens, a stream leaves it to them to move time
    pusher = threading.Thread(target=push)
    pusher.start()
    while len(bench.air.stations[0].playouts) < 4:
        time.sleep(0.001)
    heard = np.concatenate([iq_of(reader.read(never)) for _ in range(24)])
    bench.air.close_buffer(reader)
    pusher.join()
    start = int(np.argmax(np.abs(heard) > 0.4))
    assert start <= 3000
    assert np.abs(heard[start : start + 40_000] - stream[:40_000]).max() < 4 * HALF_CODE


def test_a_silent_stream_is_as_good_as_none_and_a_loud_buffer_in_it_is_heard() -> None:
    bench = Bench(changed(STEADY, hold_s=60.0), changed(QUIET, path_loss_db=0.0))
    frame, silence = random_frame(500), np.zeros(500, dtype=np.complex64)
    buffer = bench.air.open_tx(bench.air.stations[0], 500, 8, cyclic=False)
    for part in (silence, silence, frame, silence, silence):
        buffer.push(words_of(part), never)
    heard = bench.hear(2500)
    assert np.abs(heard[1000:1500] - frame).max() < 4 * HALF_CODE
    assert np.abs(heard[:950]).max() == np.abs(heard[1550:]).max() == 0
    assert not bench.air.stations[0].underflowed


def test_a_lone_stream_runs_at_full_speed_and_moves_time() -> None:
    bench = Bench(changed(STEADY, hold_s=30.0))
    buffer = bench.air.open_tx(bench.air.stations[0], 1000, 4, cyclic=False)
    for _ in range(500):
        buffer.push(words_of(random_frame(1000)), never)
    assert bench.air.now_ps == 496 * 1000 * PS_PER_S // RATE_HZ
    assert len(bench.air.stations[0].playouts) < 100


def test_a_stream_that_runs_dry_holds_time_for_a_bounded_while() -> None:
    bench = Bench(changed(STEADY, hold_s=0.3))
    buffer = bench.send(0, random_frame(1000), cyclic=False)
    buffer.push(words_of(random_frame(1000)), never)
    started_s = time.monotonic()
    bench.hear(10_000)
    assert time.monotonic() - started_s >= 0.3
    assert not buffer.is_streaming  # so that it holds nobody back again
    assert not bench.air.stations[1].underflowed
    buffer.push(words_of(random_frame(1000)), never)
    assert bench.air.stations[0].underflowed


def test_late_reads_get_old_blocks_first_and_the_loss_is_flagged() -> None:
    bench = Bench(STEADY, AirConfig(snr_db=0.0, cfo_max_hz=0.0))
    slow = bench.listen(1000, count=4)
    other = bench.listen(1000, station=bench.air.stations[0])
    slow.read(never)
    for _ in range(3):
        other.read(never)
    slow.buffer.run_until_now()
    assert not bench.access_point.overflowed
    for _ in range(20):
        other.read(never)
    starts = []
    for _ in range(5):
        slow.buffer.run_until_now()
        starts.append(slow.buffer._full[0].start if slow.buffer._full else None)
        slow.read(never)
    assert bench.access_point.overflowed
    assert starts[:3] == [1000, 2000, 3000]  # three kernel buffers of old samples
    now = sample_at(bench.air.now_ps, RATE_HZ * 10**6)
    assert now > 23_000
    assert starts[3] is None


def test_an_unread_receiver_blocks_nobody() -> None:
    bench = Bench(changed(STEADY, hold_s=0.05), num_devices=2)
    bench.listen(1000)
    stream = bench.air.open_tx(bench.air.stations[1], 1000, 2, cyclic=False)
    for _ in range(50):
        stream.push(words_of(random_frame(1000)), never)
    assert bench.air.now_ps == 48 * 1000 * PS_PER_S // RATE_HZ
    bench.air.run_buffers(bench.access_point)
    assert bench.access_point.overflowed


def test_what_was_received_before_a_setting_changed_is_as_it_was_set() -> None:
    bench = Bench()
    bench.send(0, np.full(64, 0.5, dtype=np.complex64))
    buffer = bench.listen(1000)
    bench.hear(500, bench.air.stations[0])
    with bench.air.change():
        bench.access_point.chip.rx_gain_db += 20.0
    heard = iq_of(buffer.read(never))
    assert np.abs(heard[100:500]).max() == pytest.approx(0.05, abs=2 * HALF_CODE)
    assert np.abs(heard[500:]).min() == pytest.approx(0.5, abs=2 * HALF_CODE)


def test_a_new_rate_keeps_counting_from_now() -> None:
    bench = Bench(STEADY, changed(QUIET, path_loss_db=0.0))
    bench.send(0, random_frame(1000))
    bench.hear(12_345)
    for station in bench.air.stations:
        with bench.air.change():
            station.chip.sample_rate_hz = 3 * RATE_HZ
    now_ps = bench.air.now_ps
    heard = bench.hear(3000)
    assert np.abs(heard).min() > 0.3
    assert bench.air.now_ps - now_ps == pytest.approx(PS_PER_S / 1000, rel=1e-3)


def test_fading_blocks_follow_air_time() -> None:
    air = AirConfig(fading="rayleigh", path_loss_db=0.0, snr_db=float("inf"), cfo_max_hz=0.0, delay_max_samples=0.0)
    bench = Bench(changed(STEADY, block_ms=2.0), air)
    bench.send(0, np.full(64, 0.3, dtype=np.complex64))
    heard = bench.hear(10_000)
    gains = heard.reshape(5, 2000)[:, 1000]
    assert np.unique(np.round(gains, 3)).size == 5
    for block, gain in zip(heard.reshape(5, 2000), gains, strict=True):
        assert np.abs(block[100:] - gain).max() < 2 * HALF_CODE


def test_the_truth_is_what_is_heard_and_blocks_can_be_drawn() -> None:
    bench = Bench(
        changed(STEADY, ppm_max=0.1, random_phase=True),
        AirConfig(path_loss_db=3.0, snr_db=float("inf"), cfo_max_hz=0.0, delay_max_samples=3.0), num_devices=2,
    )  # fmt: skip
    seen = []
    for block in range(3):
        with bench.air.change():
            bench.air.links.begin_block(block, 1)
        for device in range(2):
            with bench.air.change():
                bench.access_point.chip.rx_gain_db = 20.0 + 3 * block
            buffer = bench.send(device, np.full(64, 0.5, dtype=np.complex64))
            first = sample_at(bench.air.now_ps, bench.access_point.chip.rx_rate_uhz)
            heard = bench.hear(1000)[500]
            truth = bench.air.reception.truth(bench.air.now_ps)
            bench.air.close_buffer(buffer)
            bench.hear(200)
            turn = np.exp(
                2j * np.pi * truth.cfo_hz[device] * (first + 500) / (bench.access_point.chip.rx_rate_uhz / 1e6)
            )
            assert abs(heard - 0.5 * truth.gains[device] * turn) < 3 * HALF_CODE
            seen.append(truth.gains[device])
    assert len(set(seen)) == 6
