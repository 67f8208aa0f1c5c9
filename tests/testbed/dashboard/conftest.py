"""A finished run, and directories that a test writes line by line."""

import shutil
from pathlib import Path

import msgspec
import pytest

import testbed
from testbed.results.records import RoundRecord

SHORT = {"rounds.num": 12, "rounds.eval_every": 5, "task.num_test": 32}


@pytest.fixture(scope="session")
def finished(tmp_path_factory) -> Path:
    """A run whose devices reveal their scalars."""
    return testbed.run("quickstart", overrides=SHORT, out=tmp_path_factory.mktemp("runs") / "open").path


@pytest.fixture(scope="session")
def private(tmp_path_factory) -> Path:
    """One that claims privacy."""
    asked = {**SHORT, "ground_truth": False, "schedule.name": "static", "privacy.dp_epsilon": 8.0}
    return testbed.run("quickstart", overrides=asked, out=tmp_path_factory.mktemp("runs") / "private").path


def round_of(index: int, **fields: object) -> RoundRecord:
    known = {"seed": 0, "scheme": "coherent", "status": "ok", "attempt": 1, "loss": 1 / (index + 1), "gain": 0.01}
    return RoundRecord(round=index, **{**known, **fields})


def line(record: RoundRecord) -> bytes:
    return msgspec.json.encode(record) + b"\n"


@pytest.fixture
def growing(finished, tmp_path) -> Path:
    """A run that has just begun."""
    path = tmp_path / "growing"
    shutil.copytree(finished, path)
    (path / "rounds.jsonl").write_bytes(b"")
    (path / "summary.json").unlink()
    return path
