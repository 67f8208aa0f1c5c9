"""Carrier offsets from a tone: right over the whole range, silent in noise."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from radio.waveform.carrier import SEARCH_FRACTION, TONE_SAMPLES, carrier_tone, measure_carrier

RATE_HZ = 1e6


def received(offset_hz: float, noise_std: float, seed: int) -> np.ndarray:
    tone = np.tile(carrier_tone(), -(-TONE_SAMPLES // carrier_tone().size))[:TONE_SAMPLES]
    draws = np.random.default_rng(seed).normal(0, noise_std / np.sqrt(2), (TONE_SAMPLES, 2))
    turned = tone * np.exp(2j * np.pi * offset_hz / RATE_HZ * np.arange(TONE_SAMPLES))
    return (turned + draws[:, 0] + 1j * draws[:, 1]).astype(np.complex64)


@given(offset_hz=st.floats(-80e3, 80e3), seed=st.integers(0, 1000))
def test_an_offset_of_40_ppm_either_way_is_found_to_a_fraction_of_a_bin(offset_hz, seed):
    heard = measure_carrier(received(offset_hz, 0.5, seed), RATE_HZ)
    assert heard is not None
    assert heard.offset_hz == pytest.approx(offset_hz, abs=0.1 * RATE_HZ / TONE_SAMPLES)


@pytest.mark.parametrize("seed", range(20))
def test_noise_is_no_tone(seed):
    noise = np.random.default_rng(seed).normal(size=(TONE_SAMPLES, 2)) @ np.array([1, 1j])
    assert measure_carrier(noise.astype(np.complex64), RATE_HZ) is None


def test_silence_is_no_tone():
    assert measure_carrier(np.zeros(TONE_SAMPLES, dtype=np.complex64), RATE_HZ) is None


def test_leakage_at_dc_is_out_of_the_search():
    """However far the offset, the receiver's own constant is not taken for a tone."""
    heard = measure_carrier(received(-80e3, 0.1, 1) + np.complex64(0.9), RATE_HZ)
    assert heard is not None
    assert heard.offset_hz == pytest.approx(-80e3, abs=5)
    assert SEARCH_FRACTION * RATE_HZ < 100e3


def test_the_tone_repeats_without_a_seam():
    period = carrier_tone()
    spectrum = np.abs(np.fft.fft(np.tile(period, 10)))
    assert np.sum(spectrum > 1e-3 * spectrum.max()) == 1
    assert period.size % 4 == 0
