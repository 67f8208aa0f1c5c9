"""Plays jobs in processes of their own, each of which has one thread of arithmetic."""

from __future__ import annotations

import logging
import multiprocessing
import signal
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path

import torch

from benchmarks.baselines.methods import method_of
from benchmarks.baselines.records import Job, Outcome, kept
from benchmarks.baselines.settings import configuration

Outcomes = dict[Job, Outcome]


def played(job: Job, sst2: Path, out: Path) -> Outcome:
    """One job, in whatever process."""
    method = method_of(job.method)
    return kept(method.play, job, configuration(job, method.group, method.overrides, sst2), out)


def play_all(jobs: Sequence[Job], sst2: Path, out: Path, num_processes: int) -> Outcomes:
    """All jobs, several at once; says what comes of each."""
    started, found = time.perf_counter(), {}
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(num_processes, mp_context=context, initializer=_begin) as pool:
        waiting = {pool.submit(played, job, sst2, out): job for job in jobs}
        try:
            for future in as_completed(waiting):
                job = waiting[future]
                found[job] = outcome = future.result()
                print(
                    f"[{len(found)}/{len(jobs)}, {time.perf_counter() - started:.0f} s] {_said(job, outcome)}",
                    flush=True,
                )
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            for process in multiprocessing.active_children():
                process.terminate()
            raise
    return found


def _begin() -> None:
    """In each process: the terminal's Ctrl-C is the first one's to answer, and cautions are in the table anyway."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    logging.disable(logging.WARNING)
    torch.set_num_threads(1)


def _said(job: Job, outcome: Outcome) -> str:
    if outcome.failure is not None:
        return f"{job.name}: FAILED: {outcome.failure}"
    return f"{job.name}: {outcome.last('metric'):.1%}, loss {outcome.last('loss'):.4f}, {outcome.wall_s:.0f} s"


def by_seed(found: Outcomes, task: str, method: str) -> dict[int, Outcome]:
    """Outcomes of one method."""
    return {
        j.seed: o
        for j, o in sorted(found.items(), key=lambda pair: pair[0].seed)
        if (j.task, j.method) == (task, method)
    }
