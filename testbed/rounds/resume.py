"""A run that was cut off, opened to be continued: the journal decides, rounds.jsonl is repaired to agree with it."""

from __future__ import annotations

from pathlib import Path

from testbed.config.schema import RunConfig
from testbed.errors import JournalError
from testbed.results import journal as j
from testbed.results.directory import RunDirectory
from testbed.results.records import RoundRecord, RunInfo
from testbed.rounds import budget
from testbed.rounds.round import round_seed
from testbed.rounds.session import Session, promise_of


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
    budget.check_drawn(config, journal.records)
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
