"""What every optimiser must do: coefficients for every direction, from what is written down of a run alone."""

from __future__ import annotations

from collections.abc import Iterator
from copy import deepcopy
from typing import Any

import numpy as np
import pytest

from testbed.config.schema import Experiment
from testbed.optimisers.base import Floats, Heard, Optimiser

EXPERIMENT = Experiment()


class OptimiserContract:
    """Derive a class from this one and give it a fixture `optimiser`, the optimiser under test.

    Where its settings matter, a fixture `experiment` too.
    """

    @pytest.fixture
    def experiment(self) -> Experiment:
        """What is asked of the optimiser; that of all defaults."""
        return EXPERIMENT

    @pytest.mark.parametrize("num_queries", [1, 5])
    def test_every_direction_has_a_finite_coefficient(
        self, optimiser: Optimiser[Any], experiment: Experiment, num_queries: int
    ) -> None:
        """Also of estimates that are huge, tiny or nothing."""
        state = optimiser.initial(experiment)
        for num_used, heard in enumerate(rounds(num_queries), start=1):
            found, state = optimiser.step(experiment, state, heard)
            assert np.atleast_2d(found).shape[1:] == (num_queries,)
            assert len(np.atleast_2d(found)) <= num_used
            assert np.isfinite(np.asarray(found, dtype=np.float32)).all()

    def test_what_is_remembered_is_returned_and_nothing_else_changes(
        self, optimiser: Optimiser[Any], experiment: Experiment
    ) -> None:
        """A run that goes on after a crash plays its rounds again, and must come to the same weights."""
        state, kept = optimiser.initial(experiment), vars(optimiser).copy()
        for heard in rounds(3):
            before, told = deepcopy(state), heard.estimates.copy()
            first, following = optimiser.step(experiment, state, heard)
            again, _ = optimiser.step(experiment, before, heard)
            assert np.array_equal(first, again)
            assert np.array_equal(heard.estimates, told)
            state = following
        assert vars(optimiser) == kept

    def test_two_objects_agree(self, optimiser: Optimiser[Any], experiment: Experiment) -> None:
        """Whoever replays a run makes a new one."""
        assert played(optimiser, experiment) == played(type(optimiser)(), experiment)


def played(optimiser: Optimiser[Any], experiment: Experiment) -> list[list[float]]:
    """The coefficients of a whole run."""
    state, made = optimiser.initial(experiment), []
    for heard in rounds(2):
        found, state = optimiser.step(experiment, state, heard)
        made.append(np.asarray(found).tolist())
    return made


def rounds(num_queries: int) -> Iterator[Heard]:
    """Rounds of a run, of which some were not used."""
    generator = np.random.default_rng(num_queries)
    estimates: list[Floats] = [generator.standard_normal(num_queries) * 10.0**power for power in (0, 1, 2, -9, 6)]
    for round_index, estimate in zip((0, 1, 4, 5, 9, 10), [*estimates, np.zeros(num_queries)], strict=True):
        yield Heard(round_index=round_index, estimates=estimate, error_variance=float(generator.exponential()))
