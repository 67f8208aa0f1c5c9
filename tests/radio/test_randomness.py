"""A draw depends on seed, purpose and counters only."""

import itertools
import subprocess
import sys

import numpy as np
import pytest

from radio.air.channel import draw_delays, draw_noise, draw_oscillators
from radio.air.config import AirConfig
from radio.air.fading import BlockFading, profile_of
from radio.randomness import generator


def gains_of(config: AirConfig, *, num_devices: int, seed: int, round_index: int, attempt: int) -> np.ndarray:
    fading = BlockFading(profile_of(config, 1e6), num_devices, seed, config.block_correlation)
    return fading.gains(round_index, attempt)[:, 0]


def test_no_two_places_share_a_stream():
    places = [
        (seed, *counters) for n in range(3) for seed, *counters in itertools.product((0, 1, 1 << 32), repeat=n + 1)
    ]
    draws = {
        generator(*place, purpose=purpose).integers(1 << 62) for place in places for purpose in ("fading", "noise")
    }
    assert len(draws) == 2 * len(places)


def test_another_process_draws_the_same():
    code = "from radio.randomness import generator; print(generator(7, 1, 2, purpose='x').integers(1 << 62))"
    there = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert int(there) == generator(7, 1, 2, purpose="x").integers(1 << 62)


def test_a_negative_counter_is_refused():
    with pytest.raises(ValueError, match="allowed"):
        generator(1, -1, purpose="x")


def test_a_device_keeps_its_channel_when_others_join():
    config = AirConfig()
    few, many = (gains_of(config, num_devices=k, seed=3, round_index=5, attempt=0) for k in (2, 9))
    assert np.array_equal(few, many[:2])
    assert draw_oscillators(config, num_devices=2, seed=3) == draw_oscillators(config, num_devices=9, seed=3)[:2]
    assert draw_delays(config, num_devices=2, seed=3) == draw_delays(config, num_devices=9, seed=3)[:2]


def test_rayleigh_gains_have_unit_mean_power_over_that_of_the_link():
    config = AirConfig(path_loss_db=20.0)
    num = 40_000
    gains = gains_of(config, num_devices=num, seed=1, round_index=0, attempt=0)
    power = np.abs(gains) ** 2
    assert power.mean() == pytest.approx(1, rel=5 / np.sqrt(num))  # std of an exponential is its mean
    assert abs(np.mean(gains**2)) < 5 * np.sqrt(2 / num)  # circular


def test_noise_power_is_total_over_both_components():
    num = 100_000
    noise = draw_noise(num, noise_power=0.5, seed=1, round_index=0, attempt=0, capture=0)
    assert noise.real.var() == pytest.approx(0.25, rel=5 * np.sqrt(2 / num))
    assert noise.imag.var() == pytest.approx(0.25, rel=5 * np.sqrt(2 / num))


def test_rounds_and_attempts_fade_differently():
    gains = [gains_of(AirConfig(), num_devices=1, seed=1, round_index=t, attempt=a)[0] for t in (0, 1) for a in (0, 1)]
    assert len(set(gains)) == 4
