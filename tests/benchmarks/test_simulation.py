"""Thousands of simulated runs under faults; and the simulation would notice if one went wrong."""

import os

import pytest
from msgspec.msgpack import encode

from benchmarks.simulation import history, replay
from benchmarks.simulation.history import plain_run, play, quiet
from benchmarks.simulation.many import many, several
from benchmarks.simulation.setting import EVERY, FAULTLESS, GENTLE, KINDS, config_of, drawn
from testbed.control.roster import Roster
from testbed.planning.ledger import Ledger
from testbed.results import journal as j
from testbed.rounds.session import Session

NUM, NUM_LONG = 2_000, 100_000
PARTS = 8


@pytest.mark.parametrize("part", range(PARTS))
def test_whatever_fails_the_run_ends_as_its_journal_says(part):
    found = several(range(part, NUM, PARTS))
    assert not found.failed, str(found)
    assert found.num == NUM // PARTS
    assert {*KINDS} <= {*found.counts}
    assert found.statuses["ok"] > 3 * found.num


@pytest.mark.long
@pytest.mark.timeout(4 * 3600)
def test_whatever_fails_in_a_hundred_thousand_histories():
    found = many(NUM, NUM_LONG, num_processes=os.cpu_count())
    assert not found.failed, str(found)
    assert found.num == NUM_LONG


@pytest.mark.parametrize("seed", [0, 3, 98])
def test_a_seed_is_a_history(seed):
    with quiet():
        once, again, another = play(seed), play(seed), play(seed + 1)
    assert once.trace == again.trace
    assert once.trace != another.trace
    assert encode(once.results) == encode(again.results)


def test_a_history_can_be_told(capsys):
    assert replay.main(["3"]) == 0
    told = capsys.readouterr().out
    assert "SoundStart" in told
    assert "seed 3: hosts" in told


def test_faultless_histories_are_the_plain_run():
    with quiet():
        for seed in range(FAULTLESS, 5 * EVERY, EVERY):
            setting = drawn(seed)
            assert setting.is_faultless
            assert encode(play(seed).results) == encode(plain_run(setting.plain))


# ---- teeth: each of these faults of the toolkit is noticed in a few histories


@pytest.fixture(autouse=True)
def own_plain_runs(monkeypatch):
    monkeypatch.setattr(history, "_plain_runs", {})


def failures(seeds):
    """What does not hold in the first of these histories that fails."""
    with quiet():
        return next(("\n".join(faults) for seed in seeds if (faults := play(seed).faults)), "")


def test_a_charge_behind_the_transmission_is_noticed(monkeypatch):
    charge = Ledger.charge

    def late(self, round_index, attempt, rho):
        if round_index != 1:
            charge(self, round_index, attempt, rho)

    monkeypatch.setattr(Ledger, "charge", late)
    assert "radiated, and not charged" in failures(range(5))


def test_a_result_that_is_announced_and_not_written_is_noticed(monkeypatch):
    put = j.Journal._put

    def forgetful(self, record):
        if not (isinstance(record, j.Result) and record.round == 2):
            put(self, record)
        else:
            self._hold((record,))

    monkeypatch.setattr(j.Journal, "_put", forgetful)
    assert failures(range(20))


def test_hosts_that_are_never_asked_again_are_noticed(monkeypatch):
    monkeypatch.setattr("testbed.control.roster.REPEAT_S", 1e9)
    monkeypatch.setattr("testbed.hosts.membership.REPEAT_S", 1e9)
    assert "gave up, where hardly anything had failed" in failures(range(GENTLE, 1000, EVERY))


def test_a_seat_that_is_kept_without_a_host_is_noticed(monkeypatch):
    monkeypatch.setattr(Roster, "_drop_gone", lambda self, routes: None)
    monkeypatch.setattr(Roster, "_occupied", lambda self, hello: "served" if self.seats else None)
    assert failures(range(40))


def test_a_receiver_that_forgets_is_noticed(monkeypatch):
    monkeypatch.setattr(Session, "memory", property(lambda self: None))
    assert "is another than in the run where nothing went wrong" in failures(range(100))


def test_a_program_that_ends_in_an_unexpected_way_is_noticed(monkeypatch):
    monkeypatch.setattr("testbed.rounds.office.RunOffice.results", lambda self, first: 1 / 0)
    assert "ZeroDivisionError" in failures(range(100))


def test_runs_differ_where_their_seeds_do():
    one, other = (config_of(0, 3, 4, seed, min_devices=3, every=3) for seed in (1, 2))
    with quiet():
        assert plain_run(one) != plain_run(other)
