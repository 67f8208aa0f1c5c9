"""The live page in a process of its own beside a run, which ends with it."""

from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path
from types import TracebackType
from typing import Self

import typer

_EXIT_TIMEOUT_S = 5.0


class Dashboard:
    """Starts `testbed dashboard` once the run directory is there; whatever becomes of it, the run goes on."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[str] | None = None

    def show(self, directory: Path) -> None:
        """Start it; its address is printed when it has one."""
        command = [sys.executable, "-m", "testbed", "dashboard", "--until-closed", "--", str(directory)]
        try:
            self._process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                start_new_session=True,
            )  # fmt: skip
        except OSError as err:
            typer.echo(f"warning: no dashboard: {err.strerror or err}; the run goes on", err=True)
            return
        threading.Thread(target=self._pass_on, args=(self._process,), name="dashboard", daemon=True).start()

    @staticmethod
    def _pass_on(process: subprocess.Popen[str]) -> None:
        """What it says, line by line."""
        assert process.stdout is not None
        for line in process.stdout:
            typer.echo(line.rstrip("\n"), err=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, err: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Its input ends, and so does it; if this process is killed, the system closes that input all the same."""
        if self._process is None:
            return
        assert self._process.stdin is not None
        self._process.stdin.close()
        try:
            self._process.wait(_EXIT_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
