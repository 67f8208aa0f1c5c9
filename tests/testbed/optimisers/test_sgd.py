"""What each option does to a step, and that momentum over past directions is momentum."""

import math

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from learner.config import LearnerConfig
from testbed.config.schema import Experiment, RoundsConfig, UpdateConfig
from testbed.errors import ConfigError
from testbed.optimisers.sgd import learning_rate, num_remembered
from testbed.optimisers.updates import Updater
from testbed.results.records import RoundRecord

RATE = 0.5
NOISELESS = np.array([0.0])


def asked(*, num_queries=1, num_rounds=10, **update):
    return Experiment(
        learner=LearnerConfig(learning_rate=RATE, num_queries=num_queries),
        rounds=RoundsConfig(num=num_rounds),
        update=UpdateConfig(**update),
    )


def estimates(num_rounds, num_queries=1, seed=1):
    return np.random.default_rng(seed).standard_normal((num_rounds, num_queries))


def played(experiment, heard, *, seeds=None):
    updater = Updater(experiment)
    seeds = seeds or range(100, 100 + len(heard))
    return [updater.updates(t, seed, list(p), NOISELESS) for t, (seed, p) in enumerate(zip(seeds, heard, strict=True))]


def test_momentum_over_directions_is_momentum_over_gradients():
    beta, num_rounds, num_weights = 0.5, 12, 7
    heard = estimates(num_rounds, 2)
    directions = np.random.default_rng(2).choice([-1.0, 1.0], size=(num_rounds, 2, num_weights))
    weights = np.zeros(num_weights)
    for updates in played(asked(num_queries=2, momentum=beta), heard):
        for seed, coefficients in updates:
            weights -= np.array(coefficients) @ directions[seed - 100]
    expected, velocity = np.zeros(num_weights), np.zeros(num_weights)
    for p, z in zip(heard, directions, strict=True):
        velocity = beta * velocity + p @ z / 2
        expected -= RATE * velocity
    assert np.abs(expected).max() > 1
    left_out = RATE * beta ** (num_remembered(beta) + 1) / (1 - beta) * np.abs(heard).sum() / 2
    np.testing.assert_allclose(weights, expected, atol=left_out)
    plain = -RATE * np.einsum("tq,tqi->i", heard, directions) / 2
    assert np.abs(weights - plain).max() > 2 * left_out


def test_momentum_reaches_back_as_far_as_a_share_of_five_percent():
    updates = played(asked(momentum=0.5), estimates(9))
    assert [len(each) for each in updates] == [1, 2, 3, 4, 5, 5, 5, 5, 5]
    assert 0.5**4 >= 0.05 > 0.5**5
    assert [seed for seed, _ in updates[-1]] == [108, 107, 106, 105, 104]
    first = updates[4][-1][1][0]
    assert first == pytest.approx(RATE * 0.5**4 * estimates(9)[0, 0])


def test_a_resumed_run_has_the_same_momentum():
    experiment, heard = asked(momentum=0.9, normalise="rms", decay="cosine", warmup_rounds=2), estimates(10)
    whole = played(experiment, heard)
    past = [
        RoundRecord(
            round=t, seed=100 + t, scheme="ideal", status="ok", attempt=1, estimate=(p,), predicted_error_std=0.0
        )
        for t, p in enumerate(heard[:6, 0].tolist())
    ]
    resumed = Updater.after(experiment, past)
    assert [resumed.updates(t, 100 + t, list(heard[t]), NOISELESS) for t in range(6, 10)] == whole[6:]


def test_rates_rise_in_a_line_and_fall_as_asked():
    def rates(num_rounds=8, **update):
        return [learning_rate(asked(num_rounds=num_rounds, **update), t) / RATE for t in range(num_rounds)]

    assert rates() == [1] * 8
    assert rates(warmup_rounds=3) == pytest.approx([0.25, 0.5, 0.75, 1, 1, 1, 1, 1])
    assert rates(decay="linear", warmup_rounds=4) == pytest.approx([0.2, 0.4, 0.6, 0.8, 1, 0.75, 0.5, 0.25])
    assert rates(decay="cosine") == pytest.approx([(1 + math.cos(math.pi * t / 8)) / 2 for t in range(8)])
    assert min(rates(warmup_rounds=20, decay="linear")) > 0


@given(st.floats(1e-3, 1e3), st.sampled_from(["rms", "std"]))
def test_normalised_steps_do_not_depend_on_the_size_of_scalars(factor, normalise):
    experiment = asked(num_queries=4, normalise=normalise)
    heard = estimates(5, 4)
    one, other = (np.array([u[0][1] for u in played(experiment, h)]) for h in (heard, factor * heard))
    np.testing.assert_allclose(one, other, rtol=1e-5)


def test_the_step_over_the_standard_deviation_is_fzoo():
    losses, base, scale = np.array([1.3, 0.7, 1.1, 0.8]), 1.0, 1e-3
    (((_, coefficients),),) = played(asked(num_queries=4, normalise="std"), [(losses - base) / scale])
    np.testing.assert_allclose(coefficients, RATE * (losses - base) / (4 * losses.std(ddof=1)), rtol=1e-6)


def test_equal_estimates_have_no_deviation_and_no_step():
    assert played(asked(num_queries=3, normalise="std"), [[2.0, 2.0, 2.0]])[0][0][1] == (0.0, 0.0, 0.0)


def test_steps_are_clipped():
    coefficients = [updates[0][1][0] for updates in played(asked(max_step=0.7), [[9.0], [-3.0], [0.1]])]
    assert coefficients == [float(np.float32(RATE * v)) for v in (0.7, -0.7, 0.1)]


def test_a_deviation_of_one_query_is_refused():
    with pytest.raises(ConfigError, match=r"update\.normalise: got 'std' with learner\.num_queries = 1"):
        asked(normalise="std")
    with pytest.raises(ConfigError, match=r"update\.normalise"):
        msgspec.structs.replace(asked(num_queries=2, normalise="std"), learner=LearnerConfig())


def test_an_optimiser_that_reaches_behind_the_first_round_is_refused(monkeypatch):
    updater = Updater(asked())
    monkeypatch.setattr(updater._optimiser, "step", lambda *_: (np.ones((2, 1)), None))
    with pytest.raises(ConfigError, match="got 2 rows of 'sgd' in round 1; allowed: up to 1"):
        updater.updates(0, 1, [1.0], NOISELESS)


def test_second_moments_of_signs_and_one_query_are_the_same_everywhere():
    """(p z)² = p²: whatever a step is divided by, it is one number. With Q queries the spread is chance, but for what
    cross terms leave: Adam's denominators cannot tell weights apart (docs/method.md §1.4)."""
    generator = np.random.default_rng(3)
    gradient = np.concatenate([np.ones(20), 0.05 * generator.standard_normal(1980)])

    def second_moment(num_queries, num_rounds=400):
        moment = np.zeros(len(gradient))
        for _ in range(num_rounds):
            z = generator.choice([-1.0, 1.0], size=(num_queries, len(gradient)))
            moment += ((z @ gradient) @ z / num_queries) ** 2
        return moment / num_rounds

    one = second_moment(1)
    assert np.ptp(one) <= 1e-9 * one[0]
    eight = second_moment(8)
    true_ratio = np.mean(gradient[:20] ** 2) / np.mean(gradient[20:] ** 2)
    assert true_ratio > 300
    assert eight[:20].mean() / eight[20:].mean() < 1.5
