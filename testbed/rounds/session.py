"""A run directory that is being written: begun or resumed, with its journal open."""

from __future__ import annotations

import hashlib
import uuid
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from learner.zo.replica import Replica, replay
from radio.link.memory import ReceiverMemory
from testbed.config.schema import RunConfig
from testbed.planning.terms import terms_of
from testbed.results import journal as j
from testbed.results.directory import RunDirectory
from testbed.results.live.writing import LiveCapture
from testbed.results.provenance import new_run_info
from testbed.results.records import RoundRecord, RunInfo
from testbed.rounds import budget
from testbed.schedule.base import Told


@dataclass(slots=True, kw_only=True)
class Session:
    """One run directory, its journal, and what has happened so far."""

    config: RunConfig
    directory: RunDirectory
    journal: j.Journal
    info: RunInfo
    records: list[RoundRecord] = field(default_factory=list)
    live: LiveCapture | None = None
    """Where somebody watches: what shows them the last capture."""

    @property
    def results(self) -> list[j.Result]:
        """What every round so far came to, by its number; grows with the journal."""
        return self.journal.results

    @property
    def next_round(self) -> int:
        """The first round without a Result."""
        return len(self.results)

    def rebuild(self) -> Replica:
        """The model that the journal leads to."""
        return rebuild(self.directory, self.config, self.results)

    def show_captures(self) -> None:
        """Keep a file of the last capture from now on, for whoever watches."""
        self.live = LiveCapture(self.directory.path, private=not self.config.experiment.ground_truth)

    @property
    def memory(self) -> ReceiverMemory | None:
        """What the access point's receiver remembers of the rounds so far; None before any is on record."""
        return next((each.memory for each in reversed(self.results) if each.memory is not None), None)

    @property
    def clock_samples(self) -> int:
        """At which sample a simulated air goes on."""
        memory = self.memory
        return memory.clock_samples if memory is not None else 0

    @property
    def told(self) -> tuple[Told, ...]:
        """What the schedule was told so far, oldest first."""
        return tuple(told for each in self.results for told in each.told)

    @property
    def caution(self) -> str | None:
        """Why this run may differ in bits from one that was never cut off; None where nothing was forgotten."""
        start = next(iter(self.journal.records), None)
        num_forgotten = sum(each.memory is None for each in self.results)
        if not isinstance(start, j.Start) or start.version >= j.REMEMBERS_SINCE or num_forgotten == 0:
            return None
        return (
            f"the journal was begun by an earlier version (journal {start.version}), which did not write down what the "
            f"access point's receiver remembers: rounds from {num_forgotten} on may differ in bits from those of a run "
            "that was not cut off"
        )


def begin(config: RunConfig, out: Path | None, replica: Replica) -> Session:
    """Make the run directory of a new run, with the initial weights in it."""
    directory = RunDirectory.create(out, config, num_parameters=replica.num_parameters)
    run_id = uuid.uuid4().hex
    info = new_run_info(config, run_id=run_id, num_parameters=replica.num_parameters, fingerprint=replica.fingerprint())
    try:
        directory.write_json(directory.info, info)
        directory.write_with(directory.initial_weights, replica.save_weights)
        budget.draw(config, run_id)  # never given back: from here on the run can transmit, or be resumed to
        journal = j.Journal.begun(
            directory.journal,
            j.Start(version=j.VERSION, run_id=run_id, initial_fingerprint=info.initial_fingerprint),
            promise_of(config),
        )
    except BaseException:
        directory.discard()
        raise
    return Session(config=config, directory=directory, journal=journal, info=info)


def promise_of(config: RunConfig) -> j.Promised:
    """What the terms of this configuration promise, and a fingerprint of all that the promise depends on.

    ``ground_truth`` is not in it: each charge says itself whether it leaves a claim.
    """
    terms = terms_of(config)
    rig, experiment = config.rig, config.experiment
    depends = (
        *(experiment.privacy, experiment.schedule, experiment.scheme, experiment.learner, experiment.task),
        *(rig.backend, rig.num_devices, rig.air, rig.frame, rig.radio, rig.bounds),
        *(terms.estimate_failure, terms.sensitivity, terms.clip),
        *([experiment.rounds.min_devices] if experiment.rounds.min_devices else []),  # so many devices' noise counts
    )
    return j.Promised(
        limit=terms.accountant.limit if terms.enforced else None,
        terms=f"{terms.accountant.words}; {terms.guarantee}",
        fingerprint=hashlib.sha256(msgspec.json.encode(depends, order="sorted")).hexdigest() if terms.enforced else "",
    )


def rebuild(directory: RunDirectory, config: RunConfig, results: list[j.Result]) -> Replica:
    """The model after ``results``: initial weights and journal, nothing else."""
    learner = config.experiment.learner
    replica = Replica.load(config.experiment.model, direction=learner.direction, num_threads=learner.num_threads)
    replica.load_weights(directory.initial_weights)
    replay(replica, (update for r in results for update in r.updates))
    return replica
