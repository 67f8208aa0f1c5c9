"""The Python API: what the commands do, as functions that return values.

Nothing here prints, reads the command line or sets signal handlers: it works in a notebook and from a thread.
Expected failures are TestbedError, LearnerError or RadioError (testbed.failures.EXPECTED), one line each.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Protocol, TypeAlias, runtime_checkable

from testbed.bench.limits import radiates
from testbed.bench.rig import resolve
from testbed.config import files
from testbed.config.overrides import Overrides, as_texts
from testbed.config.schema import Experiment, Rig, RunConfig
from testbed.errors import ConfigError
from testbed.planning.preview import Previews, plan_of
from testbed.results.records import RoundRecord, RunInfo
from testbed.results.run import Run
from testbed.rounds.processes import run_in_one_process
from testbed.rounds.replay import Replayed, replay_run

Location: TypeAlias = str | os.PathLike[str]
ExperimentLike: TypeAlias = Location | Experiment | RunConfig | None
"""A name, a TOML file, a record, or the configuration of another run; None is the quickstart."""
RigLike: TypeAlias = Location | Rig | None
"""A name, a TOML file or a record; None is the loopback rig."""


@runtime_checkable
class Watcher(Protocol):
    """Whoever watches a run; called from the thread that called `run`."""

    def waiting(self, missing: list[int]) -> None:
        """These devices have not joined yet."""

    def started(self, info: RunInfo, first_round: int, num_rounds: int) -> None:
        """All devices are there."""

    def round_done(self, record: RoundRecord) -> None:
        """One round is on disk."""


def load(experiment: ExperimentLike = None, rig: RigLike = None, overrides: Overrides = ()) -> RunConfig:
    """The resolved configuration of a run: what `run` would do. Raises ConfigError or SchemeUnsupportedError."""
    changes = as_texts(overrides)
    if isinstance(experiment, RunConfig):
        if rig is not None:
            raise ConfigError("rig: got one beside a whole RunConfig; allowed: None; give its .experiment instead")
        return resolve(files.override(experiment, changes))
    rig_name = None if isinstance(rig, Rig) or rig is None else os.fspath(rig)
    experiment_name = None if isinstance(experiment, Experiment) or experiment is None else os.fspath(experiment)
    if not isinstance(rig, Rig) and not isinstance(experiment, Experiment):
        return files.load(rig_name, experiment_name, changes, check=resolve)
    read = files.load(rig_name, experiment_name, [])
    config = RunConfig(
        rig=rig if isinstance(rig, Rig) else read.rig,
        experiment=experiment if isinstance(experiment, Experiment) else read.experiment,
    )
    return resolve(files.override(config, changes))


def run(
    experiment: ExperimentLike = None,
    rig: RigLike = None,
    overrides: Overrides = (),
    *,
    out: Location | None = None,
    progress: Watcher | Callable[[RoundRecord], object] | None = None,
    resume: Location | None = None,
    should_stop: Callable[[], bool] = lambda: False,
    radiate: bool = False,
) -> Run:
    """Run a whole experiment in this process; returns its run directory, opened.

    ``out``: where it goes (default: runs/<time>-<name>). ``progress``: a watcher, or a function that gets each round's
    record. ``resume``: continue the run in this directory instead, which keeps its own configuration and place.
    ``should_stop``: asked before each round; where it says so, the run ends with everything written. ``radiate``: must
    be true on real radios, which then send within the rig's limits. Raises TestbedError when the
    run cannot go on, and, with everything written, when none of its rounds was used.
    """
    watcher: Watcher = progress if isinstance(progress, Watcher) else _Calls(progress)
    if resume is not None:
        if experiment is not None or rig is not None or overrides or out is not None:
            raise ConfigError(
                "resume: got an experiment, a rig, overrides or out beside it; allowed: none of them, as a resumed run "
                "keeps its own; leave them out"
            )
        config = Run.open(resume).config
    else:
        config = load(experiment, rig, overrides)
    if radiates(config.rig) and not radiate:
        raise ConfigError(
            f"radiate: got false on a rig whose radios are real, backend {config.rig.backend!r}; allowed: true there; "
            "look at the rig's [limits], then say radiate=True"
        )
    outcome = run_in_one_process(
        config,
        out=None if out is None else Path(out),
        resume=None if resume is None else Path(resume),
        progress=watcher,
        should_stop=should_stop,
    )
    outcome.check()
    return Run(outcome.directory)


def plan(experiment: ExperimentLike = None, rig: RigLike = None, overrides: Overrides = ()) -> Previews:
    """What every schedule would do on a simulated rig, without running anything."""
    return plan_of(load(experiment, rig, overrides))


def replay(run: Run | Location, *, num_rounds: int | None = None, save: Location | None = None) -> Replayed:
    """Rebuild a run's final weights from initial weights and journal, and compare them bit for bit.

    ``num_rounds``: stop after so many, which have nothing to be compared with. ``save``: write the model there, as a
    Hugging Face directory. Raises JournalError if bits differ.
    """
    path = run.path if isinstance(run, Run) else Path(run)
    return replay_run(path, num_rounds=num_rounds, save=None if save is None else Path(save))


class _Calls:
    """A watcher that hands each record to a function."""

    def __init__(self, function: Callable[[RoundRecord], object] | None) -> None:
        self._function = function

    def waiting(self, missing: list[int]) -> None:
        pass

    def started(self, info: RunInfo, first_round: int, num_rounds: int) -> None:
        pass

    def round_done(self, record: RoundRecord) -> None:
        if self._function is not None:
            self._function(record)
