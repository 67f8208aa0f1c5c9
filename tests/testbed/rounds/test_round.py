"""The access point alone: rounds with fakes at its seams, and what each leaves on disk and on the wire."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from testbed.bench.rig import resolve, scheme_of
from testbed.config.files import load
from testbed.control import messages as m
from testbed.control.polls import Polls
from testbed.planning.ledger import Ledger
from testbed.planning.planner import Planner
from testbed.planning.terms import terms_of
from testbed.results import journal as j
from testbed.results.records import RoundRecord
from testbed.rounds.attempt import SILENT, Transmitter
from testbed.rounds.carriers import CarrierCorrection
from testbed.rounds.loop import rounds_skipped_in_a_row
from testbed.rounds.round import AccessPoint, round_seed
from testbed.rounds.summary import nothing_used, warnings_of
from tests.testbed.rounds.fakes import FakeLink, FakeRoster


class Played:
    """An access point between fakes, with a real journal, ledger and planner."""

    def __init__(self, path: Path, value, *overrides: str, silent_from: int = 10**9):
        self.config = resolve(load(None, None, ["num_devices=2", "rounds.num=10", *overrides]))
        terms = terms_of(self.config)
        self.journal = j.Journal.begun(path, j.Start(version=j.VERSION, run_id="r", initial_fingerprint="aa"))
        ledger = Ledger(self.journal, terms, past=())
        self.roster = FakeRoster(2, silent_from=silent_from)
        self.link = FakeLink(2, value)
        polls = Polls(self.roster, 1.0)
        transmitter = Transmitter(
            config=self.config,
            roster=self.roster,
            link=self.link,
            scheme=scheme_of(self.config),
            terms=terms,
            planner=Planner(self.config, terms),
            ledger=ledger,
            polls=polls,
            carriers=CarrierCorrection(self.config, self.roster, polls),
        )
        self.access_point = make_access_point(self.config, self.roster, transmitter, self.journal, ledger, terms)

    def results(self) -> list[m.RoundResult]:
        return [message for message in self.roster.sent if isinstance(message, m.RoundResult)]


def make_access_point(config, roster, transmitter, journal, ledger, terms):
    from testbed.optimisers.updates import Updater

    return AccessPoint(
        config=config,
        roster=roster,
        transmitter=transmitter,
        updater=Updater.after(config.experiment, ()),
        journal=journal,
        ledger=ledger,
        terms=terms,
    )


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "journal.bin"


def test_a_round_is_in_the_journal_before_it_is_announced_and_both_say_the_same(path):
    played = Played(path, lambda t, n: 3.0)
    round_ = played.access_point.play(0)
    on_disk = next(record for record in j.read(path) if isinstance(record, j.Result))
    announced = played.results()[0]
    assert (on_disk.coefficients, on_disk.seed) == (announced.coefficients, announced.seed)
    assert on_disk.status == announced.status == round_.record.status == "ok"
    assert round_.record.estimate == (3.0,)
    assert on_disk.seed == round_seed(played.config.experiment.seed, 0)


def test_a_rejected_attempt_is_tried_again_and_the_round_says_why(path):
    played = Played(path, lambda t, n: "too loud" if n == 1 else 2.0)
    round_ = played.access_point.play(0)
    assert (round_.record.status, round_.record.attempt, round_.record.reason) == ("retried", 2, "too loud")
    assert played.link.starts.num_forgotten == 1
    assert round_.record.airtime_s == 0.5


def test_a_capture_belongs_to_the_attempt_that_received_it(path):
    values = {0: 1.0, 1: None, 2: "too loud"}
    played = Played(path, lambda t, n: values[t])
    first, silent, rejected = (played.access_point.play(t) for t in range(3))
    assert np.real(first.capture[0]) == pytest.approx(0.1)
    assert silent.capture is None
    assert np.real(rejected.capture[0]) == pytest.approx(2.2)


def test_a_planned_silence_is_called_silent_and_is_no_failure(path):
    record = Played(path, lambda t, n: None).access_point.play(0).record
    assert (record.status, record.attempt, record.reason, record.estimate) == ("silent", 1, SILENT, None)
    assert rounds_skipped_in_a_row([record] * 5) == 0


def test_a_host_that_hangs_makes_skipped_rounds_that_name_its_devices(path):
    played = Played(path, lambda t, n: 1.0, silent_from=1)
    records = [played.access_point.play(t).record for t in range(4)]
    assert [record.status for record in records] == ["ok", "skipped", "skipped", "skipped"]
    assert "no answer" in records[1].reason
    assert rounds_skipped_in_a_row(records) == 3


def row(status, reason=None):
    return RoundRecord(round=0, seed=0, scheme="coherent", status=status, attempt=1, reason=reason)


@given(st.lists(st.sampled_from(["ok", "retried", "skipped", "rejected", "silent"]), max_size=30))
def test_skipped_rounds_are_counted_back_to_the_last_that_was_heard(statuses):
    records = [row(status) for status in statuses]
    count = 0
    for status in statuses:
        count = count + 1 if status == "skipped" else count if status == "silent" else 0
    assert rounds_skipped_in_a_row(records) == count


@given(st.lists(st.sampled_from(["ok", "retried", "skipped", "rejected", "silent"]), max_size=30))
def test_a_run_is_useless_exactly_if_no_round_was_used(statuses):
    found = nothing_used([row(status, "why") for status in statuses])
    assert (found is None) == bool({"ok", "retried"} & set(statuses))


def test_many_retries_are_said_with_their_usual_reason():
    records = [row("ok")] * 8 + [row("retried", "rain")] * 2 + [row("retried", "snow")]
    assert warnings_of(records) == ["3 of 11 rounds needed more than one attempt; most often (2): rain"]
    assert warnings_of([row("ok")] * 19 + [row("retried", "rain")]) == []


def test_round_seeds_differ_between_rounds_and_runs_and_never_change():
    seeds = {round_seed(run, t) for run in range(20) for t in range(50)}
    assert len(seeds) == 1000
    assert all(0 <= seed < 2**63 for seed in seeds)
    assert round_seed(1, 0) == 5644168378446136435
