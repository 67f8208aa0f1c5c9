"""The arithmetic that the access point announces."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from testbed.optimisers.updates import coefficients_of
from testbed.results.records import RoundRecord
from testbed.results.statistics import median, nmse_db, pooled_nmse_db
from testbed.rounds.round import round_seed


@given(st.lists(st.floats(-100, 100), min_size=1, max_size=8), st.floats(1e-7, 1e-2))
def test_coefficients_are_float32_values_of_the_mean_over_queries(estimate, learning_rate):
    coefficients = coefficients_of(estimate, learning_rate)
    for coefficient, value in zip(coefficients, estimate, strict=True):
        assert coefficient == float(np.float32(learning_rate * value / len(estimate)))


def test_round_seeds_differ_between_rounds_and_runs_and_never_change():
    seeds = {round_seed(run, t) for run in range(20) for t in range(50)}
    assert len(seeds) == 1000
    assert all(0 <= seed < 2**63 for seed in seeds)
    assert round_seed(1, 0) == 5644168378446136435


def record(estimate, truth):
    return RoundRecord(round=0, seed=0, scheme="coherent", status="ok", attempt=1, estimate=estimate, true_mean=truth)


def test_nmse_is_error_power_over_signal_power():
    assert abs(nmse_db([1.1], [1.0]) + 20) < 1e-9
    assert nmse_db([1.0], [1.0]) is None
    assert nmse_db([1.0], [0.0]) is None
    records = [record((1.1,), (1.0,)), record((10.0,), (10.0,)), record(None, None)]
    assert abs(pooled_nmse_db(records) - 10 * np.log10(0.01 / 101)) < 1e-9


def test_the_median_is_of_what_is_known():
    assert median([None, 3.0, 1.0, 2.0]) == 2.0
    assert median([None]) is None
