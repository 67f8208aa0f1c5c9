"""Faults that are planted in the real code are found, and the sound code is not accused."""

import logging

import pytest

from benchmarks import privacy_mutants as p

QUICK = ("noise off", "retries not charged", "half of what is radiated counted", "examples not clipped")


@pytest.fixture(autouse=True)
def quiet():
    logging.disable(logging.WARNING)
    yield
    logging.disable(logging.NOTSET)


@pytest.mark.parametrize(
    "mutant",
    [pytest.param(m, id=m.name, marks=[] if m.name in QUICK else [pytest.mark.long]) for m in p.faults()],
)
def test_a_planted_fault_is_found(mutant):
    assert p.caught(mutant), mutant.name


@pytest.mark.parametrize("kind", [0, 1, 7])
def test_sound_code_is_not_accused(kind):
    assert p.accused(1, first_seed=kind + 10) == []


@pytest.mark.long
def test_sound_code_is_not_accused_over_40_seeds():
    assert p.accused() == []


def test_there_is_a_fault_for_each_seam_and_none_is_named_twice():
    names = [mutant.name for mutant in p.faults()]
    assert len(set(names)) == len(names) >= 12
