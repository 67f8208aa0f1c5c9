"""Runs the real command line: in real processes, on loopback only, or in this one, where processes are no subject."""

import os
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from testbed.commands.cli import main
from tests.dispositions import as_from_a_terminal
from tests.system.nursery import ROOT, Child, Nursery

GIVE_UP_S = 400.0
"""Of waiting for what will never come: far longer than anything takes on a busy machine."""

Command = Callable[..., tuple[int, str, str]]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass
class Bench:
    """Starts `testbed` commands in a directory of its own, and ends only what it started."""

    directory: Path
    nursery: Nursery
    processes: list[Child | subprocess.Popen[str]] = field(default_factory=list)

    def start(self, *arguments: str) -> Child:
        """In a process of its own, forked from one that has imported everything."""
        child = self.nursery.start(arguments, directory=self.directory, environment=self._environment)
        self.processes.append(child)
        return child

    def start_fresh(self, *arguments: str) -> subprocess.Popen[str]:
        """In a new interpreter, as a shell starts it: some seconds later."""
        with as_from_a_terminal():
            process = subprocess.Popen(
                [sys.executable, "-m", "testbed", *arguments],
                cwd=self.directory, env=self._environment, text=True,
                stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            )  # fmt: skip
        self.processes.append(process)
        return process

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return self._finish(self.start(*arguments))

    def run_fresh(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return self._finish(self.start_fresh(*arguments))

    def close(self) -> None:
        for process in self.processes:
            process.kill()
            if isinstance(process, Child):
                process.close()
            else:
                process.communicate()

    def _finish(self, process: Child | subprocess.Popen[str]) -> subprocess.CompletedProcess[str]:
        stdout, stderr = process.communicate(timeout=GIVE_UP_S)
        assert process.returncode is not None
        return subprocess.CompletedProcess(process.args, process.returncode, stdout, stderr)

    @property
    def _environment(self) -> dict[str, str]:
        return {**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": "120"}


@pytest.fixture(scope="session")
def nursery() -> Iterator[Nursery]:
    made = Nursery()
    yield made
    made.close()


@pytest.fixture
def bench(tmp_path: Path, nursery: Nursery) -> Iterator[Bench]:
    made = Bench(tmp_path, nursery)
    yield made
    made.close()


@pytest.fixture
def command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    """The command line in this process, in the bench's directory: exit code, stdout, stderr."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "120")

    def call(*arguments: str) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as ended:
            main(list(arguments))
        captured = capsys.readouterr()
        return int(ended.value.code or 0), captured.out, captured.err

    return call
