"""Resumes a damaged run as its user would, and says whether its ledger has forgotten anything."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias

from benchmarks.faults.histories import Truth
from testbed.failures import EXPECTED
from testbed.planning.ledger import Ledger
from testbed.planning.terms import Terms, terms_of
from testbed.results import journal as j
from testbed.rounds.resume import resume
from testbed.rounds.session import Session

ROUNDING = 1e-9
Outcome: TypeAlias = Literal["refused", "crashed", "resumed", "refund"]


@dataclass(frozen=True, slots=True)
class Verdict:
    """What came of a run that was damaged and resumed."""

    outcome: Outcome
    """``crashed``: refused by an exception that nobody expected"""
    why: str


def judged(path: Path, truth: Truth) -> Verdict:
    """Resume this run directory, and once more, and compare what each ledger knows with what there was to know."""
    for time in ("", "the second time: "):
        try:
            session = resume(path)
        except EXPECTED as err:
            return Verdict("refused", f"{time}{err}")
        except Exception as err:  # noqa: BLE001 - whatever it is, nothing has been sent, and it is told
            return Verdict("crashed", f"{time}{type(err).__name__}: {err}")
        with session.journal:
            if forgotten := forgotten_by(session, truth):
                return Verdict("refund", f"{time}{forgotten}")
    return Verdict("resumed", "")


def forgotten_by(session: Session, truth: Truth) -> str | None:
    """What an open session has forgotten or takes back; None if that is nothing."""
    terms = terms_of(session.config)
    ledger, known = Ledger(session.journal, terms, past=session.journal.records), truth.ledger()
    charged = [record for record in session.journal.records if isinstance(record, j.Spent)]
    if missing := [spent for spent in truth.spent if spent not in charged]:
        return f"{len(missing)} of {len(truth.spent)} charges are not counted, the first of round {missing[0].round}"
    if known.unbounded and not ledger.unbounded:
        return "that something without a bound was sent is forgotten"
    if not ledger.rho >= known.rho * (1 - ROUNDING):
        return f"the ledger counts rho {ledger.rho:.6g} of {known.rho:.6g}"
    if not ledger.cost >= known.cost * (1 - ROUNDING):
        return f"the ledger counts {ledger.cost:.6g} of {known.cost:.6g} ({terms.accountant.words})"
    if session.next_round < truth.next_round:
        return f"round {session.next_round} would be sent again; the next is {truth.next_round}"
    if truth.void and ledger.void is None:
        return "what was sent under void terms is claimed"
    if changed := [name for name, was, now in _promises(truth.terms, terms) if was != now]:
        return f"promises another {', '.join(changed)} than it began with"
    return None


def _promises(began: Terms, now: Terms) -> list[tuple[str, object, object]]:
    """All that a claim rests on, but for what more rounds change; of a run without a budget, that it has none."""
    limit = ("limit", _limit(began), _limit(now))
    if not began.enforced:
        return [limit]
    return [
        limit,
        ("accountant", began.accountant.words, now.accountant.words),
        ("delta", began.dp_delta, now.dp_delta),
        ("sensitivity", began.sensitivity, now.sensitivity),
        ("clip", began.clip, now.clip),
        ("crediting", began.crediting, now.crediting),
        ("guarantee", began.guarantee, now.guarantee),
    ]


def _limit(terms: Terms) -> float | None:
    return terms.accountant.limit if terms.enforced else None
