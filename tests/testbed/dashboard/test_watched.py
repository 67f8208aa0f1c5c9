"""A run that is watched while it grows, ends, is written anew, turns private, or goes away."""

import json
import os
import shutil
import time

from testbed.config.files import from_toml
from testbed.dashboard.messages import EPSILON, Planned
from testbed.dashboard.watched import MAX_FOLLOWING, Cursor, WatchedRun
from tests.testbed.dashboard.conftest import line, round_of


def looked(run):
    while run.look():
        pass
    return run


def append(path, *records):
    with (path / "rounds.jsonl").open("ab") as file:
        file.write(b"".join(map(line, records)))


def test_a_finished_run_is_told_as_its_files_say(finished):
    news = looked(WatchedRun(0, finished)).news(Cursor())
    summary = json.loads((finished / "summary.json").read_text())
    rounds = [json.loads(each) for each in (finished / "rounds.jsonl").read_text().splitlines()]
    state = news.state
    assert (state.status, state.detail) == ("ended", summary["stopped"])
    assert state.rounds_done == summary["rounds_total"] == 12
    assert news.series.points["loss"] == [each["loss"] for each in rounds]
    assert news.series.symbols == [tuple(each["received"][0]) for each in rounds]
    assert state.latest["metric"].value == rounds[-1]["metric"]
    assert state.privacy.claim == summary["privacy"]
    assert state.privacy.is_valid is False
    assert news.picture.round == 10  # the last one that was recorded


def test_nothing_secret_of_a_private_run_is_told(private):
    told = looked(WatchedRun(0, private)).news(Cursor())
    lines = [json.loads(each) for each in (private / "rounds.jsonl").read_text().splitlines()]
    assert told.state.private
    assert "loss" not in told.series.points
    assert "nmse_db" not in told.series.points
    assert told.series.symbols == []
    assert told.state.times_s["learner_s"] == 0
    assert told.state.latest["epsilon_spent"].value == lines[-1]["epsilon_spent"]
    assert told.state.latest["metric"].value == lines[-1]["metric"]


def test_who_was_told_hears_only_what_is_new(growing):
    run, cursor = WatchedRun(0, growing), Cursor()
    append(growing, round_of(0))
    assert looked(run).news(cursor).series.reset
    assert looked(run).news(cursor) is None
    append(growing, round_of(1), round_of(2))
    series = looked(run).news(cursor).series
    assert (series.reset, series.points["round"]) == (False, [2.0, 3.0])
    append(growing, *(round_of(t) for t in range(3, MAX_FOLLOWING + 10)))
    series = looked(run).news(cursor).series
    assert series.reset
    assert series.points["round"][0] == 1
    assert series.points["round"][-1] == MAX_FOLLOWING + 10
    assert series.stretch > 1


def test_a_resumed_run_that_was_written_anew_begins_anew(growing):
    run, cursor = WatchedRun(0, growing), Cursor()
    append(growing, *(round_of(t, loss=1.0) for t in range(5)))
    looked(run).news(cursor)
    (growing / "new").write_bytes(b"".join(line(round_of(t, loss=2.0)) for t in range(3)))
    os.replace(growing / "new", growing / "rounds.jsonl")
    news = looked(run).news(cursor)
    assert news.series.reset
    assert news.series.points["loss"] == [2.0, 2.0, 2.0]
    assert news.state.rounds_done == 3


def test_a_directory_that_vanishes_leaves_what_was_seen(growing, tmp_path):
    run, cursor = WatchedRun(0, growing), Cursor()
    append(growing, round_of(0))
    looked(run).news(cursor)
    shutil.move(growing, tmp_path / "elsewhere")
    state = looked(run).news(cursor).state
    assert (state.status, state.rounds_done) == ("gone", 1)
    assert state.latest["loss"].value == 1.0


def test_a_directory_that_comes_later_is_waited_for(growing, tmp_path):
    now = [1000.0]
    run, cursor = WatchedRun(0, tmp_path / "later", clock=lambda: now[0]), Cursor()
    state = looked(run).news(cursor).state
    assert (state.status, state.rounds_done, state.private) == ("waiting", 0, True)
    shutil.move(growing, tmp_path / "later")
    append(tmp_path / "later", round_of(0))
    now[0] += 1
    looked(run)
    looked(run)
    assert run.news(cursor).state.rounds_done == 1


def test_a_private_run_in_the_place_of_an_open_one_shows_nothing_of_either(growing, private):
    run, cursor = WatchedRun(0, growing), Cursor()
    append(growing, *(round_of(t) for t in range(3)))
    assert looked(run).news(cursor).series.points["loss"]
    shutil.copy(private / "config.toml", growing / "config.toml")
    (growing / "new").write_bytes(line(round_of(0, loss=0.125)))
    os.replace(growing / "new", growing / "rounds.jsonl")
    news = looked(run).news(cursor)
    assert news.state.private
    assert news.series.reset
    assert "loss" not in news.series.points
    assert "loss" not in news.state.latest


def test_a_configuration_that_cannot_be_read_leaves_only_public_things(growing):
    (growing / "config.toml").write_text("not = [toml")
    append(growing, round_of(0))
    state = looked(WatchedRun(0, growing)).news(Cursor()).state
    assert state.private
    assert "config.toml" in state.detail
    assert "loss" not in state.latest


def test_a_run_without_news_is_called_quiet_and_one_that_failed_says_why(growing):
    now = [time.time()]
    run, cursor = WatchedRun(0, growing, clock=lambda: now[0]), Cursor()
    append(growing, round_of(0))
    assert looked(run).news(cursor).state.status == "running"
    now[0] += 3600
    assert looked(run).news(cursor).state.status == "quiet"
    info = json.loads((growing / "run.json").read_text())
    (growing / "run.json").write_text(json.dumps({**info, "failure": "device 3: no host"}))
    now[0] += 1
    state = looked(run).news(cursor).state
    assert (state.status, state.detail) == ("failed", "device 3: no host")


def test_a_claim_is_never_said_of_a_round_whose_ledger_states_none(growing):
    run, cursor = WatchedRun(0, growing), Cursor()
    run.plan(Planned(schedule="static", claim=f"VALID for this run: ({EPSILON}, 0.01)-differential privacy"))
    append(growing, round_of(0, epsilon_spent=1.25))
    privacy = looked(run).news(cursor).state.privacy
    assert (privacy.is_valid, privacy.claim) == (True, "VALID for this run: (1.25, 0.01)-differential privacy")
    append(growing, round_of(1, epsilon_spent=None))
    privacy = looked(run).news(cursor).state.privacy
    assert privacy.is_valid is False
    assert "states no epsilon" in privacy.claim


def test_what_is_planned_is_what_testbed_plan_says(private):
    from testbed.commands.screen.planned import planned_of
    from testbed.planning.preview import plan_of

    config = from_toml(private / "config.toml")
    planned, preview = planned_of(config), plan_of(config).preview("static")
    assert planned.gains == preview.gains.tolist()
    assert planned.leaks == preview.leaks.tolist()
    assert f"({EPSILON}, 0.01)-differential privacy" in planned.claim
