"""One order on one worker, with real runs; and who has a run, with real processes that die."""

import multiprocessing
import os
import signal

import msgspec
import pytest

import testbed
from testbed.results.run import Run
from testbed.sweep.directory import MAX_FRUITLESS, BusyError, SweepDirectory, begin
from testbed.sweep.plan import PlannedRun, digest
from testbed.sweep.work import Order, carry_out, toolkit_version

TINY = {"num_devices": 2, "rounds": {"num": 4, "eval_every": 2}, "task.num_test": 8, "learner.batch_size": 2}


@pytest.fixture
def ordered(tmp_path):
    """A sweep of one run, and the order for it."""

    def make(**changes):
        config = testbed.load(overrides={**TINY, **changes})
        run = PlannedRun(name=f"seed=1-{digest(config)}", values={}, seed=1, overrides=())
        sweep = SweepDirectory(tmp_path / "sweep")
        with sweep.conducting():
            plan = begin(sweep, "some", [run])
        order = Order(sweep=str(sweep.path), token=plan.token, version=toolkit_version(), name=run.name, config=config)
        return sweep, order

    return make


def hold_for_ever(path, name, taken):
    with SweepDirectory(path).holding(name, patience_s=0) as hold:
        hold.note("took", 0)
        taken.set()
        signal.pause()


def killed_holder(sweep, name):
    context = multiprocessing.get_context("spawn")
    taken = context.Event()
    process = context.Process(target=hold_for_ever, args=(sweep.path, name, taken))
    process.start()
    assert taken.wait(120)
    return process


def test_a_run_that_is_wanted_no_longer_stops_before_its_next_round_and_another_worker_ends_it_as_if_alone(
    ordered, tmp_path
):
    sweep, order = ordered()
    assert sweep.seen(order.name).state == "missing"
    assert carry_out(order, lambda: sweep.seen(order.name).num_rounds < 2).outcome == "stopped"
    halfway = sweep.seen(order.name)
    assert halfway.state == "cut off"
    assert halfway.num_rounds == 2
    assert carry_out(order, lambda: True).outcome == "settled"
    assert sweep.seen(order.name).state == "done"
    alone = testbed.run(order.config, out=tmp_path / "alone")
    assert sweep.seen(order.name).fingerprint == alone.info.ended_with
    before = (sweep.run(order.name) / "summary.json").read_bytes()
    assert carry_out(order, lambda: True).outcome == "settled"
    assert (sweep.run(order.name) / "summary.json").read_bytes() == before
    assert not sweep.run(order.name).joinpath("report.html").exists()


def test_a_run_that_was_cut_off_before_its_journal_is_begun_anew(ordered):
    sweep, order = ordered()
    sweep.run(order.name).mkdir()
    (sweep.run(order.name) / "config.toml.partial").write_text("cut", encoding="utf-8")
    (sweep.run(order.name) / "journal.bin").touch()
    assert sweep.seen(order.name).state == "missing"
    assert carry_out(order, lambda: True).outcome == "settled"
    assert sweep.seen(order.name).state == "done"


def test_a_failure_is_on_the_disk_with_its_reason_until_it_is_forgotten(ordered):
    sweep, order = ordered(**{"model.path": "/nowhere/at/all"})
    assert carry_out(order, lambda: True).outcome == "settled"
    seen = sweep.seen(order.name)
    assert seen.state == "failed"
    assert "/nowhere/at/all" in seen.reason
    sweep.forget_failure(order.name)
    assert sweep.seen(order.name).state == "missing"


def test_a_run_of_which_nothing_was_used_has_failed(ordered):
    sweep, order = ordered(**{"air.snr_db": -60.0, "rounds.max_skipped_in_a_row": 9, "rounds.max_attempts": 1})
    carry_out(order, lambda: True)
    seen = sweep.seen(order.name)
    assert seen.state == "failed"
    assert "none of its 4 rounds was used" in seen.reason
    assert seen.fingerprint is not None


def test_only_one_process_has_a_run_and_the_kernel_frees_it_with_that(ordered):
    sweep, order = ordered()
    holder = killed_holder(sweep, order.name)
    with pytest.raises(BusyError, match=f"process {holder.pid} on"), sweep.holding(order.name, patience_s=0.2):
        pass
    assert sweep.held([order.name]) == [order.name]
    os.kill(holder.pid, signal.SIGKILL)
    holder.join()
    assert sweep.held([order.name]) == []
    with sweep.holding(order.name, patience_s=0) as hold:
        assert hold.fruitless(0) == 1


def test_a_run_that_kills_its_workers_is_given_up(ordered):
    sweep, order = ordered()
    with sweep.holding(order.name, patience_s=0) as hold:
        for _ in range(MAX_FRUITLESS):
            hold.note("took", 0)
    assert carry_out(order, lambda: True).outcome == "settled"
    assert f"{MAX_FRUITLESS} processes in a row died" in sweep.seen(order.name).reason
    sweep.forget_failure(order.name)
    assert carry_out(order, lambda: True).outcome == "settled"
    assert sweep.seen(order.name).state == "done"


def test_a_worker_that_does_not_see_the_sweep_or_is_another_version_does_nothing(ordered, tmp_path):
    sweep, order = ordered()
    for wrong, words in (
        ({"sweep": str(tmp_path / "elsewhere")}, "does not see the sweep's directory"),
        ({"token": "another"}, "sees another sweep"),
        ({"version": "0.0.1"}, "allowed: 0.0.1, as the sweep has"),
    ):
        answer = carry_out(msgspec.structs.replace(order, **wrong), lambda: True)
        assert answer.outcome == "unfit"
        assert words in answer.words
    assert sweep.seen(order.name).state == "missing"


def test_a_configuration_that_was_changed_behind_the_sweep_is_not_gone_on_with(ordered):
    sweep, order = ordered()
    carry_out(order, lambda: sweep.seen(order.name).num_rounds < 2)
    path = sweep.run(order.name) / "config.toml"
    path.write_text(path.read_text(encoding="utf-8").replace("num = 4", "num = 5"), encoding="utf-8")
    carry_out(order, lambda: True)
    assert "config.toml is not that of this run" in sweep.seen(order.name).reason
    assert Run.open(sweep.run(order.name)).summary.stopped == "interrupted"


def test_a_place_that_holds_something_else_is_refused_and_a_sweep_has_one_conductor(tmp_path):
    (tmp_path / "mine.txt").touch()
    with pytest.raises(testbed.TestbedError, match="is no sweep's directory"), SweepDirectory(tmp_path).conducting():
        pass
    one, two = SweepDirectory(tmp_path / "a"), SweepDirectory(tmp_path / "a")
    with (
        one.conducting(),
        pytest.raises(testbed.TestbedError, match="another process conducts this sweep"),
        two.conducting(),
    ):
        pass
