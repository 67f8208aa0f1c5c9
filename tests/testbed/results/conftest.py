"""Runs to look at: a short one of this version, and those that airzero-testbed 0.1.0 left."""

import errno
import os
import shutil
from pathlib import Path

import pytest

import testbed
from learner.config import ModelConfig
from learner.zo.replica import Replica
from testbed.results import files

DATA = Path(__file__).parents[2] / "data"
TINY = {
    "num_devices": 2,
    "rounds": {"num": 3, "eval_every": 2},
    "task.num_test": 8,
    "learner.batch_size": 2,
}


@pytest.fixture(scope="session")
def finished(tmp_path_factory):
    """A run that ended well; copy it before changing it."""
    return testbed.run(overrides=TINY, out=tmp_path_factory.mktemp("runs") / "finished")


@pytest.fixture(scope="session")
def initial_weights(tmp_path_factory):
    """The embedded model's, with which the fixtures' runs began."""
    path = tmp_path_factory.mktemp("weights") / "initial.safetensors"
    Replica.load(ModelConfig()).save_weights(path)
    return path


@pytest.fixture
def older(tmp_path, initial_weights):
    """A copy of a run of an older version, whole with its initial weights."""

    def copy(name):
        path = tmp_path / name
        shutil.copytree(DATA / name, path)
        (path / "checkpoints").mkdir()
        shutil.copy(initial_weights, path / "checkpoints" / "initial.safetensors")
        return path

    return copy


class Failing(files.System):
    """Fails the n-th call, counted from 0; a failing write has written half of what it was asked.

    Waits for no disk, which would be slow.
    """

    def __init__(self, fail_at=None):
        self.fail_at = fail_at
        self.num_calls = 0

    def _count(self):
        self.num_calls += 1
        if self.num_calls - 1 == self.fail_at:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def open(self, path, flags):
        self._count()
        return super().open(path, flags)

    def write(self, descriptor, data):
        try:
            self._count()
        except OSError:
            super().write(descriptor, data[: len(data) // 2])
            raise
        return super().write(descriptor, data)

    def sync(self, descriptor):
        self._count()

    def sync_folder(self, folder):
        pass

    def replace(self, partial, path):
        self._count()
        super().replace(partial, path)

    def make_folder(self, path):
        self._count()
        super().make_folder(path)

    def make_with(self, path, writer):
        self._count()
        super().make_with(path, writer)


@pytest.fixture
def fail_at(monkeypatch):
    """Let the n-th call of the writers fail from now on, None for none; gives the system, which counts them."""

    def use(n):
        system = Failing(n)
        monkeypatch.setattr(files, "system", system)
        return system

    return use
