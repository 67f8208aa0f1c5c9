"""Runs to be damaged: what is on disk after each step of a run, and what had by then been charged and sent.

Most are played here, with the real session, journal, ledger and results of a run, and no model, host or air: what is
charged is drawn. One is a real run.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from benchmarks.faults.disk import Disk, Image, image_of, writing_to
from learner.zo.replica import Replica
from testbed.bench.rig import resolve
from testbed.config.files import load
from testbed.config.schema import RunConfig
from testbed.planning.ledger import BudgetSpentError, Ledger
from testbed.planning.terms import Terms, terms_of
from testbed.results import journal as j
from testbed.results.records import RoundRecord
from testbed.rounds.loop import Quiet
from testbed.rounds.processes import run_in_one_process
from testbed.rounds.round import round_seed
from testbed.rounds.session import Session, begin
from testbed.rounds.summary import summarise
from testbed.rounds.verification import Verification

SETTINGS = (
    ("schedule.name=static", "ground_truth=false"),
    ("schedule.name=static", "ground_truth=false", "air.csi=estimated", "privacy.dp_epsilon=1"),
    ("schedule.name=online", "ground_truth=false"),
    ("schedule.name=static", "ground_truth=false", "privacy.accountant=zcdp", "scheme.name=digital"),
    ("schedule.name=static", "ground_truth=true"),
    ("schedule.name=full", "ground_truth=false", "scheme.name=digital"),
)
"""Budgets of two accountants, trusted receivers and none, a claim that is void from the start, and no budget at all."""
REAL = ("schedule.name=static", "ground_truth=false", "air.level=symbol", "task.num_test=8", "rounds.eval_every=100")
NUM_ROUNDS = 12
_FATES: tuple[j.Status, ...] = ("ok", "retried", "skipped", "silent")


@dataclass(frozen=True, slots=True)
class Truth:
    """What no later session of a run may forget."""

    terms: Terms
    """as the run began with"""
    spent: tuple[j.Spent, ...] = ()
    """what was on disk when the transmission was allowed"""
    next_round: int = 0
    """the first that has neither been sent nor got a result"""
    void: bool = False
    """whether something was sent under terms that were void"""

    def ledger(self) -> Ledger:
        """The ledger of somebody who saw everything."""
        return Ledger(None, self.terms, self.spent)


@dataclass(frozen=True, slots=True)
class State:
    """A run directory at one moment."""

    image: Image
    truth: Truth


@dataclass(frozen=True, slots=True)
class History:
    """One run's directory from step to step; at each state a process may have been killed."""

    config: RunConfig
    states: list[State] = field(default_factory=list)

    @property
    def journal_ends(self) -> list[int]:
        """Where records of the last state's journal may end, bytes: it only grows."""
        return sorted({len(state.image["journal.bin"]) for state in self.states})


class Nameless(Replica):
    """A model of a few bytes."""

    num_parameters = 3

    def __init__(self) -> None:
        """Nothing to make."""

    def fingerprint(self) -> str:
        """Of no weights."""
        return "f" * 64

    def save_weights(self, path: Path) -> None:
        """A few bytes."""
        path.write_bytes(b"weights")


class Player:
    """Plays rounds of an open session as the access point does, as far as its files are concerned."""

    def __init__(self, session: Session, truth: Truth, rng: np.random.Generator) -> None:
        self.session, self.truth, self._rng = session, truth, rng
        self._terms = terms_of(session.config)
        self._ledger = Ledger(session.journal, self._terms, past=session.journal.records)

    def play(self, num_rounds: int, seen: Callable[[], None] = lambda: None) -> None:
        """So many rounds, fewer where the budget ends; ``seen`` is called after each step."""
        for round_index in range(self.session.next_round, self.session.next_round + num_rounds):
            try:
                self._round(round_index, seen)
            except BudgetSpentError:
                return

    def finish(self) -> None:
        """Write summary.json."""
        summary = summarise(
            self.session.config, self.session.info, self.session.records, stopped="done", payload_symbols=1,
            verification=Verification(fingerprint="f" * 64), ledger=self._ledger, wall_s=0.0,
        )  # fmt: skip
        self.session.directory.write_json(self.session.directory.summary, summary)

    def _round(self, round_index: int, seen: Callable[[], None]) -> None:
        fate = _FATES[int(self._rng.choice(4, p=[0.5, 0.25, 0.15, 0.1]))]
        num_attempts = {"silent": 0, "retried": 2}.get(fate, 1)
        for attempt in range(1, num_attempts + 1):
            self._send(round_index, attempt)
            seen()
        used = (float(np.float32(self._rng.normal())),) if fate in ("ok", "retried") else ()
        seed = round_seed(self.session.config.experiment.seed, round_index)
        num_sent = max(1, num_attempts)
        self.session.journal.append(
            j.Result(round=round_index, attempt=num_sent, status=fate, seed=seed, estimates=used, coefficients=used)
        )
        self.truth = replace(self.truth, next_round=round_index + 1)
        seen()
        sent = [spent.rho for spent in self.truth.spent if spent.round == round_index]
        record = RoundRecord(
            round=round_index, attempt=num_sent, status=fate, seed=seed, estimate=used or None,
            scheme=self.session.config.experiment.scheme.name, rho_spent=_sum(sent),
            epsilon_spent=self._ledger.epsilon,
        )  # fmt: skip
        self.session.directory.append_round(record)
        self.session.records.append(record)
        seen()

    def _send(self, round_index: int, attempt: int) -> None:
        rho: float | None
        if self._terms.enforced:
            asked = self._terms.accountant.limit * self._rng.uniform(0.005, 0.1)
            rho = self._ledger.affordable(round_index, asked)
        else:
            rho = None if self._rng.random() < 0.5 else self._rng.uniform(0.001, 0.1)
        self._ledger.charge(round_index, attempt, rho)
        charged = self.session.journal.records[-1]
        assert isinstance(charged, j.Spent)
        void = self.truth.void or self._terms.void is not None
        self.truth = replace(self.truth, spent=(*self.truth.spent, charged), next_round=round_index + 1, void=void)


def resolved(settings: Sequence[str]) -> RunConfig:
    """The configuration of a small run."""
    return resolve(load(None, None, ["num_devices=2", f"rounds.num={NUM_ROUNDS}", *settings]))


def begun(config: RunConfig, folder: Path) -> Session:
    """A real beginning, of a model that is a few bytes."""
    return begin(config, folder, Nameless())


def drawn(settings: Sequence[str], folder: Path, rng: np.random.Generator) -> History:
    """A run that is played here, and in half of the cases to its end."""
    config = resolved(settings)
    history = History(config)
    with writing_to(Disk(folder, rng)):
        session = begun(config, folder)
        with session.journal:
            player = Player(session, Truth(terms_of(config)), rng)

            def see() -> None:
                history.states.append(State(image_of(folder), player.truth))

            see()
            ends = bool(rng.random() < 0.5)
            player.play(NUM_ROUNDS if ends else int(rng.integers(1, NUM_ROUNDS)), see)
            if ends:
                player.finish()
                see()
    return history


def real(folder: Path) -> History:
    """A run of the real thing in one process, seen after each round and at its end."""
    config = resolve(load(None, None, [*REAL, "num_devices=2", "rounds.num=6"]))
    history = History(config)
    terms = terms_of(config)

    def see() -> None:
        records = j.read(folder / "journal.bin")
        spent = tuple(record for record in records if isinstance(record, j.Spent))
        results = [record.round for record in records if isinstance(record, j.Result)]
        truth = Truth(terms, spent, next_round=max(results, default=-1) + 1)
        history.states.append(State(image_of(folder), truth))

    class Watching(Quiet):
        """Looks at the directory after each round."""

        def round_done(self, record: RoundRecord) -> None:
            see()

    run_in_one_process(config, out=folder, progress=Watching())
    see()
    return history


def _sum(rhos: Iterable[float | None]) -> float | None:
    """None where one of them is."""
    known = list(rhos)
    return None if None in known else math.fsum(rho for rho in known if rho is not None)
