"""The access point alone: rounds with fakes at its seams, and what each leaves on disk and on the wire."""

import re
from pathlib import Path

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from testbed.bench.rig import resolve, scheme_of
from testbed.config.files import load
from testbed.control import messages as m
from testbed.control.polls import Polls
from testbed.errors import DivergenceError
from testbed.optimisers.updates import Updater
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
from tests.testbed.control.ends import WEIGHTS, Table
from tests.testbed.rounds.fakes import FakeHost, FakeLink, changed, silent


class Played:
    """An access point between fakes, with a real roster, journal, ledger and planner."""

    def __init__(self, path: Path, value, *overrides: str, hosts=None, truth=WEIGHTS):
        hosts = hosts or [FakeHost((0, 1))]
        num_devices = sum(len(host.devices) for host in hosts)
        short = ("control.rejoin_timeout_s=3", "control.learner_timeout_s=4", "control.radio_timeout_s=2")
        self.config = resolve(
            load(None, None, [f"num_devices={num_devices}", "rounds.num=10", "ground_truth=false", *short, *overrides])
        )
        self.terms = terms_of(self.config)
        self.path = path
        self.journal = j.Journal.begun(path, j.Start(version=j.VERSION, run_id="r", initial_fingerprint="aa"))
        ledger = Ledger(self.journal, self.terms, past=())
        self.table = Table(num_devices=num_devices)
        self.hosts = [host.joins(self.table) for host in hosts]
        self.roster = self.table.roster
        self.link = FakeLink(num_devices, value)
        self.num_rebuilt = 0
        polls = Polls(self.roster, 2.0)

        def rebuilt() -> str:
            self.num_rebuilt += 1
            return truth

        transmitter = Transmitter(
            config=self.config,
            roster=self.roster,
            link=self.link,
            scheme=scheme_of(self.config),
            terms=self.terms,
            planner=Planner(self.config, self.terms),
            ledger=ledger,
            polls=polls,
            carriers=CarrierCorrection(self.config, self.roster, polls),
            truth=rebuilt,
        )
        self.access_point = AccessPoint(
            config=self.config,
            roster=self.roster,
            transmitter=transmitter,
            updater=Updater.after(self.config.experiment, ()),
            journal=self.journal,
            ledger=ledger,
            terms=self.terms,
        )

    def play(self, round_index: int):
        played = self.access_point.play(round_index)
        self.table.office.next_round = round_index + 1
        return played

    def results(self, host: int = 0) -> list[m.RoundResult]:
        return self.hosts[host].peer.of(m.RoundResult)

    def spent(self) -> list[j.Spent]:
        return [record for record in j.read(self.path) if isinstance(record, j.Spent)]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "journal.bin"


def test_a_round_is_in_the_journal_before_it_is_announced_and_both_say_the_same(path):
    played = Played(path, lambda t, n: 3.0)
    round_ = played.play(0)
    on_disk = next(record for record in j.read(path) if isinstance(record, j.Result))
    announced = played.results()[0]
    assert (on_disk.coefficients, on_disk.seed) == (announced.coefficients, announced.seed)
    assert on_disk.status == announced.status == round_.record.status == "ok"
    assert round_.record.estimate == (3.0,)
    assert on_disk.seed == round_seed(played.config.experiment.seed, 0)


def test_a_rejected_attempt_is_tried_again_and_the_round_says_why(path):
    played = Played(path, lambda t, n: "too loud" if n == 1 else 2.0)
    round_ = played.play(0)
    assert (round_.record.status, round_.record.attempt, round_.record.reason) == ("retried", 2, "too loud")
    assert played.link.starts.num_forgotten == 1
    assert round_.record.airtime_s == 0.5


def test_a_capture_belongs_to_the_attempt_that_received_it(path):
    values = {0: 1.0, 1: None, 2: "too loud"}
    played = Played(path, lambda t, n: values[t])
    first, silent, rejected = (played.play(t) for t in range(3))
    assert np.real(first.reception.capture[0]) == pytest.approx(0.1)
    assert silent.reception is None
    assert np.real(rejected.reception.capture[0]) == pytest.approx(2.2)


def test_a_planned_silence_is_called_silent_and_is_no_failure(path):
    record = Played(path, lambda t, n: None).play(0).record
    assert (record.status, record.attempt, record.reason, record.estimate) == ("silent", 1, SILENT, None)
    assert rounds_skipped_in_a_row([record] * 5) == 0


def test_a_host_that_hangs_makes_skipped_rounds_that_name_its_devices(path):
    hangs = FakeHost((0, 1), instead=silent(m.SoundStart, from_round=1))
    played = Played(path, lambda t, n: 1.0, hosts=[hangs])
    records = [played.play(t).record for t in range(4)]
    assert [record.status for record in records] == ["ok", "skipped", "skipped", "skipped"]
    assert "devices 0, 1: scalars: no answer in 4 s" in records[1].reason
    assert rounds_skipped_in_a_row(records) == 3


# ---- quorum


def test_a_host_that_is_late_is_left_out_of_the_round_which_is_recorded(path):
    hosts = [FakeHost((0,)), FakeHost((1,), instead=silent(m.SoundStart)), FakeHost((2,))]
    played = Played(path, lambda t, n: 2.0, "rounds.min_devices=2", "rounds.deadline_s=1", hosts=hosts)
    began_s = played.table.server.time_s
    record = played.play(0).record
    assert (record.status, record.attempt, record.absent) == ("ok", 1, (1,))
    assert played.table.server.time_s - began_s < 1.5
    starts = [heard for host in played.hosts for heard in host.peer.of(m.RoundStart)]
    assert [m.unpacked(start.active) for start in starts] == [(0, 2), (0, 2)]
    assert played.play(1).record.absent == (1,)


def test_below_the_quorum_the_round_waits_for_the_missing_and_is_then_skipped(path):
    hosts = [FakeHost((0,)), FakeHost((1,), instead=silent(m.SoundStart)), FakeHost((2,), instead=silent(m.SoundStart))]
    played = Played(path, lambda t, n: 2.0, "rounds.min_devices=2", "rounds.max_attempts=2", hosts=hosts)
    record = played.play(0).record
    assert record.status == "skipped"
    assert "devices 1, 2 have no host (" in record.reason
    assert "none came in 3 s" in record.reason
    assert played.results()[0].coefficients == ()


def test_a_host_that_is_lost_late_fails_the_attempt_and_the_next_one_goes_without_it(path):
    hosts = [FakeHost((0,)), FakeHost((1,), instead=silent(m.Poll)), FakeHost((2,))]
    record = Played(path, lambda t, n: 2.0, "rounds.min_devices=2", hosts=hosts).play(0).record
    assert (record.status, record.attempt, record.absent) == ("retried", 2, (1,))
    assert "device 1: pilot of" in record.reason


EXACT = ("air.level=symbol", "air.csi=genie", "schedule.name=static", "privacy.receiver_noise=untrusted")


def test_values_that_were_sent_in_one_sum_are_not_sent_in_another(path):
    """y₁ − y₂ of two sums over other devices would be the values of those few, under their own noise alone."""
    hosts = [FakeHost((0,)), FakeHost((1,)), FakeHost((2,), instead=silent(m.RoundStart))]
    played = Played(path, lambda t, n: 2.0, "rounds.min_devices=2", "rounds.max_attempts=3", *EXACT, hosts=hosts)
    assert played.terms.crediting.num_noise_sources == 2
    record = played.play(0).record
    assert record.status == "skipped"
    assert "may not be sent in another sum" in record.reason
    assert len(played.spent()) == 1
    assert len(played.hosts[0].peer.of(m.RoundStart)) == 1


def test_the_same_hosts_may_send_their_values_again(path):
    hosts = [FakeHost((0,)), FakeHost((1,)), FakeHost((2,))]
    played = Played(path, lambda t, n: "too loud" if n == 1 else 2.0, "rounds.min_devices=2", *EXACT, hosts=hosts)
    assert played.play(0).record.status == "retried"


# ---- weights


def test_the_host_that_differs_from_the_journal_goes_and_the_round_goes_on(path):
    hosts = [FakeHost((0,), fingerprint="b" * 64), FakeHost((1,)), FakeHost((2,))]
    played = Played(path, lambda t, n: 2.0, "rounds.min_devices=2", hosts=hosts)
    record = played.play(0).record
    assert (record.status, record.attempt, record.absent) == ("ok", 1, (0,))
    assert "its weights are bbbbbbbbbbbb, those of the journal aaaaaaaaaaaa" in hosts[0].peer.of(m.Refused)[0].reason
    assert played.results(1)[0].fingerprint == WEIGHTS
    assert played.num_rebuilt == 1


def test_without_a_quorum_the_round_says_that_a_host_had_other_weights(path):
    hosts = [FakeHost((0,), fingerprint="b" * 64), FakeHost((1,))]
    record = Played(path, lambda t, n: 2.0, "rounds.max_attempts=1", hosts=hosts).play(0).record
    assert record.status == "skipped"
    assert "its weights are bbbbbbbbbbbb" in record.reason


def test_where_no_host_has_the_journals_weights_the_run_ends(path):
    hosts = [FakeHost((0,), fingerprint="b" * 64), FakeHost((1,), fingerprint="c" * 64)]
    with pytest.raises(DivergenceError, match=r"hold different weights \(b{12}, c{12}\), none of them the journal's"):
        Played(path, lambda t, n: 2.0, hosts=hosts).play(0)


def test_weights_are_compared_every_so_often_and_after_a_host_was_seated(path):
    played = Played(path, lambda t, n: 2.0, "learner.fingerprint_every=3", hosts=[FakeHost((0,)), FakeHost((1,))])
    for t in range(4):
        played.play(t)
    asked = [start.compare for start in played.hosts[0].peer.of(m.SoundStart)]
    assert asked == [True, False, False, True]
    again = played.hosts[1].peer
    again.cut()
    played.roster.drop(played.roster.seat_of(1), "left")
    FakeHost((1,)).joins(played.table)
    played.play(4)
    assert played.hosts[0].peer.of(m.SoundStart)[-1].compare
    assert [result.fingerprint for result in played.results()] == [WEIGHTS, None, None, WEIGHTS, WEIGHTS]


def test_a_fingerprint_that_nobody_asked_for_is_told_to_nobody(path):
    liar = FakeHost((0,), instead=changed(m.Prepared, lambda a: msgspec.structs.replace(a, fingerprint="b" * 64)))
    played = Played(path, lambda t, n: 2.0, "learner.fingerprint_every=5", "rounds.min_devices=1", hosts=[
        FakeHost((0,)), FakeHost((1,)),
    ])  # fmt: skip
    played.play(0)
    played.hosts[0].instead = liar.instead
    record = played.play(1).record
    assert (record.status, record.absent) == ("ok", (0,))
    assert played.results(1)[-1].fingerprint is None


# ---- answers that break a rule


@pytest.mark.parametrize(
    ("overrides", "fields", "said"),
    [
        ((), {"ground_truth": {0: (0.1,)}}, "nobody asked for"),
        ((), {"losses": {0: 1e300}}, "nobody asked for"),
        ((), {"problems": {1: "not mine"}}, r"devices \[1\], which it does not serve"),
        (("ground_truth=true",), {"losses": {}}, "nobody asked for, or not those"),
        (("ground_truth=true",), {"ground_truth": {1: (0.1,)}, "losses": {}}, r"scalars of devices \[1\]"),
        (("ground_truth=true",), {"ground_truth": {0: (0.1, 0.1)}, "losses": {}}, "got 2 scalars"),
        (("ground_truth=true",), {"ground_truth": {0: (1e300,)}, "losses": {}}, "within ±"),
        (("ground_truth=true",), {"ground_truth": {0: (0.1,)}, "losses": {1: 0.1}}, r"losses of devices \[1\]"),
    ],
)
def test_an_answer_that_breaks_a_rule_costs_its_host_the_seat_and_the_others_nothing(path, overrides, fields, said):
    change = changed(m.Ready, lambda ready: msgspec.structs.replace(ready, **fields))

    def honest(ready):
        shown = {"ground_truth": {1: (0.1,)}, "losses": {1: 0.3}} if overrides else {}
        return msgspec.structs.replace(ready, **shown)

    hosts = [FakeHost((0,), instead=change), FakeHost((1,), instead=changed(m.Ready, honest))]
    played = Played(path, lambda t, n: 2.0, "rounds.min_devices=1", *overrides, hosts=hosts)
    record = played.play(0).record
    assert (record.status, record.attempt, record.absent) == ("retried", 2, (0,))
    assert re.search(said, record.reason)
    assert len(hosts[0].peer.of(m.Refused)) == 1


# ---- evaluation


def evaluated(**fields):
    return changed(m.Evaluated, lambda answer: msgspec.structs.replace(answer, **fields))


def test_two_hosts_evaluate_and_are_counted_if_they_agree(path):
    hosts = [FakeHost((k,)) for k in range(3)]
    found = Played(path, lambda t, n: 2.0, hosts=hosts).access_point.evaluate(-1)
    assert (found.num_hosts, found.said.metric) == (2, 0.75)
    assert [len(host.peer.of(m.Evaluate)) for host in hosts] == [1, 0, 1]


@pytest.mark.parametrize("fields", [{"loss": 0.6}, {"metric": 0.5}, {"num_examples": 7}, {"loss": float("inf")}])
def test_two_hosts_that_disagree_have_verified_nothing(path, fields):
    hosts = [FakeHost((0,)), FakeHost((1,), instead=evaluated(**fields))]
    assert Played(path, lambda t, n: 2.0, hosts=hosts).access_point.evaluate(-1).num_hosts == 0


def test_processors_that_round_otherwise_agree(path):
    hosts = [FakeHost((0,)), FakeHost((1,), instead=evaluated(loss=0.502))]
    assert Played(path, lambda t, n: 2.0, hosts=hosts).access_point.evaluate(-1).num_hosts == 2


def test_a_host_that_dies_evaluating_leaves_the_other_and_two_leave_nothing(path, tmp_path):
    hosts = [FakeHost((0,)), FakeHost((1,), instead=silent(m.Evaluate, from_round=-1))]
    played = Played(path, lambda t, n: 2.0, hosts=hosts)
    assert played.access_point.evaluate(-1).num_hosts == 1
    assert played.roster.served == [0]
    dead = [FakeHost((k,), instead=silent(m.Evaluate, from_round=-1)) for k in range(2)]
    assert Played(tmp_path / "other.bin", lambda t, n: 2.0, hosts=dead).access_point.evaluate(-1) is None


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
