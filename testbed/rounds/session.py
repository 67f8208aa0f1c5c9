"""A run directory that is being written: begun or resumed, with its journal open."""

from __future__ import annotations

import hashlib
import uuid
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from learner.zo.replica import Replica, replay
from testbed.config.schema import RunConfig
from testbed.planning.terms import terms_of
from testbed.results import journal as j
from testbed.results.directory import RunDirectory
from testbed.results.provenance import new_run_info
from testbed.results.records import RoundRecord, RunInfo
from testbed.rounds import budget


@dataclass(slots=True, kw_only=True)
class Session:
    """One run directory, its journal, and what has happened so far."""

    config: RunConfig
    directory: RunDirectory
    journal: j.Journal
    info: RunInfo
    records: list[RoundRecord] = field(default_factory=list)

    @property
    def next_round(self) -> int:
        """The first round without a Result."""
        return 1 + max((r.round for r in self.journal_results()), default=-1)

    def journal_results(self) -> list[j.Result]:
        """Results so far, oldest first."""
        return [r for r in self.journal.records if isinstance(r, j.Result)]


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
    replay(replica, ((r.seed, r.coefficients) for r in results if r.coefficients))
    return replica
