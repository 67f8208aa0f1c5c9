"""Runs and a measurement whose recordings are looked at again, and numbers that should not be in them."""

import shutil

import pytest
from hypothesis import strategies as st

import testbed
from testbed.config.files import load
from testbed.measurement.campaign import Asked
from testbed.measurement.measure import measure

TINY = {
    "num_devices": 3,
    "rounds": {"num": 3, "eval_every": 1},
    "task.num_test": 4,
    "learner.batch_size": 1,
    "learner.num_queries": 2,
    "ground_truth": True,
}
NUMBERS = st.sampled_from([0, -1, 1, 2, 5e-324, 1e-300, 1e150, 1e308, -1e308, 2**62, None, True, "x"]) | st.floats(
    allow_nan=False, allow_infinity=False
)


@pytest.fixture(scope="session")
def coherent(tmp_path_factory):
    return testbed.run(overrides=TINY, out=tmp_path_factory.mktemp("runs") / "coherent").path


@pytest.fixture(scope="session")
def energy(tmp_path_factory):
    path = tmp_path_factory.mktemp("runs") / "energy"
    return testbed.run(overrides={**TINY, "scheme.name": "energy"}, out=path).path


@pytest.fixture(scope="session")
def measured(tmp_path_factory):
    """One capture of each link, so that measurement.json speaks of that alone; two of three devices are heard."""
    settings = ["num_devices=3", "air.path_loss_db=22", "air.cfo_max_hz=15"]
    asked = Asked(num_captures=1, capture_s=0.008, directions=("uplink", "downlink"))
    path = tmp_path_factory.mktemp("campaign") / "m"
    measure(load("awgn", None, settings), asked, out=path)
    return path


@pytest.fixture
def copied(tmp_path):
    def copy(path):
        shutil.copytree(path, tmp_path / "copy")
        return tmp_path / "copy"

    return copy
