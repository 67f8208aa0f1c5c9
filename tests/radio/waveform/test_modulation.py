"""Symbols to frames and back."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from radio.config import FrameConfig, RadioConfig
from radio.errors import SignalError
from radio.samples import check_frame
from radio.waveform.modulation import (
    matched_filter,
    max_symbol_amplitude,
    modulate,
    noise_power_of_guard,
    peak_amplitude,
    real_noise_variance,
    symbol_block,
)

LENGTHS = (1, 4, 8, 16, 32, 64, 100, 256, 1024)


@pytest.mark.parametrize("length", LENGTHS)
def test_the_block_has_unit_mean_power_and_a_modest_peak(length):
    assert np.mean(np.abs(symbol_block(length)) ** 2) == pytest.approx(1, rel=1e-12)
    assert peak_amplitude(length) <= 1.6  # 4 dB; 1.37 at the default length


@pytest.mark.parametrize("length", LENGTHS[1:])
def test_the_block_leaves_dc_and_the_band_edges_empty(length):
    spectrum = np.fft.fft(symbol_block(length)) / length
    edge = max(1, length // 32)
    occupied = np.zeros(length, dtype=bool)
    occupied[1 : edge + 1] = occupied[-edge:] = True
    assert np.abs(spectrum[~occupied]).max() < 1e-12
    assert np.allclose(np.abs(spectrum[occupied]), 1 / math.sqrt(2 * edge), rtol=1e-9)


def test_a_single_sample_block_is_one():
    assert symbol_block(1).tolist() == [1.0]


@given(
    parts=st.lists(st.tuples(st.floats(-0.3, 0.3), st.floats(-0.3, 0.3)), min_size=1, max_size=6),
    symbol_level=st.booleans(),
)
def test_the_matched_filter_returns_what_was_modulated(parts, symbol_level):
    frame = FrameConfig.symbol_level() if symbol_level else FrameConfig()
    symbols = np.array([complex(*part) for part in parts])
    samples = modulate(symbols, frame, max_amplitude=0.5)
    check_frame(samples)
    assert np.abs(matched_filter(samples, symbols.size, frame) - symbols).max() < 1e-7


def test_a_symbols_magnitude_is_the_root_of_its_mean_power():
    frame = FrameConfig()
    samples = modulate(np.array([0.3j]), frame, max_amplitude=0.5)
    begin = frame.first_symbol_samples + frame.cyclic_prefix_samples
    block = samples[begin : begin + frame.samples_per_symbol]
    assert np.mean(np.abs(block) ** 2) == pytest.approx(0.09, rel=1e-6)


def test_full_power_keeps_mean_power_and_peak_within_bounds():
    for max_power_dbfs in (-6.0, 0.0):
        tuning = RadioConfig(max_power_dbfs=max_power_dbfs)
        amplitude = max_symbol_amplitude(FrameConfig(), tuning)
        assert amplitude**2 <= tuning.max_power * (1 + 1e-12)
        check_frame(modulate(np.array([amplitude + 0j]), FrameConfig(), max_amplitude=amplitude))


@pytest.mark.parametrize("bad", [0.51, math.nan, math.inf])
def test_a_symbol_over_power_or_not_finite_is_refused(bad):
    with pytest.raises(SignalError, match="allowed"):
        modulate(np.array([0.1, bad], dtype=complex), FrameConfig(), max_amplitude=0.5)


def test_no_symbols_are_refused():
    with pytest.raises(SignalError, match="non-empty"):
        modulate(np.array([], dtype=complex), FrameConfig(), max_amplitude=0.5)


@pytest.mark.parametrize("frame", [FrameConfig(), FrameConfig(samples_per_symbol=64), FrameConfig.symbol_level()])
def test_noise_leaves_the_matched_filter_with_half_its_power_over_n_per_component(frame):
    num_symbols, noise_power = 4000, 0.01
    rng = np.random.default_rng(1)
    parts = rng.standard_normal((frame.num_samples(num_symbols), 2)) * math.sqrt(noise_power / 2)
    capture = (parts @ [1, 1j]).astype(np.complex64)
    symbols = matched_filter(capture, num_symbols, frame)
    expected = real_noise_variance(noise_power, frame)
    assert symbols.real.var() == pytest.approx(expected, rel=5 * math.sqrt(2 / num_symbols))
    assert symbols.imag.var() == pytest.approx(expected, rel=5 * math.sqrt(2 / num_symbols))
    assert noise_power_of_guard(capture, frame) == pytest.approx(noise_power, rel=5 / math.sqrt(48))


def test_a_capture_of_the_wrong_length_is_refused():
    with pytest.raises(SignalError, match="capture"):
        matched_filter(np.zeros(100, dtype=np.complex64), 1, FrameConfig())
