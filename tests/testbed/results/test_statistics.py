"""Figures over rounds."""

import numpy as np

from testbed.results.records import RoundRecord
from testbed.results.statistics import median, nmse_db, pooled_nmse_db


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
