"""What pilots around a payload say: exact without noise, calibrated with it, and who does not belong is named."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from radio.waveform.misalignment import code_of, judge, measure_arrivals, pilot_codes

ACTIVE = np.array([0, 1, 2])


def symbols_of(arrivals: np.ndarray, round_index: int, amplitude: float) -> np.ndarray:
    """L pilot symbols of devices 0..L−2, each with its code, arriving as `arrivals` [L − 1]."""
    num_codes = arrivals.size + 1
    sent = [pilot_codes(num_codes)[code_of(k, round_index, num_codes)] for k in range(arrivals.size)]
    return amplitude * arrivals @ np.array(sent)


@given(round_index=st.integers(0, 50), seed=st.integers(0, 99), num_devices=st.integers(1, 9))
def test_every_devices_arrival_is_measured_exactly_and_nobodys_is_zero(round_index, seed, num_devices):
    draws = np.random.default_rng(seed)
    arrivals = draws.normal(size=num_devices) + 1j * draws.normal(size=num_devices)
    got = measure_arrivals(symbols_of(arrivals, round_index, 0.2), round_index, amplitude=0.2)
    assert np.allclose(got, [*arrivals, 0], atol=1e-12)


def judged(before, after=None, **changes):
    before = np.array([*before, 0j])
    settings = {
        "expected": np.ones(3), "radial_variance": np.full(3, 1e-3), "phase_variance": np.full(3, 1e-3),
        "pilot_variance": 1e-8,
    }  # fmt: skip
    after = before if after is None else np.array([*after, 0j])
    return judge(before, after, ACTIVE, **(settings | changes))


def test_a_common_turn_is_turned_back_and_costs_nothing():
    turned = judged(np.exp(0.3j) * np.ones(3))
    assert turned.rotation_rad == pytest.approx(0.3, rel=1e-4)
    assert turned.power < 1e-6
    assert turned.problem is None


def test_a_missing_device_a_stray_one_and_one_turned_too_far_are_named():
    assert "device 1: its pilots are missing" in judged([1, 0.01, 1]).problem
    assert "device 2: turned by 86°" in judged([1, 1, np.exp(1.5j)]).problem
    before = np.array([1, 1, 1, 0.9 + 0j])
    known = {"expected": np.ones(3), "radial_variance": np.zeros(3), "phase_variance": np.zeros(3)}
    assert "another round" in judge(before, before, ACTIVE, pilot_variance=1e-8, **known).problem
    two = {name: value[:2] for name, value in known.items()}
    assert "device 2, which has no part" in judge(before, before, ACTIVE[:2], pilot_variance=1e-8, **two).problem


def test_noisy_pilots_reject_nobody():
    assert judged([1, 0.01, 1], pilot_variance=0.1).problem is None


def test_the_stated_misalignment_is_that_of_gaussian_channel_errors():
    rng, trials = np.random.default_rng(1), 4000
    radial_std, phase_std, pilot_std = 0.03, 0.15, 0.05
    true, stated = [], []
    for _ in range(trials):
        arrivals = (1 + radial_std * rng.normal(size=3)) * np.exp(1j * phase_std * rng.normal(size=3))
        noise = pilot_std * (rng.normal(size=(2, 3, 2)) @ [1, 1j])
        got = judged(
            arrivals + noise[0], arrivals + noise[1], pilot_variance=pilot_std**2,
            radial_variance=np.full(3, radial_std**2), phase_variance=np.full(3, phase_std**2),
        )  # fmt: skip
        true.append(np.sum((np.real(arrivals * np.exp(-1j * got.rotation_rad)) - 1) ** 2))
        stated.append(got.power)
    assert np.mean(true) == pytest.approx(np.mean(stated), rel=5 * np.std(true) / np.mean(true) / math.sqrt(trials))
