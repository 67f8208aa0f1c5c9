"""A whole rig in one process."""

from collections.abc import Callable

import pytest

from radio.link.simulated_rig import SimulatedRig


@pytest.fixture(scope="session")
def bench() -> Callable[..., SimulatedRig]:
    return SimulatedRig
