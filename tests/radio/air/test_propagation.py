"""Clocks, taps, phase noise and hardware on the air: exact where theory is, statistical where it is not."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from radio.air.air import Air
from radio.air.channel import Oscillator
from radio.air.config import AirConfig, ReceiverConfig, TransmitterConfig
from radio.air.kernels import SEGMENT_SAMPLES
from radio.air.propagation import Path, Transmission, propagate

LENGTH = 4000
QUIET = {"snr_db": math.inf, "path_loss_db": 0.0}


def path_of(delay: float = 0.0, taps: tuple[float, ...] = (0.0,), **clock: float) -> Path:
    cycles = clock.pop("cycles_per_sample", 0.0)
    oscillator = Oscillator(cfo_hz=0.0, **clock)
    return Path(delay_samples=delay, tap_delays_samples=np.array(taps), oscillator=oscillator, cycles_per_sample=cycles)


def test_a_clock_that_runs_fast_sends_every_tone_higher():
    ppm, cycles = 40.0, 0.11
    frame = np.exp(2j * np.pi * cycles * np.arange(100_000))
    sent = [Transmission(frame, -40_000, -40_000 + frame.size)]
    start = 30_000
    got = propagate(sent, path_of(sro=ppm * 1e-6), np.ones(1, dtype=complex), start, start + LENGTH)
    times = np.arange(start, start + LENGTH)
    exact = np.exp(2j * np.pi * cycles * (times * (1 + ppm * 1e-6) + 40_000))
    assert np.abs(got - exact).max() < 2e-5


@given(seed=st.integers(0, 999))
@settings(max_examples=20, deadline=None)
def test_taps_add_up_as_delayed_copies(seed):
    draws = np.random.default_rng(seed)
    delays, gains = draws.uniform(0, 9, 8), draws.normal(size=8) + 1j * draws.normal(size=8)
    cycles = np.fft.fftfreq(256)
    spectrum = np.where(np.abs(cycles) <= 0.3, draws.normal(size=256) + 1j * draws.normal(size=256), 0)
    response = (gains * np.exp(-2j * np.pi * np.outer(cycles, delays + 1.5))).sum(axis=1)
    sent = [Transmission(np.fft.ifft(spectrum), -5120, 1 << 40)]
    got = propagate(sent, path_of(1.5, tuple(delays)), gains, 0, 256)
    exact = np.fft.ifft(spectrum * response)
    assert np.linalg.norm(got - exact) <= 2e-5 * np.linalg.norm(np.abs(gains).sum() * np.fft.ifft(spectrum))


def test_phase_noise_has_the_asked_deviation_and_no_memory_of_where_it_was_read():
    sent = [Transmission(np.ones(4, dtype=complex), -1000, 1 << 40)]
    one = np.ones(1, dtype=complex)
    phases = []
    for key in range(60):
        got = propagate(sent, path_of(phase_noise_rad=0.01, key=key * 7919), one, 0, 1 << 17)
        phases.append(np.angle(got[:: SEGMENT_SAMPLES // 4]))
    assert np.std(phases) == pytest.approx(0.01, rel=0.1)
    path = path_of(phase_noise_rad=0.01, key=5)
    whole = propagate(sent, path, one, 0, 5000)
    pieces = [propagate(sent, path, one, a, b) for a, b in ((0, 777), (777, 3001), (3001, 5000))]
    assert np.concatenate(pieces).tobytes() == whole.tobytes()


IMPAIRED = AirConfig.pluto_indoor()


@given(cuts=st.lists(st.integers(1, 9000), min_size=1, max_size=6))
@settings(max_examples=15, deadline=None)
def test_the_impaired_air_streams_too_bit_for_bit_with_any_number_of_threads(cuts):
    draws = np.random.default_rng(1)
    frames = [(0.3 * np.exp(2j * np.pi * draws.uniform(size=1000))).astype(np.complex64) for _ in range(3)]
    captures = []
    for lengths, threads in ((cuts, 1), ([sum(cuts)], 2)):
        noiseless = AirConfig(
            snr_db=math.inf, tdl="A", delay_spread_s=1e-6, doppler_hz=50.0, cfo_max_hz=100.0,
            transmitter=IMPAIRED.transmitter, receiver=ReceiverConfig(adc_bits=12, iq_image_dbc=-40.0),
        )  # fmt: skip
        air = Air(noiseless, num_devices=3, seed=1, sample_rate_hz=1e6, tx_power=0.25, num_threads=threads)
        air.begin_block(1, 1)
        for device, frame in enumerate(frames):
            air.transmit(device, frame, None)
        captures.append(np.concatenate([air.capture(3, length) for length in lengths]))
    assert captures[0].tobytes() == captures[1].tobytes()


def test_carrier_and_sampling_clock_follow_one_crystal():
    config = AirConfig(cfo_max_hz=0.0, transmitter=TransmitterConfig(ppm_max=25.0, lo_corrected=False))
    air = Air(config, num_devices=9, seed=1, sample_rate_hz=1e6, tx_power=0.25, center_freq_hz=2e9)
    truth = air.truth()
    assert np.allclose(truth.cfo_hz, truth.sro * 2e9)
    assert 1e-6 < np.abs(truth.sro).max() <= 25e-6
    corrected = AirConfig(cfo_max_hz=20.0, transmitter=TransmitterConfig(ppm_max=25.0))
    truth = Air(corrected, num_devices=9, seed=1, sample_rate_hz=1e6, tx_power=0.25).truth()
    assert np.abs(truth.cfo_hz).max() <= 20
    assert np.abs(truth.sro).max() > 1e-6


def test_the_gain_moves_only_after_the_blocks_first_transmission():
    config = AirConfig(
        fading="none", cfo_max_hz=0.0, delay_max_samples=0.0, transmitter=TransmitterConfig(gain_error_db=1.0), **QUIET
    )
    air = Air(config, num_devices=1, seed=1, sample_rate_hz=1e6, tx_power=0.25)
    frame = np.full(8, 0.5, dtype=np.complex64)
    levels_db = []
    for block in range(200):
        air.begin_block(block, 1)
        for _ in range(2):
            air.transmit(0, frame, 1)
            levels_db.append(20 * math.log10(abs(air.capture(1, 8)[4]) / 0.5))
    assert np.abs(levels_db[::2]).max() < 1e-6
    assert 0.9 < np.abs(levels_db[1::2]).max() <= 1 + 1e-6


def test_thermal_noise_follows_from_noise_figure_and_bandwidth():
    config = AirConfig(snr_db=math.inf, receiver=ReceiverConfig(noise_figure_db=3.0, full_scale_dbm=-60.0))
    assert 10 * math.log10(config.noise_power(0.25, 1e6)) == pytest.approx(-173.98 + 60 + 3 + 60, abs=1e-9)
    assert AirConfig(snr_db=math.inf).noise_power(0.25) == 0


def test_a_device_hears_the_access_point_through_its_own_uplink_without_moving_time():
    config = AirConfig(cfo_max_hz=0.0, tdl="B", delay_spread_s=2e-6, **QUIET)
    air = Air(config, num_devices=2, seed=4, sample_rate_hz=1e6, tx_power=0.25)
    frame = (0.1 * np.random.default_rng(1).normal(size=(400, 2)) @ [1, 1j]).astype(np.complex64)
    air.transmit(2, frame, 1)
    down = air.capture(1, 500)
    assert air.clock_samples == 0
    air.silence(2)
    air.transmit(1, frame, 1)
    up = air.capture(2, 500)
    assert down.tobytes() == up.tobytes()
    assert air.clock_samples == 500


def test_ground_truth_is_plain_numbers_on_request():
    plain = Air(IMPAIRED, num_devices=2, seed=1, sample_rate_hz=1e6, tx_power=0.25).truth().to_plain()
    assert np.shape(plain["tap_gains"]) == (2, 23, 2)
    assert np.allclose(np.sum(plain["tap_gains"], axis=1), plain["gains"])
