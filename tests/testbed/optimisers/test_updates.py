"""Shrinkage and the noise-aware step: what they do, and that a resumed run goes on as it was."""

import msgspec
import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from testbed.config.schema import Experiment, UpdateConfig
from testbed.optimisers.sgd import shrinkage
from testbed.optimisers.updates import Updater, coefficients_of
from testbed.results.records import RoundRecord

PLAIN = Experiment()
SHRUNK = msgspec.structs.replace(PLAIN, update=UpdateConfig(shrinkage=True))
AWARE = msgspec.structs.replace(PLAIN, update=UpdateConfig(noise_aware_step=True))


@given(value=st.floats(-100, 100), variance=st.floats(0, 100))
def test_shrinkage_never_turns_or_enlarges_an_estimate(value, variance):
    factor = float(shrinkage(np.array([value]), variance)[0])
    assert 0 <= factor <= 1
    if value**2 <= variance and variance > 0:
        assert factor == 0


def test_without_options_coefficients_are_the_plain_ones():
    plain = coefficients_of([2.0], PLAIN.learner.learning_rate)
    assert Updater(PLAIN).updates(0, 7, [2.0], np.array([1.0])) == ((7, plain),)


def test_shrinkage_reduces_the_error_of_noisy_estimates():
    generator = np.random.default_rng(1)
    signal, noise = generator.standard_normal(5000) * 0.5, generator.standard_normal(5000) * 2
    heard = signal + noise
    shrunk = heard * shrinkage(heard, 4.0)
    assert np.mean((shrunk - signal) ** 2) < 0.6 * np.mean((heard - signal) ** 2)


def test_noisier_rounds_step_less_far():
    quiet, loud = Updater(AWARE), Updater(AWARE)
    for updater in (quiet, loud):
        for _ in range(50):
            updater.updates(50, 7, [1.0], np.array([0.01]))
    assert (
        abs(loud.updates(50, 7, [1.0], np.array([100.0]))[0][1][0])
        < 0.1 * quiet.updates(50, 7, [1.0], np.array([0.01]))[0][1][0]
    )


def test_a_resumed_run_remembers_the_signal():
    generator = np.random.default_rng(2)
    live, past = Updater(AWARE), []
    for index, value in enumerate(generator.standard_normal(30)):
        live.updates(index, 7, [float(value)], np.array([0.25]))
        past.append(
            RoundRecord(
                round=index, seed=0, scheme="coherent", status="ok", attempt=1,
                estimate=(float(value),), predicted_error_std=0.5,
            )
        )  # fmt: skip
    again = Updater.after(AWARE, past)
    assert again.updates(50, 7, [1.0], np.array([1.0])) == live.updates(50, 7, [1.0], np.array([1.0]))


@given(st.lists(st.floats(-100, 100), min_size=1, max_size=8), st.floats(1e-7, 1e-2))
def test_coefficients_are_float32_values_of_the_mean_over_queries(estimate, learning_rate):
    coefficients = coefficients_of(estimate, learning_rate)
    for coefficient, value in zip(coefficients, estimate, strict=True):
        assert coefficient == float(np.float32(learning_rate * value / len(estimate)))
