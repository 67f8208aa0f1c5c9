"""The noncoherent waveform: disjoint tones, any cyclic offset, unbiased powers, peaks below full scale."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from radio.errors import SignalError
from radio.samples import check_frame
from radio.waveform.tones import (
    CREST,
    draw_period,
    max_tone_power,
    measure_noise,
    measure_powers,
    period_of,
    resource_energies,
    sounding_tones,
    tone_layout,
    transform,
)


@given(num_queries=st.integers(1, 12), num_samples=st.sampled_from([1000, 2000, 5000]), num_pilots=st.integers(0, 21))
@settings(deadline=None)
def test_no_harmonic_carries_two_things_and_dc_carries_none(num_queries, num_samples, num_pilots):
    layout = tone_layout(num_samples, num_queries, num_pilots)
    used = np.concatenate([layout.resources.reshape(-1), layout.pilots.reshape(-1), layout.quiet])
    assert np.unique(used).size == used.size
    assert 0 not in used
    mirrored = (-layout.resources) % num_samples
    for query in range(num_queries):
        for resource in (0, 1):
            assert set(mirrored[query, resource]) == set(layout.resources[query, resource])


@given(offset=st.integers(0, 4999), seed=st.integers(0, 99))
@settings(max_examples=30, deadline=None)
def test_a_cyclic_offset_changes_no_energy(offset, seed):
    layout = tone_layout(5000, 2, 6)
    powers = np.array([[0.01, 0.0], [0.005, 0.02]])
    period = draw_period(powers, 0.001, 3, layout, 5000, np.random.default_rng(seed))
    check_frame(period)
    energies, _ = resource_energies(transform(np.roll(period, offset)), layout)
    assert np.allclose(energies, powers, atol=1e-9)


def test_a_devices_phases_are_its_secret_and_differ_from_draw_to_draw():
    layout, secret = tone_layout(5000, 1, 0), np.random.default_rng(1)
    powers = np.array([[0.01, 0.0]])
    first, second = (transform(draw_period(powers, 0, 0, layout, 5000, secret)) for _ in range(2))
    likeness = abs(np.vdot(first, second)) / np.vdot(first, first).real
    assert likeness < 5 / math.sqrt(layout.tones_per_resource)


def test_peaks_that_would_wrap_are_refused():
    layout = tone_layout(1000, 1, 0)
    with pytest.raises(SignalError, match="lower max_power_dbfs"):
        draw_period(np.array([[0.9, 0.0]]), 0.0, 0, layout, 1000, np.random.default_rng(1))
    assert max_tone_power(0.25) == pytest.approx(1 / CREST**2)
    assert max_tone_power(0.01) == 0.01


def test_too_many_queries_for_a_period_are_refused():
    with pytest.raises(SignalError, match="tone_period_samples"):
        tone_layout(200, 20, 0)


def test_soundings_have_a_low_peak_and_measure_both_powers_with_the_stated_variance():
    power, noise_power, num_samples, trials = 0.06, 1e-3, 1000, 2000
    layout, rng = tone_layout(num_samples, 1, 0), np.random.default_rng(3)
    period = period_of(sounding_tones(power, num_samples))
    assert np.abs(period).max() <= 2 * math.sqrt(power)
    assert np.mean(np.abs(period) ** 2) == pytest.approx(power, rel=1e-5)
    gains, variances = [], []
    for _ in range(trials):
        heard = 0.1 * period + (rng.normal(size=(num_samples, 2)) @ [1, 1j]) * math.sqrt(noise_power / 2)
        got = measure_powers(transform(heard), layout, power=power, noise_power=noise_power)
        gains.append(got[0])
        variances.append(got[1])
    assert np.mean(gains) == pytest.approx(0.01, abs=5 * np.std(gains) / math.sqrt(2 * trials))
    assert np.var(gains) == pytest.approx(np.mean(variances), rel=5 * math.sqrt(1 / trials))


def test_energies_of_superposed_secrets_err_by_the_stated_variance():
    num_samples, trials, noise_power = 2000, 1000, 2e-3
    layout, rng = tone_layout(num_samples, 1, 0), np.random.default_rng(5)
    values = np.array([0.03, 0.02, 0.05, 0.01])
    sums, stated, floors = [], [], []
    for _ in range(trials):
        heard = (rng.normal(size=(num_samples, 2)) @ [1, 1j]) * math.sqrt(noise_power / 2)
        for value in values:
            heard = heard + period_of_power(value, layout, num_samples, rng)
        energies, variances = resource_energies(transform(heard), layout)
        sums.append(energies[0, 0] - energies[0, 1])
        stated.append(variances.sum())
        floors.append(measure_noise(transform(heard), layout))
    assert np.mean(sums) == pytest.approx(values.sum(), abs=5 * np.std(sums) / math.sqrt(trials))
    assert np.var(sums) == pytest.approx(np.mean(stated), rel=5 * math.sqrt(2 / trials))
    assert np.mean(floors) == pytest.approx(noise_power, rel=5 / math.sqrt(trials * layout.quiet.size))


def period_of_power(value: float, layout, num_samples: int, rng: np.random.Generator) -> np.ndarray:
    return draw_period(np.array([[value, 0.0]]), 0.0, 0, layout, num_samples, rng)
