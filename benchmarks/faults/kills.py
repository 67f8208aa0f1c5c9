"""Real processes: one that resumes what this one has open, and runs that are killed with SIGKILL and go on."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import time
from collections.abc import Iterator
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Self

import numpy as np

from benchmarks.faults.disk import restore
from benchmarks.faults.histories import History, Player
from benchmarks.faults.judge import ROUNDING, Verdict, judged
from testbed.errors import JournalError
from testbed.failures import EXPECTED
from testbed.results import journal as j
from testbed.results.directory import RunDirectory
from testbed.rounds.resume import resume

COMMAND = (
    "--set", "schedule.name=static", "--set", "ground_truth=false", "--set", "air.level=symbol",
    "--set", "num_devices=2", "--set", "task.num_test=8", "--set", "rounds.eval_every=1000",
    "--set", "learner.batch_size=2",
)  # fmt: skip
KILLS_PER_RUN = 8
ROUNDS_PER_KILL = 12
GIVE_UP_S = 300.0


class Elsewhere:
    """Processes that are forked from one that has imported everything, so that each starts at once."""

    def __init__(self) -> None:
        self._context = multiprocessing.get_context("forkserver")
        self._context.set_forkserver_preload(["testbed.commands.cli", "testbed.rounds.processes", __name__])
        self._ours, self._theirs = self._context.Pipe()
        self._resumer: Any = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._resumer is not None:
            self._resumer.kill()
            self._resumer.join()

    def resumes(self, path: Path) -> bool:
        """Whether another process can resume this run directory now."""
        if self._resumer is None:
            self._resumer = self._context.Process(target=_resume_each, args=(self._theirs,), daemon=True)
            self._resumer.start()
        self._ours.send(str(path))
        return bool(self._ours.recv())

    def starts_twice(self, rng: np.random.Generator, history: History, folder: Path) -> Verdict:
        """A run that is resumed in another process while it goes on here."""
        state = history.states[int(rng.integers(len(history.states)))]
        run = restore(state.image, folder)
        session = resume(run)
        with session.journal:
            player = Player(session, state.truth, rng)
            player.play(int(rng.integers(2)))
            if self.resumes(run):
                return Verdict("refund", "two processes write one run, and both send its next round")
            player.play(1)
        return judged(run, player.truth)

    def testbed(self, *arguments: str, cwd: Path) -> Any:
        """A started process that does what `testbed` does with these arguments."""
        process = self._context.Process(target=_command, args=(arguments, str(cwd)), daemon=True)
        process.start()
        return process


def killed_runs(elsewhere: Elsewhere, folder: Path, num_kills: int, seed: int) -> Iterator[Verdict]:
    """Real runs that are killed several times each at any moment, and at the last go on to their end; one verdict a
    kill."""
    rng = np.random.default_rng([seed, 2])
    folder.mkdir()
    for first in range(0, num_kills, KILLS_PER_RUN):
        yield from _one_run(elsewhere, folder, f"run-{first}", min(KILLS_PER_RUN, num_kills - first), rng)


def _one_run(
    elsewhere: Elsewhere, folder: Path, name: str, num_kills: int, rng: np.random.Generator
) -> Iterator[Verdict]:
    path = folder / name
    num_rounds = ROUNDS_PER_KILL * (num_kills + 1)
    before: list[j.AnyRecord] = []
    command: tuple[str, ...] = ("run", "--out", name, "--set", f"rounds.num={num_rounds}", *COMMAND)
    for _ in range(num_kills):
        process = elsewhere.testbed(*command, cwd=folder)
        _wait_for_growth(path / "journal.bin", int(rng.integers(0, 2500)), process)
        time.sleep(float(rng.uniform(0, 0.02)))
        process.kill()
        process.join()
        verdict, before = _after(path, before, process.exitcode)
        yield verdict
        command = ("run", "--resume", name)
    process = elsewhere.testbed(*command, cwd=folder)
    process.join(GIVE_UP_S)
    verdict, records = _after(path, before, process.exitcode)
    if verdict.outcome != "resumed" or process.exitcode != 0:
        yield verdict
        return
    summary = RunDirectory.open(path).read_summary()
    spent = sum(record.rho or 0.0 for record in records if isinstance(record, j.Spent))
    if summary is None or not (summary.rho_spent or 0.0) >= spent * (1 - ROUNDING):
        yield Verdict("refund", f"the summary of a run that has spent rho {spent:.6g} says {summary}")


def _after(path: Path, before: list[j.AnyRecord], exit_code: int | None) -> tuple[Verdict, list[j.AnyRecord]]:
    """What a process has left of the records that there were before it started, and all that there are now."""
    if exit_code not in (0, -signal.SIGKILL):
        return Verdict("refused", f"{path}: ended with {exit_code}"), before
    try:
        records = j.read(path / "journal.bin")
    except JournalError as err:
        return Verdict("refused", str(err)), before
    if records[: len(before)] != before:
        return Verdict("refund", f"{len(before)} records were on disk before, of which some are gone"), records
    sent = [(record.round, record.attempt) for record in records if isinstance(record, j.Spent)]
    if len(set(sent)) < len(sent):
        return Verdict("refund", "a transmission is on disk twice"), records
    return Verdict("resumed", ""), records


def _wait_for_growth(journal: Path, growth_bytes: int, process: Any) -> None:
    """Until the journal has grown by so much since the process started."""
    start_bytes = journal.stat().st_size if journal.exists() else 0
    give_up_s = time.monotonic() + GIVE_UP_S
    while time.monotonic() < give_up_s and process.is_alive():
        if journal.exists() and journal.stat().st_size > start_bytes + growth_bytes:
            return
        time.sleep(0.002)


def _resume_each(requests: Connection) -> None:
    """Say of each run directory that is asked for whether it can be resumed."""
    while True:
        try:
            resume(Path(requests.recv())).journal.close()
        except EXPECTED:
            requests.send(False)
        else:
            requests.send(True)


def _command(arguments: tuple[str, ...], directory: str) -> None:
    from testbed.commands.cli import main

    os.chdir(directory)
    sys.argv = ["testbed", *arguments]
    quiet = os.open(os.devnull, os.O_WRONLY)
    for standard in (1, 2):
        os.dup2(quiet, standard)
    main()
