"""Converters, mixers and amplifiers, by their formulas."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from radio.air.config import ReceiverConfig, TransmitterConfig
from radio.air.hardware import Angles, amplify, digitise, draw_angles, mirror, quantise, radiate

ANGLES = Angles(image_rad=0.7, dc_rad=-1.0)


def tone(cycles: int, num_samples: int = 64, amplitude: float = 0.5) -> np.ndarray:
    return amplitude * np.exp(2j * np.pi * cycles * np.arange(num_samples) / num_samples)


@given(bits=st.integers(2, 16), seed=st.integers(0, 99))
def test_a_converter_errs_by_half_a_step_and_never_wraps(bits, seed):
    samples = np.random.default_rng(seed).uniform(-1.5, 1.5, 40).view(np.complex128)
    step = 1 / (2 ** (bits - 1) - 1)
    error = quantise(samples, bits) - (np.clip(samples.real, -1, 1) + 1j * np.clip(samples.imag, -1, 1))
    assert np.abs(error.view(float)).max() <= step / 2 * (1 + 1e-9)
    assert np.abs(quantise(samples, bits).view(float)).max() <= 1


def test_the_mirror_image_is_as_strong_as_asked_and_power_is_kept():
    mirrored = mirror(tone(5), -30.0, 0.7)
    spectrum = np.abs(np.fft.fft(mirrored)) ** 2
    assert 10 * np.log10(spectrum[-5] / spectrum[5]) == pytest.approx(-30, abs=1e-9)
    assert spectrum.sum() == pytest.approx((np.abs(np.fft.fft(tone(5))) ** 2).sum(), rel=1e-12)


def test_the_leaking_carrier_is_a_constant_of_the_asked_power():
    sent = radiate(tone(5), TransmitterConfig(dc_dbc=-40.0), ANGLES)
    assert abs(sent.mean()) == pytest.approx(0.01, rel=1e-9)


@pytest.mark.parametrize("name", ["rapp", "saleh"])
def test_an_amplifier_has_unit_gain_when_small_and_saturates_where_told(name):
    config = TransmitterConfig(pa=name, pa_saturation_dbfs=0.0)
    small = np.array([1e-4 + 0j])
    assert amplify(small, config)[0] == pytest.approx(small[0], rel=1e-6)
    drive = np.linspace(0, 50, 5001).astype(complex)
    assert np.abs(amplify(drive, config)).max() == pytest.approx(1, rel=1e-3)


def test_rapps_compression_is_the_formula_and_salehs_turns_the_phase():
    rapp = amplify(np.array([1.0 + 0j]), TransmitterConfig(pa="rapp", pa_saturation_dbfs=0.0, pa_smoothness=2.0))
    assert rapp[0] == pytest.approx(2 ** (-1 / 4))
    saleh = amplify(np.array([2.0 + 0j]), TransmitterConfig(pa="saleh", pa_saturation_dbfs=0.0))
    assert saleh[0] == pytest.approx(np.exp(1j * math.pi / 6))


def test_perfect_hardware_changes_nothing():
    assert np.array_equal(radiate(tone(3), TransmitterConfig(), ANGLES), tone(3))
    assert np.array_equal(digitise(tone(3), ReceiverConfig(), ANGLES), tone(3).astype(np.complex64))


def test_a_radio_keeps_its_angles_when_others_join():
    assert draw_angles(2, seed=1) == draw_angles(5, seed=1)[:2]
