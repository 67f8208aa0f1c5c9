"""A run from its first Hello to its report: the access point's side, whatever the hosts and the air are.

Everything that the rounds decide is in journal.bin first; rounds.jsonl, summary.json and the report follow from it.
"""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Callable, Sequence
from typing import Protocol

import msgspec

from learner.zo.replica import Replica
from radio.air.medium import Medium
from radio.backends.base import Radio
from radio.link.access_point import AccessPointLink
from radio.link.memory import ReceiverMemory
from radio.records import Plan
from testbed.bench.rig import access_point_radio, scheme_of
from testbed.config.schema import RunConfig
from testbed.control import messages as m
from testbed.control.polls import Polls
from testbed.control.roster import PATIENCE_S, InterruptedRunError, Roster
from testbed.control.transport import ServerEnd
from testbed.errors import (
    CrashError,
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
from testbed.results.records import RoundRecord, RunInfo, Summary
from testbed.results.words import INTERRUPTED, listed, ranges
from testbed.rounds import budget
from testbed.rounds.attempt import Transmitter
from testbed.rounds.carriers import CarrierCorrection
from testbed.rounds.evaluations import early_end, initial_evaluation, is_due, keep_best, with_evaluation
from testbed.rounds.office import RunOffice
from testbed.rounds.round import AccessPoint, Round
from testbed.rounds.session import Session
from testbed.rounds.summary import summarise
from testbed.rounds.verification import Live, Verification, failed, verify

LAST_HOSTS_S = 10.0
"""How long a run that was cut off behind its last round waits for hosts that are still there."""
_MAX_REASON = 4_000


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
    server: ServerEnd[m.ControlMessage],
    office: RunOffice,
    medium: Medium | None,
    progress: Progress,
    should_stop: Callable[[], bool] = lambda: False,
    check: Callable[[], None] = lambda: None,
    rebuild: Callable[[Session], Replica] = Session.rebuild,
) -> Summary:
    """Play the rounds that are left and write the results, but for the report; returns the summary.

    Stops early, with everything written, when ``should_stop`` or the privacy budget says so. ``check`` is asked while
    waiting, and raises what has gone wrong elsewhere; ``rebuild`` makes the weights that the journal leads to. Raises
    TestbedError when the run cannot go on; the run directory can then be resumed. What nobody expected becomes a
    CrashError, with its traceback in a file there.
    """
    config = session.config
    terms = terms_of(config)
    records = session.journal.records
    ledger = Ledger(session.journal, terms, past=records, on_charged=lambda: budget.count(config, records))
    roster = Roster(
        server=server,
        num_devices=config.rig.num_devices,
        office=office,
        should_stop=should_stop,
        check=check,
        join_timeout_s=config.rig.control.join_timeout_s,
    )
    started = time.perf_counter() - math.fsum(record.wall_s for record in session.records)
    try:
        with access_point_radio(config, medium) as radio:
            link = _link(config, radio, medium, session.memory)
            access_point = access_point_of(session, roster, link, terms, ledger, rebuild)
            stopped = _until_the_end(session, access_point, progress, should_stop)
            verification = _finish(session, roster, stopped, rebuild)
        summary = summarise(
            config,
            session.info,
            session.records,
            stopped=stopped,
            payload_symbols=scheme_of(config).payload_symbols(
                config.experiment.learner.num_queries, config.rig.num_devices
            ),
            verification=verification,
            ledger=ledger,
            wall_s=time.perf_counter() - started,
            caution=session.caution,
        )
        session.directory.write_json(session.directory.summary, summary)
        session.journal.check_place()
    except CrashError as err:
        _fail(session, roster, str(err))
        raise _kept(session, err) from err
    except EXPECTED as err:
        _fail(session, roster, str(err))
        raise
    except Exception as err:
        _fail(session, roster, in_one_line(err))
        crash = CrashError(f"access point: {in_one_line(err)}", trace=traceback_of(err))
        raise _kept(session, crash) from err
    except BaseException:
        _let_go(session, roster, "it was stopped at once")
        raise
    return summary


def _let_go(session: Session, roster: Roster, cause: str) -> None:
    """Let the hosts go, who need not say Goodbye."""
    reason = f"the run failed: {cause}"[:_MAX_REASON]
    roster.tell(m.Finish(reason=reason, failed=True, next_round=session.next_round), everybody=True)


def _fail(session: Session, roster: Roster, cause: str) -> None:
    """Let the hosts go, and say in run.json why the run could not go on; where that cannot be written, the cause is
    still what is said."""
    _let_go(session, roster, cause)
    session.info = failed(session.info, cause)
    with contextlib.suppress(RunDirectoryError):
        session.directory.write_json(session.directory.info, session.info)


def _kept(session: Session, crash: CrashError) -> CrashError:
    """The crash with its traceback in a file; where that cannot be written, the cause is still what is said."""
    try:
        return crash.kept_in(session.directory.keep_traceback(crash.trace))
    except RunDirectoryError as err:
        return crash.kept_in(f"no file ({err})")


def access_point_of(
    session: Session,
    roster: Roster,
    link: AccessPointLink,
    terms: Terms,
    ledger: Ledger,
    rebuild: Callable[[Session], Replica] = Session.rebuild,
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
        truth=lambda: rebuild(session).fingerprint(),
    )
    return AccessPoint(
        config=config,
        roster=roster,
        transmitter=transmitter,
        updater=Updater.after(config.experiment, session.records),
        journal=session.journal,
        ledger=ledger,
        terms=terms,
        is_one_process=roster.office.is_one_process,
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


def _until_the_end(
    session: Session,
    access_point: AccessPoint,
    progress: Progress,
    should_stop: Callable[[], bool],
) -> str:
    """The rounds; returns why they ended."""
    try:
        _wait_for_devices(session, access_point, progress)
        return _play(session, access_point, progress, should_stop)
    except BudgetSpentError as err:
        return str(err)
    except InterruptedRunError:
        return INTERRUPTED


def _wait_for_devices(session: Session, access_point: AccessPoint, progress: Progress) -> None:
    roster, control = access_point.roster, session.config.rig.control
    everybody = session.config.rig.num_devices
    if session.next_round >= session.config.experiment.rounds.num:  # all that is left is the end, which hosts may know
        roster.wait_for(everybody, min(LAST_HOSTS_S, control.join_timeout_s), progress.waiting)
    elif not roster.wait_for(everybody, control.join_timeout_s, progress.waiting) and (
        len(roster.served) < access_point.transmitter.quorum
    ):
        raise PeerTimeoutError(
            f"{listed(roster.missing)}: not joined in {control.join_timeout_s:g} s{roster.why_missing()}; start "
            f"`testbed device --devices {ranges(roster.missing, ',')}`, or raise control.join_timeout_s"
        )
    untouched = session.info.initial_evaluation is None and session.next_round == 0
    if untouched and (evaluated := access_point.evaluate(-1)) is not None:
        initial = initial_evaluation(evaluated, session.config.experiment.task)
        session.info = msgspec.structs.replace(session.info, initial_evaluation=initial)
        session.directory.write_json(session.directory.info, session.info)
    _evaluate_again(session, access_point)
    progress.started(session.info, session.next_round, session.config.experiment.rounds.num)


def _play(
    session: Session,
    access_point: AccessPoint,
    progress: Progress,
    should_stop: Callable[[], bool],
) -> str:
    rounds = session.config.experiment.rounds
    num_before = len(session.records)
    for round_index in range(session.next_round, rounds.num):
        if should_stop():
            return INTERRUPTED
        if (ended := early_end(session.config.experiment, session.records)) is not None:
            return ended
        played = access_point.play(round_index)
        record = played.record
        _show_capture(session, played, access_point.transmitter.link)
        if is_recorded(round_index, eval_every=rounds.eval_every):
            record = _keep_capture(session, played, access_point.transmitter.link)
        interrupted = False
        if is_due(rounds, round_index):
            try:
                record = with_evaluation(record, access_point.evaluate(record.round))
            except InterruptedRunError:
                interrupted = True
        session.directory.append_round(record)
        session.records.append(record)
        progress.round_done(record)
        if interrupted:
            return INTERRUPTED
        skipped = rounds_skipped_in_a_row(session.records[num_before:])
        if skipped >= rounds.max_skipped_in_a_row:
            raise StalledRunError(
                f"round {round_index + 1}: {skipped} rounds in a row were skipped (rounds.max_skipped_in_a_row = "
                f"{rounds.max_skipped_in_a_row}), the last one because of {record.reason}; mend that and continue "
                f"with --resume {session.directory.path}"
            )
    return "done"


def _evaluate_again(session: Session, access_point: AccessPoint) -> None:
    """Evaluate the last round, where the run was cut off before that was on disk."""
    last = session.records[-1] if session.records else None
    if last is None or last.metric is not None or not is_due(session.config.experiment.rounds, last.round):
        return
    session.records[-1] = with_evaluation(last, access_point.evaluate(last.round))
    session.directory.rewrite_rounds(session.records)


def _show_capture(session: Session, played: Round, link: AccessPointLink) -> None:
    """Let whoever watches see what a round received, if anything."""
    plan, reception = played.plan, played.reception
    if session.live is not None and plan is not None and reception is not None:
        session.live.offer(reception.captured, lambda: _about(session, played.record, plan, link))


def _about(session: Session, record: RoundRecord, plan: Plan, link: AccessPointLink) -> CaptureInfo:
    return CaptureInfo(
        round=record.round,
        attempt=record.attempt,
        scheme=record.scheme,
        run_id=session.info.run_id,
        rig=session.config.rig,
        plan=plan,
        parts=link.parts(plan),
    )


def _keep_capture(session: Session, played: Round, link: AccessPointLink) -> RoundRecord:
    """Record what a round received, if anything, within what captures may take of the disk."""
    record, plan, reception = played.record, played.plan, played.reception
    if plan is None or reception is None or not reception.captured:
        return record
    info = _about(session, record, plan, link)
    max_bytes = session.config.experiment.results.max_capture_mib * 2**20
    kept = save_capture(session.directory.captures, reception.captured, info, max_bytes=max_bytes)
    return msgspec.structs.replace(record, capture="kept" if kept else "left out")


def _finish(session: Session, roster: Roster, stopped: str, rebuild: Callable[[Session], Replica]) -> Verification:
    """Dismiss the hosts, rebuild the weights from the journal, and see which hosts hold the very same.

    Raises DivergenceError, with everything written, if one holds others.
    """
    roster.admit()
    for seat in [seat for seat in roster.seats if seat.state == "loading"]:
        roster.drop(seat, "the run is over", refuse=True)
    everybody = set(range(session.config.rig.num_devices))
    unheard = dict.fromkeys(everybody - set(roster.served), "they had no host at the end")
    patience_s = PATIENCE_S if stopped == INTERRUPTED else session.config.rig.control.learner_timeout_s
    answers = roster.ask(
        roster.seated,
        m.Finish(reason=stopped[:_MAX_REASON], failed=False, next_round=session.next_round),
        m.Goodbye,
        patience_s,
        what="goodbye",
        heeds_stop=False,
    )
    roster.farewell(answers.of)
    unheard |= {device: loss.reason for loss in answers.losses for device in loss.devices}
    live = [
        Live(devices=seat.devices, next_round=bye.next_round, fingerprint=bye.fingerprint)
        for seat, bye in answers.of.items()
    ]
    rebuilt = rebuild(session)
    session.directory.write_with(session.directory.final_weights, rebuilt.save_weights)
    verification = verify(
        rebuilt.fingerprint(),
        live,
        num_devices=session.config.rig.num_devices,
        num_rounds=session.next_round,
        unheard=unheard,
    )
    session.info = verification.ended(session.info)
    session.directory.write_json(session.directory.info, session.info)
    verification.check()
    del rebuilt  # of a large model there is room for one
    keep_best(session)
    return verification
