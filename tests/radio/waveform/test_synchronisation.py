"""Detection, timing and carrier offset from the synchronisation part, with the variances they state."""

import math

import numpy as np
import pytest

from radio.waveform.synchronisation import detection_threshold, measure_sync_cfo, sync_sequence, synchronise

LENGTH, RATE_HZ = 256, 1e6


def noise(num_samples: int, power: float, rng: np.random.Generator) -> np.ndarray:
    return (rng.normal(size=(num_samples, 2)) @ [1, 1j]) * math.sqrt(power / 2)


def find(capture: np.ndarray, noise_power: float, latest: int = 2000):
    return synchronise(
        capture.astype(np.complex64), sync_samples=LENGTH, earliest=0, latest=latest,
        amplitude=1.0, noise_power=noise_power, sample_rate_hz=RATE_HZ,
    )  # fmt: skip


@pytest.mark.parametrize("length", [8, 64, 256, 1024])
def test_the_sequence_has_unit_power_two_equal_halves_and_no_dc(length):
    sequence = sync_sequence(length)
    assert np.mean(np.abs(sequence) ** 2) == pytest.approx(1)
    assert np.allclose(sequence[: length // 2], sequence[length // 2 :])
    assert abs(sequence.sum()) < 1e-9


def test_a_frame_is_found_where_it_starts_with_its_gain_and_offset():
    rng = np.random.default_rng(1)
    for start in (0, 1, 777, 2000):
        capture = noise(2000 + LENGTH, 1e-4, rng)
        turn = np.exp(2j * np.pi * 500 * np.arange(LENGTH) / RATE_HZ)
        capture[start : start + LENGTH] += 0.3j * sync_sequence(LENGTH) * turn
        found = find(capture, 1e-4)
        assert found is not None
        assert found.start_samples == start
        assert found.gain_power == pytest.approx(0.09, rel=0.1)
        assert found.cfo_hz == pytest.approx(500, abs=5 * math.sqrt(found.cfo_variance_hz2))


def test_noise_alone_is_no_frame():
    rng = np.random.default_rng(2)
    peaks = []
    sequence = sync_sequence(LENGTH)
    for _ in range(200):
        capture = noise(2000 + LENGTH, 1.0, rng)
        assert find(capture, 1.0) is None
        peaks.append(np.abs(np.correlate(capture, sequence, mode="valid")).max() ** 2 / LENGTH)
    # 2001 exponentials: the mean of their maximum is ln 2001 + 0.577, the threshold is ln(2001·10⁶)
    assert np.mean(peaks) < math.log(2001) + 1.0 < detection_threshold(2001)


def test_silence_is_no_frame_and_a_noiseless_one_is():
    assert find(np.zeros(2000 + LENGTH), 0.0) is None
    capture = np.zeros(2000 + LENGTH, dtype=complex)
    capture[50 : 50 + LENGTH] = sync_sequence(LENGTH)
    found = find(capture, 0.0)
    assert found is not None
    assert found.start_samples == 50


@pytest.mark.parametrize("snr_db", [0.0, 10.0, 20.0])
def test_the_offsets_error_has_the_stated_variance(snr_db):
    rng, snr, trials = np.random.default_rng(3), 10 ** (snr_db / 10), 4000
    errors, stated = [], []
    for _ in range(trials):
        part = sync_sequence(LENGTH) + noise(LENGTH, 1 / snr, rng)
        cfo_hz, variance = measure_sync_cfo(part, RATE_HZ, snr)
        errors.append(cfo_hz)
        stated.append(variance)
    assert np.mean(np.square(errors)) == pytest.approx(np.mean(stated), rel=5 * math.sqrt(2 / trials))


def test_the_start_is_as_sure_as_the_cramer_rao_bound_says_when_noise_is_strong():
    rng, trials, snr = np.random.default_rng(4), 400, 0.2
    errors = []
    for _ in range(trials):
        capture = noise(400 + LENGTH, 1 / snr, rng)
        capture[200 : 200 + LENGTH] += sync_sequence(LENGTH)
        found = find(capture, 1 / snr, latest=400)
        if found is not None:
            errors.append(found.start_samples - 200)
    assert len(errors) > 0.9 * trials
    assert np.mean(np.square(errors)) <= found.start_variance * 1.5 + 1 / 12 * 1.5
