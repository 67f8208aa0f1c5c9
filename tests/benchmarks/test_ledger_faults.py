"""The ledger under damage, crashes and double starts: the benchmark of it, small and whole."""

import pytest

from benchmarks import ledger_faults


def test_no_charge_is_forgotten_in_some_hundred_faults_and_a_kill():
    found = ledger_faults.run(450, 1, seed=7)
    assert found["ledger_refunds_in_corruptions"] == 0
    assert found["num_refused"] > 100


@pytest.mark.long
def test_no_charge_is_forgotten_in_ten_thousand_faults_and_forty_kills():
    assert ledger_faults.run(10_800, 40, seed=2)["ledger_refunds_in_corruptions"] == 0
