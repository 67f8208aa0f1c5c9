"""A round at the access point: up to so many attempts, the result on disk, the announcement."""

from __future__ import annotations

import hashlib
import logging
import math
import time
from dataclasses import dataclass

import numpy as np

from radio.link.reception import Reception
from radio.records import Plan
from testbed.config.schema import RunConfig
from testbed.control import messages as m
from testbed.control.roster import Roster
from testbed.optimisers.updates import Updater
from testbed.planning.ledger import Ledger
from testbed.planning.terms import Terms
from testbed.results.journal import Journal, Result, Status
from testbed.results.records import RoundRecord
from testbed.results.statistics import nmse_db
from testbed.rounds.attempt import Attempt, Transmitter

log = logging.getLogger(__name__)
_EVALUATION_ATTEMPTS = 3
_SAME = 0.01
"""Relative difference of losses and metrics within which two processors agree."""


def round_seed(run_seed: int, round_index: int) -> int:
    """The public seed of one round's directions, 63 bits."""
    digest = hashlib.sha256(f"airzero round {run_seed} {round_index}".encode()).digest()
    return int.from_bytes(digest[:8], "little") >> 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Round:
    """What a round came to."""

    record: RoundRecord
    plan: Plan | None = None
    """The last attempt's; None if it came to none."""
    reception: Reception | None = None
    """What that attempt received; None if nothing."""


@dataclass(frozen=True, slots=True)
class Evaluation:
    """What hosts say of the current weights."""

    said: m.Evaluated
    num_hosts: int
    """How many said the same; 0 where two came to different results."""
    is_here: bool = False
    """Whether this very process was the host."""


def _agree(one: m.Evaluated, other: m.Evaluated) -> bool:
    """Whether two hosts mean the same weights and examples; arithmetic may differ between their processors."""
    return one.num_examples == other.num_examples and all(
        math.isclose(a, b, rel_tol=_SAME, abs_tol=_SAME) or (not math.isfinite(a) and not math.isfinite(b))
        for a, b in (
            (one.loss, other.loss),
            (one.metric, other.metric),
            (one.validation_loss or 0.0, other.validation_loss or 0.0),
        )
    )


def verdict(attempts: list[Attempt]) -> tuple[Status, str | None]:
    """What a round is called after these attempts, and why it is not simply `ok`."""
    last = attempts[-1]
    reasons = [attempt.reason for attempt in attempts if attempt.reason is not None]
    reason = reasons[-1] if reasons else None
    if last.accepted is not None:
        return ("ok" if len(attempts) == 1 else "retried"), reason
    if last.is_silent:
        return "silent", reason
    return ("skipped" if last.reception is None else "rejected"), reason


@dataclass(frozen=True, slots=True, kw_only=True)
class AccessPoint:
    """Plays rounds with the hosts of a roster; decides nothing that is not on disk."""

    config: RunConfig
    roster: Roster
    transmitter: Transmitter
    updater: Updater
    journal: Journal
    ledger: Ledger
    terms: Terms
    is_one_process: bool = False
    """Whether the only host is this process."""

    def play(self, round_index: int) -> Round:
        """One round: up to ``max_attempts`` transmissions, then the result on disk, then the announcement.

        Raises BudgetSpentError before a transmission that the budget does not cover.
        """
        started = time.perf_counter()
        seed = round_seed(self.config.experiment.seed, round_index)
        attempts = self._attempts(round_index, seed)
        status, reason = verdict(attempts)
        last = attempts[-1]
        accepted = last.accepted
        estimate = tuple(float(v) for v in accepted.values) if accepted is not None else ()
        own, *earlier = (
            self.updater.updates(round_index, seed, estimate, accepted.error_variance)
            if accepted is not None
            else ((seed, ()),)
        )
        self.journal.append(
            Result(
                round=round_index,
                attempt=len(attempts),
                status=status,
                seed=seed,
                estimates=estimate,
                coefficients=own[1],
                earlier=tuple(earlier),
                error_std=math.sqrt(accepted.error_variance[0]) if accepted is not None else None,
                told=tuple(attempt.told for attempt in attempts if attempt.told is not None),
                memory=self.transmitter.link.memory(),
            )
        )
        self.roster.tell(
            m.RoundResult(
                round=round_index,
                seed=seed,
                status=status,
                coefficients=own[1],
                fingerprint=last.fingerprint,
                earlier=tuple(earlier),
            )
        )
        record = self._record(round_index, seed, status, reason, attempts, time.perf_counter() - started)
        return Round(record=record, plan=last.plan, reception=last.reception)

    def evaluate(self, round_index: int) -> Evaluation | None:
        """Loss and metric of the current weights; two hosts evaluate where there are two, and must agree.

        None if nobody answers.
        """
        for _ in range(_EVALUATION_ATTEMPTS):
            self.roster.admit()
            seated = self.roster.seated
            answers = self.roster.ask(
                [*seated[:1], *seated[1:][-1:]],
                m.Evaluate(round=round_index),
                m.Evaluated,
                self.config.rig.control.learner_timeout_s,
                what="evaluation",
                accept=lambda answer: answer.round == round_index,
            )
            if answers.of:
                first, *others = answers.of.values()
                agree = all(_agree(first, other) for other in others)
                if not agree:
                    log.warning("evaluation after round %d: two hosts came to %s and %s", round_index, first, others[0])
                return Evaluation(first, num_hosts=len(answers.of) if agree else 0, is_here=self.is_one_process)
            for loss in answers.losses:
                log.warning("evaluation after round %d: %s", round_index, loss)
        return None

    def _attempts(self, round_index: int, seed: int) -> list[Attempt]:
        """Attempts until one may be used, or the plan is silence, or there were enough."""
        attempts: list[Attempt] = []
        for attempt in range(1, self.config.experiment.rounds.max_attempts + 1):
            before = attempts[-1].radiated if attempts else None
            played = self.transmitter.play(round_index, attempt, seed, before)
            attempts.append(played)
            if played.accepted is not None or played.is_silent:
                break
            log.warning("round %d, attempt %d: %s", round_index + 1, attempt, played.reason)
            self.transmitter.link.starts.forget()
        return attempts

    def _record(
        self,
        round_index: int,
        seed: int,
        status: Status,
        reason: str | None,
        attempts: list[Attempt],
        wall_s: float,
    ) -> RoundRecord:
        last = attempts[-1]
        scheme, plan, accepted = self.transmitter.scheme, last.plan, last.accepted
        received = last.reception.estimate if last.reception is not None else None
        estimate = tuple(float(v) for v in accepted.values) if accepted is not None else None
        true_mean = self._true_mean(last)
        losses = [loss for ready in last.ready for loss in (ready.losses or {}).values()]
        radio_s, learner_s = sum(a.radio_s for a in attempts), sum(a.learner_s for a in attempts)
        rhos = [a.rho for a in attempts if a.plan is not None]
        symbols = last.reception.symbols if last.reception is not None else ()
        return RoundRecord(
            round=round_index,
            seed=seed,
            scheme=scheme.name,
            status=status,
            attempt=len(attempts),
            reason=reason,
            absent=last.absent,
            estimate=estimate,
            true_mean=true_mean,
            nmse_db=nmse_db(estimate, true_mean) if estimate and true_mean else None,
            predicted_error_std=math.sqrt(accepted.error_variance[0]) if accepted is not None else None,
            symbol_snr_db=received.symbol_snr_db if received and math.isfinite(received.symbol_snr_db) else None,
            gain=plan.gain if plan and scheme.superposed else None,
            artificial_noise_std=plan.artificial_noise_std if plan else 0.0,
            rho_spent=None if None in rhos else math.fsum(r for r in rhos if r is not None),
            epsilon_spent=self.ledger.epsilon if self.terms.void is None else None,
            received=tuple((float(y.real), float(y.imag)) for y in symbols) or None,
            loss=float(np.mean(losses)) if losses else None,
            airtime_s=sum(a.airtime_s for a in attempts),
            uplink_bits_per_device=scheme.uplink_bits_per_device(self.config.experiment.learner.num_queries),
            learner_s=learner_s,
            radio_s=radio_s,
            control_s=max(0.0, wall_s - learner_s - radio_s),
            wall_s=wall_s,
        )

    def _true_mean(self, attempt: Attempt) -> tuple[float, ...] | None:
        """What a perfect reception would have estimated, where the experiment reveals it."""
        active = attempt.plan.active if attempt.plan is not None else ()
        known = attempt.true_values
        if not active or not set(active) <= set(known):
            return None
        exact = self.transmitter.scheme.reference(np.array([known[k] for k in active]))
        return tuple(float(v) for v in exact)
