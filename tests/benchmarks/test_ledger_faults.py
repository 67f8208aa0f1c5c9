"""Runs that are damaged, crash or are started twice get back no privacy; and the harness would notice if they did."""

import os
from dataclasses import replace

import numpy as np
import pytest

from benchmarks import ledger_faults
from benchmarks.faults.damages import DAMAGES, put_back
from benchmarks.faults.disk import HOWS, Disk, Stopped, close_all_in, image_of, restore, writing_to
from benchmarks.faults.histories import SETTINGS, drawn
from benchmarks.faults.judge import judged
from testbed.results import files, journal


def generator(seed=0):
    return np.random.default_rng(seed)


@pytest.fixture(scope="module")
def history(tmp_path_factory):
    return drawn(SETTINGS[0], tmp_path_factory.mktemp("history") / "run", generator(5))


def test_damaged_crashed_and_doubly_started_runs_get_nothing_back():
    found = ledger_faults.run(num_corruptions=400, num_kills=0, seed=1)
    assert found["refunds"] == []
    assert found["crashes"] == []
    assert found["undamaged_refused"] == 0
    assert found["by_kind"]["crash in a round"].get("refused", 0) == 0
    assert {*ledger_faults.KINDS, "started twice, processes"} == {*found["by_kind"]}
    assert sum(sum(counts.values()) for counts in found["by_kind"].values()) == 400


@pytest.mark.long
@pytest.mark.timeout(3600)
def test_no_refund_in_ten_thousand_damages_and_forty_kills():
    found = ledger_faults.run(num_corruptions=10_000, num_kills=40, seed=2)
    assert found["refunds"] == []
    assert found["crashes"] == []
    assert found["undamaged_refused"] == 0
    assert found["num_kills"] == 40
    assert found["by_kind"]["killed -9, really"] == {"resumed": 40}


def test_every_step_of_an_undamaged_run_is_resumed(history, tmp_path):
    for number, state in enumerate(history.states):
        assert judged(restore(state.image, tmp_path / f"{number}"), state.truth).outcome == "resumed"


def test_a_charge_that_is_missing_is_a_refund(history, tmp_path):
    """Of a whole directory that was put back, which no journal can see, the judge can."""
    last = history.states[-1].truth
    earlier = next(state for state in history.states if 0 < len(state.truth.spent) < len(last.spent))
    verdict = judged(restore(earlier.image, tmp_path / "run"), last)
    assert verdict.outcome == "refund"
    assert "charges are not counted" in verdict.why


def test_a_round_that_would_be_sent_again_and_a_forgotten_fact_are_refunds(history, tmp_path):
    state = history.states[-1]
    for number, (change, why) in enumerate([
        ({"next_round": state.truth.next_round + 1}, "would be sent again"),
        ({"void": True}, "void terms"),
        ({"terms": replace(state.truth.terms, guarantee="another")}, "promises another guarantee"),
    ]):  # fmt: skip
        verdict = judged(restore(state.image, tmp_path / f"{number}"), replace(state.truth, **change))
        assert verdict.outcome == "refund"
        assert why in verdict.why


def test_each_damage_changes_something_and_none_is_all_files_of_an_earlier_moment(history):
    rng = generator(1)
    images = [state.image for state in history.states]
    for damage in DAMAGES.values():
        drawn_now = [damage(rng, history, [history]) for _ in range(30)]
        assert any(damaged is not None for damaged in drawn_now)
    for _ in range(200):
        damaged = put_back(rng, history, [history])
        assert damaged is None or damaged[0] not in images


def test_a_case_can_be_drawn_again(tmp_path):
    histories = [drawn(SETTINGS[0], tmp_path / "run", generator(5))]
    once, again = (ledger_faults.case(3, 7, histories, tmp_path / name) for name in ("once", "again"))
    assert once[0] == again[0]
    assert once[1].outcome == again[1].outcome


@pytest.mark.parametrize("how", HOWS)
def test_a_disk_fails_or_stops_at_the_call_that_was_asked_for(tmp_path, how):
    (tmp_path / "a").write_bytes(b"old")
    disk = Disk(tmp_path, generator(), at=1, how=how)
    with writing_to(disk):
        descriptor = files.system.open(tmp_path / "a", os.O_WRONLY | os.O_APPEND)
        with pytest.raises(Stopped if how in ("stop", "stop within", "power cut") else OSError):
            files.system.write(descriptor, b"new")
    close_all_in(tmp_path)
    left = image_of(tmp_path)["a"]
    assert left in ([b"old", b"oldn", b"oldne"] if how.endswith("within") else [b"old"])
    assert not isinstance(files.system, Disk)


def test_a_power_cut_takes_what_was_not_synced_and_nothing_else(tmp_path):
    left = set()
    for seed in range(40):
        folder = tmp_path / f"{seed}"
        folder.mkdir()
        disk = Disk(folder, generator(seed), at=5, how="power cut")
        with writing_to(disk):
            descriptor = files.system.open(folder / "a", os.O_WRONLY | os.O_CREAT)
            files.system.write(descriptor, b"safe")
            files.system.sync(descriptor)
            files.system.write(descriptor, b"lost")
            files.system.write(descriptor, b"too")
            with pytest.raises(Stopped):
                files.system.sync(descriptor)
        close_all_in(folder)
        assert disk.image is not None
        left.add(disk.image["a"])
    assert all(data.startswith(b"safe") for data in left)
    assert {b"safe", b"safelosttoo"} <= left
    assert len(left) > 2


def test_a_journal_that_forgets_its_last_charge_is_noticed(history, tmp_path, monkeypatch):
    """The harness's teeth: with a reader that drops a charge that is the last record, there are refunds."""
    parse = journal._parse

    def forgetful(path, data, *rest):
        found = parse(path, data, *rest)
        records = found[0] if isinstance(found, tuple) else found.records
        if isinstance(records[-1], journal.Spent):
            records.pop()
        return found

    monkeypatch.setattr(journal, "_parse", forgetful)
    after_a_charge = [
        now for was, now in zip(history.states, history.states[1:], strict=False)
        if now.truth.spent != was.truth.spent
    ]  # fmt: skip
    assert after_a_charge
    for number, state in enumerate(after_a_charge):
        assert judged(restore(state.image, tmp_path / f"{number}"), state.truth).outcome == "refund"


def test_a_power_cut_before_a_rename_leaves_no_file_of_the_new_name(tmp_path):
    for seed in range(20):
        folder = tmp_path / f"{seed}"
        folder.mkdir()
        disk = Disk(folder, generator(seed), at=3, how="power cut")
        with writing_to(disk):
            descriptor = files.system.open(folder / "a.partial", os.O_WRONLY | os.O_CREAT)
            files.system.write(descriptor, b"safe")
            files.system.sync(descriptor)
            with pytest.raises(Stopped):
                files.system.replace(folder / "a.partial", folder / "a")
        close_all_in(folder)
        assert disk.image == {"a.partial": b"safe"}
