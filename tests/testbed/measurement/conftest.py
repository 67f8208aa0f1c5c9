"""One campaign that several files look at."""

import pytest

from testbed.config.files import load
from testbed.measurement.measure import measure
from tests.testbed.measurement.campaigns import ASKED, SETTINGS


@pytest.fixture(scope="module")
def measured(tmp_path_factory):
    config = load("awgn", None, SETTINGS)
    directory, found = measure(config, ASKED, out=tmp_path_factory.mktemp("campaign") / "m")
    return config, directory, found
