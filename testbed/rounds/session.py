"""A run directory that is being written: begun or resumed, with its journal open."""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field
from pathlib import Path

from learner.zo.replica import Replica, replay
from testbed.config.schema import RunConfig
from testbed.errors import JournalError
from testbed.planning.terms import terms_of
from testbed.results import journal as j
from testbed.results.directory import RunDirectory
from testbed.results.provenance import new_run_info
from testbed.results.records import RoundRecord, RunInfo
from testbed.rounds.round import round_seed


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
    """What the terms of this configuration promise."""
    terms = terms_of(config)
    return j.Promised(
        limit=terms.accountant.limit if terms.enforced else None, terms=f"{terms.accountant.words}; {terms.guarantee}"
    )


def resume(path: Path) -> Session:
    """Open a run directory to continue it: the journal decides, rounds.jsonl is repaired to agree with it.

    A transmission that was charged but has no result is a skipped round, never repeated.
    """
    directory = RunDirectory.open(path)
    config, info = directory.read_config(), directory.read_info()
    j.read(directory.journal)  # says what is wrong with a foreign file
    journal = j.Journal(directory.journal)
    try:
        return _resumed(directory, journal, config, info)
    except BaseException:
        journal.close()
        raise


def _resumed(directory: RunDirectory, journal: j.Journal, config: RunConfig, info: RunInfo) -> Session:
    promised = [record for record in journal.records if isinstance(record, j.Promised)]
    if promised and promised[0] != promise_of(config):
        raise JournalError(
            f"{directory.path}: config.toml promises another privacy budget or threat model than this run began "
            "with; restore it, or start a new run"
        )
    session = Session(config=config, directory=directory, journal=journal, info=info)
    charged = {r.round for r in journal.records if isinstance(r, j.Spent)}
    for round_index in sorted(charged - {r.round for r in session.journal_results()}):
        journal.append(
            j.Result(
                round=round_index,
                attempt=1,
                status="skipped",
                seed=round_seed(config.experiment.seed, round_index),
                estimates=(),
                coefficients=(),
            )
        )
    known = {record.round: record for record in directory.read_rounds()}
    directory.check_space(config, num_parameters=info.num_parameters, first_round=session.next_round)
    session.records = [known.get(r.round) or _recovered(r, config) for r in session.journal_results()]
    directory.rewrite_rounds(session.records)
    return session


def _recovered(result: j.Result, config: RunConfig) -> RoundRecord:
    return RoundRecord(
        round=result.round,
        seed=result.seed,
        scheme=config.experiment.scheme.name,
        status=result.status,
        attempt=result.attempt,
        reason="recovered from the journal after a crash",
        estimate=result.estimates or None,
    )


def rebuild(directory: RunDirectory, config: RunConfig, results: list[j.Result]) -> Replica:
    """The model after ``results``: initial weights and journal, nothing else."""
    learner = config.experiment.learner
    replica = Replica.load(config.experiment.model, direction=learner.direction, num_threads=learner.num_threads)
    replica.load_weights(directory.initial_weights)
    replay(replica, ((r.seed, r.coefficients) for r in results if r.coefficients))
    return replica
