"""A run from its first Hello to its report: the access point's side, whatever the hosts and the air are.

Everything that the rounds decide is in journal.bin first; rounds.jsonl, summary.json and the report follow from it.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from typing import Protocol

import msgspec

from radio.air.medium import Medium
from radio.backends.base import Radio
from radio.link.access_point import AccessPointLink
from radio.link.memory import ReceiverMemory
from radio.samples import IQ
from testbed.bench.rig import access_point_radio, scheme_of
from testbed.config.schema import RunConfig
from testbed.control import messages as m
from testbed.control.polls import Polls
from testbed.control.roster import AttemptFailedError, InterruptedRunError, Roster
from testbed.control.transport import Server
from testbed.errors import (
    CrashError,
    DivergenceError,
    JournalError,
    PeerTimeoutError,
    RunDirectoryError,
    StalledRunError,
)
from testbed.failures import EXPECTED, in_one_line, traceback_of
from testbed.optimisers.updates import Updater
from testbed.planning.ledger import BudgetSpentError, Ledger
from testbed.planning.planner import Planner
from testbed.planning.terms import Terms, terms_of
from testbed.results.recordings import CaptureInfo, is_recorded, save_capture
from testbed.results.records import InitialEvaluation, RoundRecord, RunInfo, Summary
from testbed.results.report import write_report
from testbed.rounds import budget
from testbed.rounds.attempt import Transmitter
from testbed.rounds.carriers import CarrierCorrection
from testbed.rounds.round import AccessPoint
from testbed.rounds.session import Session, rebuild
from testbed.rounds.summary import summarise

_HURRIED_S = 10.0
"""For goodbyes, when the user has asked to stop."""


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


def conduct(
    session: Session,
    *,
    server: Server[m.ControlMessage],
    medium: Medium | None,
    air_address: str,
    progress: Progress,
    should_stop: Callable[[], bool] = lambda: False,
    check: Callable[[], None] = lambda: None,
) -> Summary:
    """Play the rounds that are left and write the results; returns the summary.

    Stops early, with everything written, when ``should_stop`` or the privacy budget says so. ``check`` is asked while
    waiting, and raises what has gone wrong elsewhere. Raises TestbedError when the run cannot go on; the run directory
    can then be resumed. What nobody expected becomes a CrashError, with its traceback in a file there.
    """
    config = session.config
    terms = terms_of(config)
    records = session.journal.records
    ledger = Ledger(session.journal, terms, past=records, on_charged=lambda: budget.count(config, records))
    roster = Roster(
        server=server,
        num_devices=config.rig.num_devices,
        welcome=lambda hello: _welcome(session, air_address, hello),
        should_stop=should_stop,
        check=check,
    )
    started = time.perf_counter() - math.fsum(record.wall_s for record in session.records)
    try:
        with access_point_radio(config, medium) as radio:
            access_point = access_point_of(session, roster, _link(config, radio, medium, session.memory), terms, ledger)
            stopped = _until_the_end(session, access_point, progress, should_stop)
            fingerprint, unverified = _finish(session, roster, stopped)
        summary = summarise(
            config,
            session.info,
            session.records,
            stopped=stopped,
            payload_symbols=scheme_of(config).payload_symbols(
                config.experiment.learner.num_queries, config.rig.num_devices
            ),
            final_fingerprint=fingerprint,
            ledger=ledger,
            wall_s=time.perf_counter() - started,
            unverified=unverified,
            caution=session.caution,
        )
        session.directory.write_json(session.directory.summary, summary)
        write_report(session.directory)
        session.journal.check_place()
    except CrashError as err:
        roster.broadcast(m.Finish(reason=f"the run failed: {err}"))
        raise _kept(session, err) from err
    except EXPECTED as err:
        roster.broadcast(m.Finish(reason=f"the run failed: {err}"))
        raise
    except Exception as err:
        roster.broadcast(m.Finish(reason=f"the run failed: {in_one_line(err)}"))
        crash = CrashError(f"access point: {in_one_line(err)}", trace=traceback_of(err))
        raise _kept(session, crash) from err
    except BaseException:
        roster.broadcast(m.Finish(reason="the run was stopped at once"))
        raise
    return summary


def _kept(session: Session, crash: CrashError) -> CrashError:
    """The crash with its traceback in a file; where that cannot be written, the cause is still what is said."""
    try:
        return crash.kept_in(session.directory.keep_traceback(crash.trace))
    except RunDirectoryError as err:
        return crash.kept_in(f"no file ({err})")


def access_point_of(
    session: Session, roster: Roster, link: AccessPointLink, terms: Terms, ledger: Ledger
) -> AccessPoint:
    """The access point of a session, with everything that it decides by."""
    config = session.config
    polls = Polls(roster, config.rig.control.radio_timeout_s)
    transmitter = Transmitter(
        config=config,
        roster=roster,
        link=link,
        scheme=scheme_of(config),
        terms=terms,
        planner=Planner(config, terms, session.told),
        ledger=ledger,
        polls=polls,
        carriers=CarrierCorrection(config, roster, polls),
    )
    return AccessPoint(
        config=config,
        roster=roster,
        transmitter=transmitter,
        updater=Updater.after(config.experiment, session.records),
        journal=session.journal,
        ledger=ledger,
        terms=terms,
    )


def rounds_skipped_in_a_row(records: Sequence[RoundRecord]) -> int:
    """How many rounds at the end were skipped, for whatever reason; silence that the plan asked for is not among them,
    and does not end the row."""
    count = 0
    for record in reversed(records):
        if record.status == "skipped":
            count += 1
        elif record.status != "silent":
            break
    return count


def _link(config: RunConfig, radio: Radio, medium: Medium | None, memory: ReceiverMemory | None) -> AccessPointLink:
    scheme = scheme_of(config)
    genie = medium.truth if medium is not None and config.rig.air.csi == "genie" and scheme.needs_sounding else None
    link = AccessPointLink(
        radio,
        config.rig.radio,
        config.rig.frame,
        scheme,
        config.rig.num_devices,
        rule=config.experiment.scheme.alignment,
        genie=genie,
    )
    if memory is not None:
        link.recall(memory)
    return link


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
            for r in session.results[first:]
            if r.coefficients
        ),
    )


def _until_the_end(
    session: Session, access_point: AccessPoint, progress: Progress, should_stop: Callable[[], bool]
) -> str:
    """The rounds; returns why they ended."""
    try:
        _wait_for_devices(session, access_point, progress)
        return _play(session, access_point, progress, should_stop)
    except BudgetSpentError as err:
        return str(err)
    except InterruptedRunError:
        return "interrupted"


def _wait_for_devices(session: Session, access_point: AccessPoint, progress: Progress) -> None:
    roster, control = access_point.roster, session.config.rig.control
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
    progress.started(session.info, session.next_round, session.config.experiment.rounds.num)


def _play(session: Session, access_point: AccessPoint, progress: Progress, should_stop: Callable[[], bool]) -> str:
    rounds = session.config.experiment.rounds
    num_before = len(session.records)
    for round_index in range(session.next_round, rounds.num):
        if should_stop():
            return "interrupted"
        played = access_point.play(round_index)
        record = played.record
        is_evaluated = (round_index + 1) % rounds.eval_every == 0
        if played.capture is not None and is_recorded(round_index, eval_every=rounds.eval_every):
            record = _keep_capture(session, played.capture, record)
        if is_evaluated or round_index + 1 == rounds.num:
            record = _evaluated(access_point, record)
        session.directory.append_round(record)
        session.records.append(record)
        progress.round_done(record)
        skipped = rounds_skipped_in_a_row(session.records[num_before:])
        if skipped >= rounds.max_skipped_in_a_row:
            raise StalledRunError(
                f"round {round_index}: {skipped} rounds in a row were skipped (rounds.max_skipped_in_a_row = "
                f"{rounds.max_skipped_in_a_row}), the last one because of {record.reason}; mend that and continue "
                f"with --resume {session.directory.path}"
            )
    return "done"


def _evaluated(access_point: AccessPoint, record: RoundRecord) -> RoundRecord:
    evaluated = access_point.evaluate(record.round)
    if evaluated is None:
        return record
    return msgspec.structs.replace(record, metric=evaluated.metric, eval_loss=evaluated.loss)


def _keep_capture(session: Session, samples: IQ, record: RoundRecord) -> RoundRecord:
    """Record a round's received payload, within what captures may take of the disk."""
    radio = session.config.rig.radio
    info = CaptureInfo(
        round=record.round,
        attempt=record.attempt,
        scheme=record.scheme,
        sample_rate_hz=radio.sample_rate_hz,
        center_freq_hz=radio.center_freq_hz,
        run_id=session.info.run_id,
    )
    max_bytes = session.config.experiment.results.max_capture_mib * 2**20
    kept = save_capture(session.directory.captures, samples, info, max_bytes=max_bytes)
    return msgspec.structs.replace(record, capture="kept" if kept else "left out")


def _finish(session: Session, roster: Roster, stopped: str) -> tuple[str, str | None]:
    """Dismiss the hosts, rebuild the weights from the journal, and check that the hosts hold the very same.

    Returns the fingerprint, and what could not be checked, in words.
    """
    missing = roster.missing
    roster.broadcast(m.Finish(reason=stopped))
    peers = [peer for peer, host in roster.hosts.items() if host.joined]
    patience_s = session.config.rig.control.learner_timeout_s
    goodbyes: dict[bytes, m.Goodbye] = {}
    try:
        goodbyes = roster.collect(
            m.Goodbye, peers, min(patience_s, _HURRIED_S) if stopped == "interrupted" else patience_s, what="goodbye"
        )
        missing = sorted({*missing, *roster.missing})
        reason = f"devices {missing} have no host" if missing else None
    except AttemptFailedError as err:
        reason = err.reason
    unverified = f"the weights of hosts were not compared with the journal's at the end: {reason}" if reason else None
    live = roster.check_agreement({peer: bye.fingerprint for peer, bye in goodbyes.items()}, "end of the run")
    rebuilt = rebuild(session.directory, session.config, session.results)
    session.directory.write_with(session.directory.final_weights, rebuilt.save_weights)
    fingerprint = rebuilt.fingerprint()
    session.info = msgspec.structs.replace(session.info, final_fingerprint=live or fingerprint)
    session.directory.write_json(session.directory.info, session.info)
    if live is not None and live != fingerprint:
        raise DivergenceError(
            f"the hosts' weights ({live[:12]}) are not those of the journal ({fingerprint[:12]}); "
            "do hosts and access point run the same version?"
        )
    return fingerprint, unverified
