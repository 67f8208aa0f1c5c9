"""Taps: the standard's profiles, and gains with the statistics they claim."""

import math

import numpy as np
import pytest

from radio.air.air import Air
from radio.air.config import AirConfig
from radio.air.fading import BlockFading, MovingFading, profile_of
from radio.errors import RadioConfigError


@pytest.mark.parametrize("name", ["A", "B", "C", "D", "E"])
def test_every_profile_of_the_standard_has_unit_delay_spread_and_power(name):
    profile = profile_of(AirConfig(tdl=name, delay_spread_s=1e-6), 1e6)
    powers = profile.scattered_powers + profile.steady_powers
    mean = powers @ profile.delays_samples
    spread = np.sqrt(powers @ (profile.delays_samples - mean) ** 2)
    assert powers.sum() == pytest.approx(1, rel=1e-12)
    assert spread == pytest.approx(1, abs=0.01)  # the tables: 1, but for rounding of their powers


@pytest.mark.parametrize(("name", "rice_k_db"), [("D", 13.3), ("E", 22.0)])
def test_line_of_sight_profiles_have_the_standards_rice_factor(name, rice_k_db):
    profile = profile_of(AirConfig(tdl=name), 1e6)
    first = profile.delays_samples == 0
    at_zero = profile.scattered_powers[:2].sum()
    assert first[0]
    assert 10 * np.log10(profile.steady_powers[0] / at_zero) == pytest.approx(rice_k_db, abs=0.01)


def test_the_rice_factor_is_steady_over_scattered_power():
    config = AirConfig(fading="rice", rice_k_db=6.0)
    gains = BlockFading(profile_of(config, 1e6), 40_000, 1, 0.0).gains(0, 1)[:, 0]
    rice_k = 10**0.6
    assert abs(gains.mean()) ** 2 == pytest.approx(rice_k / (1 + rice_k), rel=0.02)
    assert np.mean(np.abs(gains) ** 2) == pytest.approx(1, rel=5 / np.sqrt(40_000))


def test_correlated_blocks_form_an_ar1_process_and_resume_anywhere():
    rho, rounds, devices = 0.8, 40, 2000
    profile = profile_of(AirConfig(block_correlation=rho), 1e6)
    process = BlockFading(profile, devices, 3, rho)
    gains = np.array([process.gains(t, 1)[:, 0] for t in range(rounds)])
    power = np.mean(np.abs(gains) ** 2)
    for lag in (1, 2, 5):
        measured = np.mean(gains[lag:] * gains[:-lag].conj()).real / power
        assert measured == pytest.approx(rho**lag, abs=5 / np.sqrt(devices * rounds * (1 - rho)))
    resumed = BlockFading(profile, devices, 3, rho)
    assert np.array_equal(resumed.gains(17, 1)[:, 0], gains[17])
    assert np.array_equal(process.gains(4, 1)[:, 0], gains[4])
    retry = process.gains(4, 2)[:, 0]
    assert np.mean(retry * gains[4].conj()).real == pytest.approx(rho, abs=5 / np.sqrt(devices))


def test_moving_gains_have_clarkes_autocorrelation():
    profile = profile_of(AirConfig(doppler_hz=100.0), 1e6)
    moving = MovingFading.draw(profile, num_devices=4000, seed=2, doppler_per_sample=1e-4)
    lags = np.array([0.0, 1000.0, 3000.0, 6000.0])
    gains = np.array([moving.gains(k, lags)[:, 0] for k in range(4000)])  # [K, lags]
    measured = np.mean(gains * gains[:, :1].conj(), axis=0).real
    angles = np.linspace(0, np.pi, 20_001)
    expected = [np.mean(np.cos(2 * np.pi * 1e-4 * lag * np.cos(angles))) for lag in lags]  # J0 as its integral
    assert np.abs(measured - expected).max() < 5 / np.sqrt(4000)


def test_doppler_and_correlated_blocks_exclude_each_other():
    with pytest.raises(RadioConfigError, match="block_correlation"):
        AirConfig(doppler_hz=1.0, block_correlation=0.5)


def test_the_symbol_level_has_one_tap_whatever_the_profile():
    assert profile_of(AirConfig(level="symbol", tdl="A"), 1e6).delays_samples.size == 1


@pytest.mark.parametrize("doppler_hz", [100.0, 1000.0, 2000.0, 5000.0, 14_700.0])
@pytest.mark.parametrize("tdl", ["flat", "A"])
def test_gains_keep_their_power_and_clarkes_correlation_up_to_the_largest_doppler_shift(doppler_hz, tdl):
    """J0(0.4π) = 0.643 at 0.2/f_D (Clarke); straight lines over 256 samples lost 2.6 dB at 2 kHz."""
    powers, products = [], []
    lag = round(0.2 / doppler_hz * 1e6)
    num_devices, num_samples = 6, 60_000
    config = AirConfig(
        snr_db=math.inf, path_loss_db=0.0, cfo_max_hz=0.0, delay_max_samples=0.0, doppler_hz=doppler_hz, tdl=tdl,
        delay_spread_s=1e-9 if tdl == "A" else 0.0,
    )  # fmt: skip
    for seed in range(8):
        air = Air(config, num_devices=num_devices, seed=seed, sample_rate_hz=1e6, tx_power=0.04)
        air.begin_block(0, 1)
        for device in range(num_devices):
            air.transmit(device, np.full(64, 0.2, np.complex64), None)
            gains = air.arriving(device, num_samples)[1000:] / 0.2
            powers.append(np.mean(np.abs(gains) ** 2))
            products.append(np.mean(gains[lag:] * gains[:-lag].conj()).real)
    error = 4 / math.sqrt(len(powers) * max(1.0, doppler_hz * num_samples / 1e6 / 4))
    assert np.mean(powers) == pytest.approx(1.0, abs=error + 0.012)
    assert np.mean(products) / np.mean(powers) == pytest.approx(0.643, abs=error + 0.012)


def test_a_doppler_shift_beyond_what_keeps_its_power_is_refused():
    with pytest.raises(
        RadioConfigError, match=r"air\.doppler_hz: got 0\.015 of the sample rate; allowed: at most 0\.0147"
    ):
        Air(AirConfig(doppler_hz=15_000.0), num_devices=1, seed=1, sample_rate_hz=1e6, tx_power=0.04)


def test_fast_gains_captured_in_pieces_are_those_captured_at_once():
    config = AirConfig(doppler_hz=3000.0, tdl="A", delay_spread_s=1e-6)
    heard = []
    for pieces in ((5000,), (1, 76, 1023, 3900)):
        air = Air(config, num_devices=1, seed=3, sample_rate_hz=1e6, tx_power=0.04)
        air.begin_block(0, 1)
        air.transmit(0, np.full(64, 0.2, np.complex64), None)
        heard.append(np.concatenate([air.arriving(0, 5000)] if len(pieces) == 1 else list(in_pieces(air, pieces))))
    assert np.array_equal(heard[0], heard[1])


def in_pieces(air, lengths):
    for length in lengths:
        yield air.arriving(0, length)
        air.elapse(length)
