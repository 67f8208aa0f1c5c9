"""A run from its first Hello to its report: the access point's side, whatever the hosts and the air are.

Everything that the rounds decide is in journal.bin first; rounds.jsonl, summary.json and the report follow from it.
"""

from __future__ import annotations

import math
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import msgspec

from learner.tasks.registry import template_of
from learner.zo.replica import Replica, replay
from radio.air.medium import Medium
from radio.link.access_point import AccessPointLink
from radio.samples import IQ
from testbed.bench.rig import access_point_radio, scheme_of
from testbed.config.schema import RunConfig
from testbed.control import messages as m
from testbed.control.roster import AttemptFailedError, InterruptedRunError, Roster
from testbed.control.transport import Server
from testbed.errors import DivergenceError, JournalError, PeerTimeoutError
from testbed.plan.ledger import BudgetSpentError, Ledger
from testbed.plan.terms import terms_of
from testbed.results import journal as j
from testbed.results.directory import RunDirectory
from testbed.results.provenance import new_run_info
from testbed.results.recordings import CaptureInfo, save_capture
from testbed.results.records import InitialEvaluation, RoundRecord, RunInfo, Summary
from testbed.results.report import write_report
from testbed.results.statistics import median, pooled_nmse_db
from testbed.rounds.access_point import AccessPoint, round_seed

JOURNAL_VERSION = 1


class Progress(Protocol):
    """Whoever watches a run."""

    def waiting(self, missing: list[int]) -> None:
        """These devices have not joined yet."""

    def started(self, info: RunInfo, first_round: int, num_rounds: int) -> None:
        """All devices are there."""

    def round_done(self, record: RoundRecord) -> None:
        """One round is on disk."""


class Quiet:
    """Watches without a word."""

    def waiting(self, missing: list[int]) -> None:
        """Say nothing."""

    def started(self, info: RunInfo, first_round: int, num_rounds: int) -> None:
        """Say nothing."""

    def round_done(self, record: RoundRecord) -> None:
        """Say nothing."""


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
    directory = RunDirectory.create(out, config)
    run_id = uuid.uuid4().hex
    info = new_run_info(config, run_id=run_id, num_parameters=replica.num_parameters, fingerprint=replica.fingerprint())
    directory.write_json(directory.info, info)
    replica.save_weights(directory.initial_weights)
    journal = j.Journal(directory.journal)
    journal.append(j.Start(version=JOURNAL_VERSION, run_id=run_id, initial_fingerprint=info.initial_fingerprint))
    journal.append(promise_of(config))
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
    promised = [record for record in journal.records if isinstance(record, j.Promised)]
    if promised and promised[0] != promise_of(config):
        journal.close()
        raise JournalError(
            f"{path}: config.toml promises another privacy budget or threat model than this run began with; restore "
            "it, or start a new run"
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


def conduct(
    session: Session,
    *,
    server: Server[m.ControlMessage],
    medium: Medium | None,
    air_address: str,
    progress: Progress,
    should_stop: Callable[[], bool] = lambda: False,
) -> Summary:
    """Play the rounds that are left and write the results; returns the summary.

    Stops early, with everything written, when ``should_stop`` or the privacy budget says so. Raises TestbedError when
    the run cannot go on; the run directory can then be resumed.
    """
    config, experiment = session.config, session.config.experiment
    scheme = scheme_of(config)
    terms = terms_of(config)
    ledger = Ledger(session.journal, terms, past=session.journal.records)
    roster = Roster(
        server=server,
        num_devices=config.rig.num_devices,
        welcome=lambda hello: _welcome(session, air_address, hello),
        should_stop=should_stop,
    )
    with access_point_radio(config, medium) as radio:
        genie = medium.truth if medium is not None and config.rig.air.csi == "genie" and scheme.needs_sounding else None
        link = AccessPointLink(
            radio,
            config.rig.radio,
            config.rig.frame,
            scheme,
            config.rig.num_devices,
            rule=experiment.scheme.alignment,
            genie=genie,
        )
        access_point = AccessPoint(
            config,
            roster=roster,
            link=link,
            scheme=scheme,
            journal=session.journal,
            ledger=ledger,
            terms=terms,
            past=session.records,
        )
        started = time.perf_counter() - math.fsum(record.wall_s for record in session.records)
        try:
            stopped = _play(session, access_point, roster, progress, should_stop)
        except BudgetSpentError as err:
            stopped = str(err)
        except InterruptedRunError:
            stopped = "interrupted"
        except BaseException as err:
            roster.broadcast(m.Finish(reason=f"the run failed: {err}"))
            raise
        final_fingerprint = _finish(session, roster, stopped)
        payload_symbols = scheme.payload_symbols(experiment.learner.num_queries, config.rig.num_devices)
        summary = summarise(
            session,
            stopped=stopped,
            payload_symbols=payload_symbols,
            final_fingerprint=final_fingerprint,
            privacy=terms.statement(ledger.epsilon),
            epsilon=ledger.epsilon if terms.void is None else None,
            rho=None if ledger.unbounded else ledger.rho,
            wall_s=time.perf_counter() - started,
        )
    session.directory.write_json(session.directory.summary, summary)
    write_report(session.directory)
    return summary


def _welcome(session: Session, air_address: str, hello: m.Hello) -> m.Welcome:
    known = hello.run_id == session.info.run_id
    first = hello.next_round if known else 0
    if first > session.next_round:
        raise JournalError(f"the host is at round {first}, the journal at {session.next_round}; restart that host")
    return m.Welcome(
        run_id=session.info.run_id,
        config=session.config,
        air_address=air_address,
        next_round=session.next_round,
        results=tuple(
            m.PastResult(round=r.round, seed=r.seed, coefficients=r.coefficients)
            for r in session.journal_results()
            if r.round >= first and r.coefficients
        ),
    )


def _play(
    session: Session,
    access_point: AccessPoint,
    roster: Roster,
    progress: Progress,
    should_stop: Callable[[], bool],
) -> str:
    """The rounds; returns why they ended."""
    experiment, control = session.config.experiment, session.config.rig.control
    if not roster.wait_for_everyone(control.join_timeout_s, progress.waiting):
        raise PeerTimeoutError(
            f"devices {roster.missing}: not joined in {control.join_timeout_s:g} s; start `testbed device "
            f"--devices {','.join(map(str, roster.missing))}`, or raise control.join_timeout_s"
        )
    untouched = session.info.initial_evaluation is None and session.next_round == 0
    if untouched and (evaluated := access_point.evaluate(-1)) is not None:
        initial = InitialEvaluation(loss=evaluated.loss, metric=evaluated.metric, num_examples=evaluated.num_examples)
        session.info = msgspec.structs.replace(session.info, initial_evaluation=initial)
        session.directory.write_json(session.directory.info, session.info)
    progress.started(session.info, session.next_round, experiment.rounds.num)
    skipped_in_a_row = 0
    for round_index in range(session.next_round, experiment.rounds.num):
        if should_stop():
            return "interrupted"
        record = access_point.play(round_index)
        _keep_capture(session, access_point.last_capture, record)
        if (round_index + 1) % experiment.rounds.eval_every == 0 or round_index + 1 == experiment.rounds.num:
            record = _evaluated(access_point, record)
        session.directory.append_round(record)
        session.records.append(record)
        progress.round_done(record)
        skipped_in_a_row = skipped_in_a_row + 1 if roster.missing else 0
        if skipped_in_a_row >= experiment.rounds.max_skipped_in_a_row:
            raise PeerTimeoutError(
                f"round {round_index}: devices {roster.missing} are gone, and {skipped_in_a_row} rounds in a row were "
                f"skipped for it; start them again and continue with --resume {session.directory.path}"
            )
    return "done"


def _evaluated(access_point: AccessPoint, record: RoundRecord) -> RoundRecord:
    evaluated = access_point.evaluate(record.round)
    if evaluated is None:
        return record
    return msgspec.structs.replace(record, metric=evaluated.metric, eval_loss=evaluated.loss)


def _keep_capture(session: Session, samples: IQ | None, record: RoundRecord) -> None:
    """Record the payload of the first round and of every evaluated one."""
    rounds = session.config.experiment.rounds
    if samples is None or not (record.round == 0 or (record.round + 1) % rounds.eval_every == 0):
        return
    radio = session.config.rig.radio
    info = CaptureInfo(
        round=record.round,
        attempt=record.attempt,
        scheme=record.scheme,
        sample_rate_hz=radio.sample_rate_hz,
        center_freq_hz=radio.center_freq_hz,
        run_id=session.info.run_id,
    )
    save_capture(session.directory.captures, samples, info)


def _finish(session: Session, roster: Roster, stopped: str) -> str:
    """Dismiss the hosts, rebuild the weights from the journal, and check that the hosts hold the very same."""
    peers = [peer for peer, host in roster.hosts.items() if host.joined]
    roster.broadcast(m.Finish(reason=stopped))
    try:
        goodbyes = roster.collect(m.Goodbye, peers, 10.0, what="goodbye")
    except AttemptFailedError:
        goodbyes = {}
    live = roster.check_agreement({peer: bye.fingerprint for peer, bye in goodbyes.items()}, "end of the run")
    rebuilt = rebuild(session.directory, session.config, session.journal_results())
    rebuilt.save_weights(session.directory.final_weights)
    fingerprint = rebuilt.fingerprint()
    session.info = msgspec.structs.replace(session.info, final_fingerprint=live or fingerprint)
    session.directory.write_json(session.directory.info, session.info)
    if live is not None and live != fingerprint:
        raise DivergenceError(
            f"the hosts' weights ({live[:12]}) are not those of the journal ({fingerprint[:12]}); "
            "do hosts and access point run the same version?"
        )
    return fingerprint


def rebuild(directory: RunDirectory, config: RunConfig, results: list[j.Result]) -> Replica:
    """The model after ``results``: initial weights and journal, nothing else."""
    learner = config.experiment.learner
    replica = Replica.load(config.experiment.model, direction=learner.direction, num_threads=learner.num_threads)
    replica.load_weights(directory.initial_weights)
    replay(replica, ((r.seed, r.coefficients) for r in results if r.coefficients))
    return replica


def summarise(
    session: Session,
    *,
    stopped: str,
    payload_symbols: int,
    final_fingerprint: str | None,
    privacy: str,
    epsilon: float | None,
    rho: float | None,
    wall_s: float,
) -> Summary:
    """summary.json from the rounds so far."""
    config, records = session.config, session.records
    initial = session.info.initial_evaluation
    metrics = [record.metric for record in records if record.metric is not None]
    used = [record for record in records if record.status in ("ok", "retried")]
    bits = [record.uplink_bits_per_device for record in records]
    return Summary(
        name=config.experiment.name,
        scheme=config.experiment.scheme.name,
        air_level=config.rig.air.level,
        csi=config.rig.air.csi,
        schedule=config.experiment.schedule.name,
        num_devices=config.rig.num_devices,
        num_parameters=session.info.num_parameters,
        seed=config.experiment.seed,
        rounds_ok=len(used),
        rounds_total=len(records),
        rounds_asked=config.experiment.rounds.num,
        metric_name=template_of(config.experiment.task).metric,
        metric_initial=initial.metric if initial else None,
        metric_final=math.fsum(metrics[-3:]) / len(metrics[-3:]) if metrics else None,
        metric_last=metrics[-1] if metrics else None,
        num_test=initial.num_examples if initial else None,
        nmse_db_median=median(record.nmse_db for record in used),
        nmse_db_pooled=pooled_nmse_db(used),
        symbol_snr_db_median=median(record.symbol_snr_db for record in used),
        airtime_s=math.fsum(record.airtime_s for record in records),
        payload_symbols_per_round=payload_symbols,
        uplink_bits_per_device=None if None in bits else sum(b for b in bits if b is not None),
        wall_s=wall_s,
        learner_s=math.fsum(record.learner_s for record in records),
        radio_s=math.fsum(record.radio_s for record in records),
        control_s=math.fsum(record.control_s for record in records),
        ground_truth=config.experiment.ground_truth,
        privacy=privacy,
        rho_spent=rho,
        epsilon_spent=epsilon,
        dp_delta=config.experiment.privacy.dp_delta,
        stopped=stopped,
        final_fingerprint=final_fingerprint,
    )
