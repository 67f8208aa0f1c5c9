"""One run with figures of every kind, and MLflow without its telemetry."""

import pytest

import testbed
from tests.testbed.results.conftest import TINY


@pytest.fixture(scope="session")
def finished(tmp_path_factory):
    """A run that ended well."""
    return testbed.run(overrides=TINY, out=tmp_path_factory.mktemp("runs") / "finished")


@pytest.fixture(scope="session")
def private(tmp_path_factory):
    """One whose claim is void, as it is simulated."""
    asked = {"schedule.name": "online", "ground_truth": False, "privacy.dp_epsilon": 8.0}
    return testbed.run(overrides={**TINY, **asked}, out=tmp_path_factory.mktemp("runs") / "private")


@pytest.fixture(autouse=True)
def no_telemetry(monkeypatch):
    monkeypatch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
