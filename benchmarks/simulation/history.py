"""One history: a run from its first process to its summary, under the faults of a seed, and the oracle's judgement."""

from __future__ import annotations

import logging
import shutil
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.simulation import strangers
from benchmarks.simulation.machine import replaced
from benchmarks.simulation.network import Network, Weather
from benchmarks.simulation.oracle import Oracle
from benchmarks.simulation.parties import Stage
from benchmarks.simulation.setting import Fault, Setting, drawn
from benchmarks.simulation.world import Process, RestlessError, World
from testbed.config.schema import RunConfig
from testbed.errors import CrashError, DivergenceError, JournalError, RunDirectoryError, StalledRunError
from testbed.failures import EXPECTED, in_one_line, traceback_of
from testbed.results import journal as j
from testbed.rounds.loop import INTERRUPTED

PATIENCE_S = 600.0
"""How long after the last fault the run may still take."""
STOP_WITHIN_S = 2.0
"""How soon the access point answers Ctrl-C."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What came of a history."""

    seed: int
    faults: tuple[str, ...]
    """What did not hold; empty if all did."""
    trace: str
    took_s: float
    """virtual"""
    num_events: int
    statuses: dict[str, int]
    """How many rounds came to what."""
    counts: dict[str, int]
    """What happened meanwhile."""
    results: tuple[j.Result, ...]
    lines: tuple[str, ...] = ()


@dataclass(slots=True)
class History:
    """Starts, harms and restarts processes."""

    stage: Stage
    processes: dict[str, Process] = field(default_factory=dict)
    counts: Counter[str] = field(default_factory=Counter)
    is_done: bool = False

    @property
    def setting(self) -> Setting:
        """What was drawn."""
        return self.stage.setting

    @property
    def world(self) -> World:
        """Its time."""
        return self.stage.world

    def start(self, place: str) -> None:
        """A process at its place, unless there is one."""
        if self.is_done or (place in self.processes and not self.processes[place].is_over):
            return
        self.counts[f"start {place.split()[0]}"] += 1
        body: Callable[[Process], Any]
        if place == "ap":
            body = self.stage.access_point
        elif place == "air":
            body = self.stage.air
        else:
            devices = self.setting.hosts[int(place.split()[1])]
            body = lambda process: self.stage.host(process, devices)  # noqa: E731
        self.world.note(f"{place} starts")
        self.processes[place] = process = Process(self.world, place, body)
        process.at_end.append(lambda: self._ended(process))

    def _ended(self, process: Process) -> None:
        place, err = process.place, process.error
        how = "killed" if process.is_killed else in_one_line(err) if err is not None else "over"
        self.world.note(f"{place} ended: {how}")
        if err is not None and not process.is_killed:
            self._judge_end(place, err)
        if place == "ap" and err is None and not process.is_killed:
            summary = process.result
            self.counts["interrupted" if summary.stopped == INTERRUPTED else "finished"] += 1
            if summary.stopped != INTERRUPTED:
                self.is_done = True
                return
        if not self.is_done:
            self.world.after(self.world.rng.uniform(0.1, 4), lambda: self.start(place))

    def _judge_end(self, place: str, err: BaseException) -> None:
        """A program may end with what is expected, never with anything else."""
        oracle = self.stage.oracle
        self.counts[f"{place.split()[0]}: {type(err).__name__}"] += 1
        if not isinstance(err, EXPECTED) or isinstance(err, CrashError | DivergenceError):
            trace = err.trace if isinstance(err, CrashError) else traceback_of(err)
            oracle.must(False, f"{place}: {in_one_line(err)}\n{trace}")
            self.is_done = True
        has_ended = self.is_done or "the run is over" in str(err)
        if self.setting.is_gentle and not has_ended and not isinstance(err, StalledRunError):
            oracle.must(False, f"{place}: gave up, where hardly anything had failed: {err}")
        if place == "ap" and isinstance(err, JournalError | RunDirectoryError):
            hit = any(fault.kind in ("disk", "full disk") for fault in self.setting.faults)
            oracle.must(hit and not self._is_calm_for(5), f"{place}: {err}")
        if place == "ap" and isinstance(err, StalledRunError):
            late_s = self.world.now_s - self.setting.ends_s
            oracle.must(late_s <= 60, f"{place}: {err}, {late_s:.0f} s after the last fault")

    def _is_calm_for(self, seconds: float) -> bool:
        """Whether faults have stopped so long ago."""
        return self.world.now_s > self.setting.ends_s + seconds

    # ---- faults

    def strike(self, fault: Fault) -> None:
        """Let it happen."""
        process = self.processes.get(fault.place)
        disk = self.stage.disk
        if self.is_done or process is None or process.is_over:
            return
        if self.world.current is process:
            return
        self.counts[fault.kind] += 1
        self.world.note(f"{fault.kind} at {fault.place} for {fault.lasts_s:.2f} s")
        match fault.kind:
            case "kill" | "power cut":
                if fault.place == "ap" and disk is not None:
                    disk.stop(power_cut=fault.kind == "power cut")
                process.kill()
            case "freeze":
                self.stage.network.freeze(process, fault.lasts_s)
            case "cut":
                self.stage.network.cut(fault.place, fault.lasts_s)
            case "reset":
                self.stage.network.reset(fault.place)
            case "clock jump":
                process.skew_s += fault.lasts_s
            case "interrupt":
                self._interrupt(process)
            case "disk" if disk is not None:
                disk.fail(fault.number % 20, fault.how)
            case "full disk" if disk is not None:
                disk.fail(0, "fail on")
                self.world.after(fault.lasts_s, disk.mend)
            case "stranger":
                Process(self.world, "stranger", lambda one: strangers.run(one, self.stage, fault.lasts_s))
            case _:
                pass

    def _interrupt(self, process: Process) -> None:
        """Ctrl-C, once in a process."""
        if self.stage.asked_to_stop_s is None and self.stage.session is not None:
            self.stage.asked_to_stop_s = self.world.now_s
            frozen_s = process.frozen_for_s
            begin_s = max(self.world.now_s, process.frozen_until_s)
            self.world.at(
                begin_s + STOP_WITHIN_S + 20 * self.setting.sync_s, lambda: self._must_have_stopped(process, frozen_s)
            )

    def _must_have_stopped(self, process: Process, frozen_s: float) -> None:
        if process.frozen_for_s > frozen_s:
            frozen_s, missing_s = process.frozen_for_s, process.frozen_for_s - frozen_s
            self.world.after(missing_s, lambda: self._must_have_stopped(process, frozen_s))
            return
        self.stage.oracle.must(process.is_over, f"the access point did not stop {STOP_WITHIN_S:g} s after Ctrl-C")

    def _calm_down(self) -> None:
        """Nothing fails any more."""
        self.stage.network.calm_down()
        if self.stage.disk is not None:
            self.stage.disk.mend()

    # ---- from beginning to end

    def play(self) -> None:
        """All of it. Raises RestlessError."""
        world, setting, oracle = self.world, self.setting, self.stage.oracle
        for place, at_s in zip(setting.places, setting.comes_s, strict=True):
            world.at(at_s, lambda place=place: self.start(place))  # type: ignore[misc]
        for fault in setting.faults:
            world.at(fault.at_s, lambda fault=fault: self.strike(fault))  # type: ignore[misc]
        world.at(setting.ends_s, self._calm_down)
        in_time = world.run(setting.ends_s + PATIENCE_S, lambda: self.is_done)
        oracle.must(in_time, f"not finished {PATIENCE_S:g} s after the last fault")
        if in_time and not oracle.faults:
            world.run(
                world.now_s + 30, lambda: all(p.is_over for k, p in self.processes.items() if k not in ("ap", "air"))
            )
        for process in self.processes.values():
            process.kill()
        if in_time and not oracle.faults:
            oracle.judge(self.stage.folder, plain_run(setting.plain) if setting.plain is not None else None)


_plain_runs: dict[str, tuple[j.Result, ...]] = {}


def plain_run(config: RunConfig) -> tuple[j.Result, ...]:
    """Results of a run with one host, where nothing goes wrong, nothing takes time, and nobody is late."""
    key = repr(config)
    if key not in _plain_runs:
        setting = Setting(
            seed=0, config=config, plain=None, hosts=(tuple(range(config.rig.num_devices)),),
            weather=Weather(delay_s=0.0005), faults=(), ends_s=0.0, comes_s=(0.0, 0.0), sync_s=0.0005, work_s=0.001,
        )  # fmt: skip
        outcome = play(0, setting=setting)
        if outcome.faults:
            raise AssertionError(f"a run without any fault: {'; '.join(outcome.faults)}")
        _plain_runs[key] = outcome.results
    return _plain_runs[key]


@contextmanager
def quiet() -> Iterator[None]:
    """Nothing is said to people, who would drown."""
    before = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        yield
    finally:
        logging.disable(before)


def play(seed: int, *, setting: Setting | None = None, keep_lines: bool = False, folder: Path | None = None) -> Outcome:
    """One history, judged; ``keep_lines`` of what happened. The files are gone afterwards unless a folder is given."""
    setting = setting or drawn(seed)
    world = World(seed)
    world.log = [] if keep_lines else None
    place = folder or Path(tempfile.mkdtemp(prefix="history-", dir=_fast_folder()))
    oracle = Oracle(setting)
    stage = Stage(world, Network(world, setting.weather), setting, oracle, place / "run")
    history = History(stage)
    try:
        with replaced(world):
            try:
                history.play()
            except (RestlessError, AssertionError) as err:
                oracle.faults.append(str(err))
        results = [r for r in oracle.records if isinstance(r, j.Result)]
        return Outcome(
            seed=seed,
            faults=tuple(oracle.faults),
            trace=world.trace,
            took_s=world.now_s,
            num_events=world.num_events,
            statuses=dict(Counter(r.status for r in results)),
            counts=dict(history.counts),
            results=tuple(results),
            lines=tuple(world.log or ()),
        )
    finally:
        if folder is None:
            shutil.rmtree(place, ignore_errors=True)


def _fast_folder() -> str | None:
    """Where files cost little: memory, if there is such a place."""
    return "/dev/shm" if Path("/dev/shm").is_dir() else None
