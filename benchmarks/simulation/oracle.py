"""What must hold in every history, whatever has failed: checked while it happens, and when it is over."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from benchmarks.simulation.learner import Chain
from benchmarks.simulation.setting import Setting
from testbed.errors import JournalError
from testbed.results import journal as j
from testbed.results.directory import RunDirectory
from testbed.results.records import RoundRecord
from testbed.rounds.round import round_seed


@dataclass(slots=True)
class Oracle:
    """Who sees everything."""

    setting: Setting
    sent: set[tuple[int, int, int]] = field(default_factory=set)
    """Round, attempt and device of every payload that was radiated."""
    hosts: list[tuple[str, Chain]] = field(default_factory=list)
    """The weights of every host that ever was."""
    records: list[j.AnyRecord] = field(default_factory=list)
    """Of the journal, when it was read last."""
    faults: list[str] = field(default_factory=list)
    num_compared: int = 0
    """Rounds that were the same as where nothing went wrong."""

    def must(self, holds: bool, what: str) -> None:
        """Write down what does not hold."""
        if not holds:
            self.faults.append(what)

    # ---- while it happens

    def radiates(self, charged: Sequence[j.AnyRecord], round_index: int, attempt: int, device: int) -> None:
        """A payload begins: it is charged by now, and sent once."""
        key = (round_index, attempt)
        paid = any(
            isinstance(record, j.Spent) and (record.round, record.attempt) == key for record in reversed(charged)
        )
        where = f"round {round_index}, attempt {attempt}, device {device}"
        self.must(paid, f"{where}: radiated, and not charged")
        self.must((*key, device) not in self.sent, f"{where}: radiated twice")
        self.sent.add((*key, device))

    def opened(self, records: Sequence[j.AnyRecord]) -> None:
        """A journal was opened: what it held is still there."""
        known = self.records
        kept = list(records[: len(known)])
        self.must(
            msgspec.msgpack.encode(kept) == msgspec.msgpack.encode(known),
            "the journal has lost or changed a record that was acted on",
        )
        self.records = list(records)

    def stopped(self, records: Sequence[j.AnyRecord], num_acted_on: int) -> None:
        """The access point is gone: so many records it had acted on."""
        self.records = list(records[:num_acted_on])

    # ---- when it is over

    def judge(self, path: Path, plain: Sequence[j.Result] | None) -> None:
        """The whole run, whose last summary is written; ``plain`` is the same one where nothing went wrong."""
        try:
            records = j.read(path / "journal.bin")
        except JournalError as err:
            self.faults.append(str(err))
            return
        self.opened(records)
        results = [record for record in records if isinstance(record, j.Result)]
        num_rounds = self.setting.config.experiment.rounds.num
        self.must([r.round for r in results] == list(range(len(results))), "the journal's rounds are not in order")
        seed = self.setting.config.experiment.seed
        self.must(all(r.seed == round_seed(seed, r.round) for r in results), "a round has another seed")
        directory = RunDirectory(path)
        summary, info = directory.read_summary(), directory.read_info()
        assert summary is not None
        if summary.stopped == "done":
            self.must(len(results) == num_rounds, f"done, with {len(results)} of {num_rounds} rounds")
        self.must(summary.rounds_total == len(results), "the summary counts other rounds than the journal")
        states = self._states(results)
        for place, chain in self.hosts:
            self.must(
                chain.states == states[: len(chain.states)],
                f"{place}: its weights are none that the journal leads to",
            )
        self.must(info.rebuilt_fingerprint == states[-1], "the rebuilt weights are not the journal's")
        charged = {(r.round, r.attempt) for r in records if isinstance(r, j.Spent)}
        unpaid = {(round_index, attempt) for round_index, attempt, _ in self.sent} - charged
        self.must(not unpaid, f"radiated and not in the ledger: {sorted(unpaid)}")
        rounds = directory.read_rounds()
        self.must(
            [(r.round, r.status, r.seed, r.estimate or ()) for r in rounds]
            == [(r.round, r.status, r.seed, r.estimates) for r in results],
            "rounds.jsonl and the journal differ",
        )
        if plain is not None:
            self._compare(results, rounds, plain)
        if self.setting.is_faultless:
            used = all(r.status in ("ok", "retried") for r in results)
            self.must(used, f"without a fault, rounds came to {[r.status for r in results]}")
            everybody = tuple(range(self.setting.config.rig.num_devices))
            self.must(info.verified_devices == everybody, f"without a fault: {info.not_verified}")

    def _compare(self, results: Sequence[j.Result], rounds: Sequence[RoundRecord], plain: Sequence[j.Result]) -> None:
        """A run is the plain one, bit for bit, up to the first round that did not go as there."""
        needs_all = self.setting.config.experiment.rounds.min_devices == self.setting.config.rig.num_devices
        for result, record, expected in zip(results, rounds, plain, strict=False):
            if (result.status, result.attempt) != (expected.status, expected.attempt):
                return
            if not needs_all and (record.absent or record.reason is not None):
                return
            if _encoded(result) != _encoded(expected):
                self.faults.append(f"round {result.round} is another than in the run where nothing went wrong")
                return
            self.num_compared += 1

    @staticmethod
    def _states(results: Sequence[j.Result]) -> list[str]:
        """Weights before and after every update."""
        chain = Chain()
        chain.replay(update for r in results for update in r.updates)
        return chain.states


def _encoded(result: j.Result) -> bytes:
    """All of it, as it stands in the journal."""
    return msgspec.msgpack.encode(result)
