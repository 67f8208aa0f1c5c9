"""How far one client, one example or one vote can move the sum."""

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from testbed.privacy.neighbours import Neighbours

SOME = Neighbours(level="client", adjacency="replace", clip=100.0, example_clip=200.0, batch_size=64)


@pytest.mark.parametrize(
    ("level", "adjacency", "expected"),
    [
        ("client", "replace", 200.0),
        ("client", "remove", 100.0),
        ("example", "replace", 2 * 200 / 64),
        ("example", "remove", 200 / 64),
    ],
)
def test_sensitivities_are_those_of_the_table(level, adjacency, expected):
    assert replace(SOME, level=level, adjacency=adjacency).sensitivity() == expected


def test_a_vote_turns_by_two_at_every_level():
    for level in ("client", "example"):
        assert replace(SOME, level=level).sensitivity(sent_bound=1.0) == 2


def test_queries_add_up_as_a_vector():
    assert SOME.sensitivity(num_queries=9) == 3 * SOME.sensitivity()


@given(st.data())
def test_no_example_moves_the_clipped_sum_further_than_the_sensitivity(data):
    num = data.draw(st.integers(1, 8))
    values = st.floats(-1e3, 1e3)
    projections = np.array(data.draw(st.lists(values, min_size=num, max_size=num)))
    other = data.draw(values)
    some = Neighbours(
        level="example",
        adjacency="replace",
        clip=data.draw(st.floats(0.1, 50)),
        example_clip=data.draw(st.floats(0.1, 500)),
        batch_size=data.draw(st.integers(1, 16)),
    )

    def scalar(examples):
        total = np.clip(examples, -some.example_clip, some.example_clip).sum() / some.batch_size
        return np.clip(total, -some.clip, some.clip)

    changed = projections.copy()
    changed[0] = other
    slack = 1e-9 * some.sensitivity()
    assert abs(scalar(projections) - scalar(changed)) <= some.sensitivity() + slack
    assert abs(scalar(projections) - scalar(projections[1:])) <= replace(some, adjacency="remove").sensitivity() + slack


def test_the_words_name_level_and_neighbours():
    assert "client level" in SOME.words
    assert "replaced" in SOME.words
    assert "example level" in replace(SOME, level="example").words
    assert "one device's own data added or left out" in replace(SOME, level="example", adjacency="remove").words
    assert "whose scalar is 0 instead; the number of clients is public" in replace(SOME, adjacency="remove").words
    assert math.isfinite(SOME.sensitivity())
