import numpy as np
import pytest

from testbed.comparison.pictures import band
from testbed.comparison.statistics import LEVEL, interval, paired_difference, words_of


def test_a_students_interval_covers_the_true_mean_as_often_as_it_says():
    rng = np.random.default_rng(1)
    num = 4000
    covered = 0
    for _ in range(num):
        found = interval(rng.normal(2.0, 3.0, size=4).tolist())
        covered += found.low <= 2.0 <= found.high
    assert covered / num == pytest.approx(LEVEL, abs=4 * (LEVEL * (1 - LEVEL) / num) ** 0.5)


def test_an_interval_of_two_values_is_that_of_the_cauchy_law():
    found = interval([0.0, 2.0])
    assert (found.mean, found.high) == pytest.approx((1.0, 1.0 + 12.7062))


def test_a_single_value_has_no_interval_and_none_no_mean():
    assert interval([3.0]).low is None
    assert interval([]) is None
    assert words_of(interval([3.0]), digits=2) == "3.00, n = 1"


def test_an_interval_ends_where_values_do():
    found = interval([0.9, 1.0], within=(0.0, 1.0))
    assert (found.high, found.low >= 0.0) == (1.0, True)


def test_pairing_takes_what_a_seed_does_to_both_out_of_the_difference():
    rng = np.random.default_rng(2)
    common = rng.normal(0.0, 100.0, size=8)
    one = {seed: float(common[seed]) + 1.0 for seed in range(8)}
    other = {seed: float(common[seed]) + 0.01 * rng.normal() for seed in range(1, 9 - 1)}
    found = paired_difference(one, other)
    assert found.num == 7
    assert 0.95 < found.low < 1.0 < found.high < 1.05
    assert paired_difference(one, {99: 0.0}) is None


def test_a_band_covers_only_the_rounds_that_every_run_reached():
    rounds, means, lows, highs = band([{0: 1.0, 10: 2.0, 20: 3.0}, {0: 1.0, 10: 4.0}])
    assert (rounds, means) == ([0, 10], [1.0, 3.0])
    assert lows[0] == highs[0] == 1.0
    assert lows[1] < 2.0 < 4.0 < highs[1]
    assert band([{0: 1.0}])[2] is None
