"""A run that was cut off, opened to be continued: the journal decides, rounds.jsonl is repaired to agree with it."""

from __future__ import annotations

import logging
import math
from collections import defaultdict
from pathlib import Path

from testbed.bench.rig import resolve
from testbed.config.schema import RunConfig
from testbed.errors import JournalError
from testbed.planning.ledger import Ledger
from testbed.planning.terms import terms_of
from testbed.results import journal as j
from testbed.results.directory import RunDirectory
from testbed.results.records import RoundRecord, RunInfo
from testbed.rounds import budget
from testbed.rounds.round import round_seed
from testbed.rounds.session import Session, promise_of
from testbed.rounds.verification import going_on

log = logging.getLogger(__name__)
_ROUNDING = 1e-9


def resume(path: Path) -> Session:
    """Open a run directory to continue it: the journal decides, rounds.jsonl is repaired to agree with it.

    A transmission that was charged but has no result is a skipped round, never repeated.
    """
    directory = RunDirectory.open(path)
    config, info = resolve(directory.read_config()), directory.read_info()
    if j.is_old(directory.journal):
        _check_old(directory, config)
        j.renew(directory.journal)
    journal = j.Journal(directory.journal)
    try:
        return _resumed(directory, journal, config, info)
    except BaseException:
        journal.close()
        raise


def _resumed(directory: RunDirectory, journal: j.Journal, config: RunConfig, info: RunInfo) -> Session:
    _check_promise(directory, journal.records, config, info)
    _check_not_ahead(directory, journal.records, config)
    budget.check_drawn(config, journal.records)
    session = Session(config=config, directory=directory, journal=journal, info=info)
    charged = {r.round for r in journal.records if isinstance(r, j.Spent)}
    for round_index in sorted(charged - {r.round for r in session.results}):
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
    _check_order(directory, session.results)
    if session.caution is not None:
        log.warning("%s: %s", directory.path, session.caution)
    known = {record.round: record for record in directory.read_rounds()}
    directory.check_space(config, num_parameters=info.num_parameters, first_round=session.next_round)
    session.records = [known.get(r.round) or _recovered(r, config) for r in session.results]
    directory.rewrite_rounds(session.records)
    if session.info != going_on(session.info):
        session.info = going_on(session.info)
        directory.write_json(directory.info, session.info)
    return session


def _check_order(directory: RunDirectory, results: list[j.Result]) -> None:
    for round_index, result in enumerate(results):
        if result.round != round_index:
            raise JournalError(
                f"{directory.path}: got a journal with the result of round {result.round + 1} where that of round "
                f"{round_index + 1} belongs; allowed: one result a round, in order; restore it, or start a new run"
            )


def _check_old(directory: RunDirectory, config: RunConfig) -> None:
    """Journals without seals cannot show that every charge is still there."""
    j.read(directory.journal)  # says what is wrong with a foreign file
    if promise_of(config).limit is not None:
        raise JournalError(
            f"{directory.path}: a private run with a journal older than version {j.SEALED_SINCE}, which cannot show "
            "that no charge is missing; allowed: reading, replay and report; start a new run to go on"
        )


def _check_promise(directory: RunDirectory, records: list[j.AnyRecord], config: RunConfig, info: RunInfo) -> None:
    start = records[0] if records else None
    if not isinstance(start, j.Start) or (start.run_id, start.initial_fingerprint) != (
        info.run_id,
        info.initial_fingerprint,
    ):
        raise JournalError(f"{directory.path}: journal.bin is not that of run.json; restore the one that belongs to it")
    promised = [record for record in records if isinstance(record, j.Promised)]
    old = start.version < j.SEALED_SINCE
    expected = promise_of(config)
    if not promised and old and expected.limit is None:
        return
    if old and len(promised) == 1 and promised[0].limit is None and expected.limit is None:
        return
    if promised != [expected]:
        raise JournalError(
            f"{directory.path}: config.toml promises another privacy budget or threat model than this run began "
            "with, or the journal holds no promise; restore it, or start a new run"
        )


def _check_not_ahead(directory: RunDirectory, records: list[j.AnyRecord], config: RunConfig) -> None:
    """Refuse a journal that was cut or put back: what is made from it shows more than it holds."""
    results = {record.round: record for record in records if isinstance(record, j.Result)}
    remedy = "restore the journal that belongs to it, or start a new run"
    known = directory.read_rounds()
    beyond = sorted({record.round for record in known} - set(results))
    if beyond:
        raise JournalError(
            f"{directory.path}: rounds.jsonl holds round {beyond[-1] + 1}, of which the journal knows nothing; {remedy}"
        )
    rhos: dict[int, float] = defaultdict(float)
    for spent in records:
        if isinstance(spent, j.Spent):
            rhos[spent.round] += math.inf if spent.rho is None else spent.rho
    for record in known:
        if (record.rho_spent or 0.0) > rhos[record.round] * (1 + _ROUNDING) or not _agree(
            record, results.get(record.round)
        ):
            raise JournalError(
                f"{directory.path}: rounds.jsonl and journal.bin differ in round {record.round + 1}; {remedy}"
            )
    summary = directory.read_summary()
    if summary is None:
        return
    ledger = Ledger(None, terms_of(config), past=records)
    rho = summary.rho_spent or 0.0
    if summary.rounds_total > len(results) or (not ledger.unbounded and rho > ledger.rho * (1 + _ROUNDING)):
        raise JournalError(
            f"{directory.path}: summary.json shows {summary.rounds_total} rounds and rho {rho:.4g}, the journal "
            f"{len(results)} and {ledger.rho:.4g}; {remedy}"
        )


def _agree(record: RoundRecord, result: j.Result | None) -> bool:
    return result is None or (record.seed, record.status, record.estimate or ()) == (
        result.seed,
        result.status,
        result.estimates,
    )


def _recovered(result: j.Result, config: RunConfig) -> RoundRecord:
    return RoundRecord(
        round=result.round,
        seed=result.seed,
        scheme=config.experiment.scheme.name,
        status=result.status,
        attempt=result.attempt,
        reason="recovered from the journal after a crash",
        estimate=result.estimates or None,
        predicted_error_std=result.error_std,
    )
