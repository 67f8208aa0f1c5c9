"""Channel estimates: exact without noise, with the stated variances with noise."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from radio.link.meters import NoiseMeter
from radio.waveform.estimates import CfoTracker, combine_pilots, estimate_channel, measure_cfo
from radio.waveform.layouts import (
    equalise_slot,
    fill_slot,
    interpolate_channel,
    slot_layout,
    sounding_layout,
)

SPACING_S = 576e-6
SPACING_SAMPLES = 576
RATE_HZ = 1e6


def pilots_of(gain: complex, cfo_hz: float, noise: np.ndarray | float = 0.0) -> np.ndarray:
    turns = np.exp(2j * np.pi * cfo_hz * SPACING_S * np.array([-0.5, 0.5]))
    return gain * turns + noise


def estimate(pilots: np.ndarray, variance: float = 0.0, tracker: CfoTracker | None = None):
    return estimate_channel(
        pilots, amplitude=1.0, symbol_variance=variance, noise_power=variance, first_time_samples=1000,
        spacing_samples=SPACING_SAMPLES, sample_rate_hz=RATE_HZ, tracker=tracker,
    )  # fmt: skip


@given(phase=st.floats(-3.1, 3.1), cfo_hz=st.floats(-500, 500), magnitude=st.floats(1e-3, 10))
def test_noiseless_pilots_give_the_exact_channel_at_any_time(phase, cfo_hz, magnitude):
    gain = magnitude * np.exp(1j * phase)
    got = estimate(pilots_of(gain, cfo_hz))
    assert got.cfo_hz == pytest.approx(cfo_hz, abs=1e-9 / SPACING_S)
    assert abs(got.gain - gain) < 1e-9 * magnitude
    later = got.time_samples + 5000
    assert abs(got.at(later) - gain * np.exp(2j * np.pi * cfo_hz * 5e-3)) < 1e-6 * magnitude


def test_the_reference_time_is_halfway_between_the_pilots():
    assert estimate(pilots_of(1.0, 3.0)).time_samples == 1000 + SPACING_SAMPLES / 2


def test_gain_and_offset_errors_have_the_stated_variances():
    trials, variance, gain, cfo_hz = 4000, 1e-3, 0.6 - 0.3j, 12.0
    rng = np.random.default_rng(2)
    noise = (rng.standard_normal((trials, 2, 2)) @ [1, 1j]) * math.sqrt(variance / 2)
    estimates = [estimate(pilots_of(gain, cfo_hz, one), variance) for one in noise]
    offset_error = np.array([one.cfo_hz - cfo_hz for one in estimates])
    gain_error = np.array(
        [abs(combine_pilots(pilots_of(gain, cfo_hz, one), cfo_hz, SPACING_S) - gain) for one in noise]
    )
    tolerance = 5 * math.sqrt(2 / trials)
    assert np.mean(offset_error**2) == pytest.approx(np.mean([e.cfo_variance_hz2 for e in estimates]), rel=tolerance)
    assert np.mean(gain_error**2) == pytest.approx(estimates[0].gain_variance, rel=tolerance)


def test_the_extrapolated_phase_error_has_the_stated_variance():
    trials, variance, gain, cfo_hz = 4000, 1e-4, 0.5j, -7.0
    rng = np.random.default_rng(3)
    noise = (rng.standard_normal((trials, 2, 2)) @ [1, 1j]) * math.sqrt(variance / 2)
    estimates = [estimate(pilots_of(gain, cfo_hz, one), variance) for one in noise]
    later = estimates[0].time_samples + 3000
    truth = gain * np.exp(2j * np.pi * cfo_hz * 3e-3)
    errors = [np.angle(one.at(later) / truth) for one in estimates]
    stated = np.mean([one.phase_variance_rad2_at(later) for one in estimates])
    assert np.mean(np.square(errors)) == pytest.approx(stated, rel=5 * math.sqrt(2 / trials))


def test_silence_measures_nothing():
    assert measure_cfo(np.zeros(2, dtype=complex), SPACING_S, 0.0) == (0.0, math.inf)
    tracker = CfoTracker.within(20.0)
    silent = estimate(np.zeros(2, dtype=complex), tracker=tracker)
    assert silent.gain == 0
    assert tracker.cfo_hz == 0
    assert silent.phase_variance_rad2_at(0.0) == math.inf


def test_the_tracker_sharpens_with_every_round_and_says_so():
    trials, rounds, variance_hz2, bound_hz = 400, 40, 9.0, 20.0
    rng = np.random.default_rng(4)
    errors = []
    for _ in range(trials):
        cfo_hz, tracker = rng.uniform(-bound_hz, bound_hz), CfoTracker.within(bound_hz)
        tracker.drift_hz = 0.0
        for measured in cfo_hz + 3.0 * rng.standard_normal(rounds):
            tracker.update(measured, variance_hz2)
        errors.append(tracker.cfo_hz - cfo_hz)
    stated = 1 / (rounds / variance_hz2 + 3 / bound_hz**2)
    assert tracker.variance_hz2 == pytest.approx(stated, rel=1e-9)
    assert np.mean(np.square(errors)) == pytest.approx(stated, rel=5 * math.sqrt(2 / trials))


def test_a_rig_without_offset_never_believes_in_one():
    tracker = CfoTracker.within(0.0)
    tracker.update(123.0, 1.0)
    assert (tracker.cfo_hz, tracker.variance_hz2) == (0.0, 0.0)


def test_the_noise_meter_is_the_mean_of_what_it_heard():
    meter = NoiseMeter()
    for power in (1.0, 2.0, 6.0):
        meter.update(power)
    assert meter.power == pytest.approx(3.0)
    meter.update(math.nan)
    assert meter.power == pytest.approx(3.0)


@given(num_data=st.integers(1, 200))
def test_a_slot_keeps_every_datum_between_pilots_close_by(num_data):
    layout = slot_layout(num_data)
    assert layout.data.size == num_data
    assert layout.pilots[0] == 0
    assert layout.pilots[-1] == layout.num_symbols - 1
    assert np.diff(layout.pilots).max() <= 17
    assert sorted([*layout.pilots, *layout.data]) == list(range(layout.num_symbols))


@given(num_data=st.integers(1, 100), turn_rad=st.floats(-0.15, 0.15))
def test_a_turning_channel_is_interpolated_exactly(num_data, turn_rad):
    layout = slot_layout(num_data)
    channel = (0.3 + 0.1j) * np.exp(1j * turn_rad * np.arange(layout.num_symbols))
    data = np.exp(1j * np.arange(num_data))
    received = channel * fill_slot(data, layout, pilot_amplitude=0.5)
    assert np.allclose(interpolate_channel(received, layout, pilot_amplitude=0.5), channel[layout.data], rtol=1e-9)
    equalised, power = equalise_slot(received, layout, pilot_amplitude=0.5)
    assert np.allclose(equalised, data, rtol=1e-9)
    assert power == pytest.approx(0.1, rel=1e-9)


def test_a_silent_slot_is_not_a_number():
    layout = slot_layout(3)
    data, power = equalise_slot(np.zeros(layout.num_symbols, dtype=complex), layout, pilot_amplitude=0.5)
    assert np.isnan(data).all()
    assert power == 0


def test_a_sounding_is_two_pilots_and_silence():
    layout = sounding_layout(3)
    assert fill_slot(np.zeros(0, dtype=complex), layout, pilot_amplitude=0.5).tolist() == [0.5, 0, 0, 0.5]


def test_noise_alone_is_hardly_ever_taken_for_a_pilot():
    rng = np.random.default_rng(5)
    noise = (rng.standard_normal((5000, 2, 2)) @ [1, 1j]) * math.sqrt(0.5)
    heard = sum(estimate(one, 1.0, CfoTracker.within(20.0)).is_heard for one in noise)
    assert heard <= 3  # expected 5000·e^-10 = 0.23
    assert estimate(pilots_of(5.0, 3.0, noise[0]), 1.0).is_heard
