"""A run says at its end what was seen: whose weights were compared, who evaluated, why it failed."""

import json
import shutil
from collections.abc import Callable

import msgspec
import pytest

import testbed
from testbed.control import messages as m
from testbed.errors import DivergenceError
from testbed.results.directory import RunDirectory
from testbed.results.records import InitialEvaluation, RoundRecord
from testbed.results.report import summary_rows, write_report
from testbed.results.run import columns_of
from testbed.results.statistics import evaluations_of
from testbed.results.words import listed
from testbed.rounds import processes
from testbed.rounds.replay import replay_run
from tests.testbed.results.conftest import TINY

Change = Callable[[m.Goodbye], m.Goodbye | None]


@pytest.fixture
def goodbyes(monkeypatch):
    """Lets something happen to every Goodbye on its way."""

    def happen(change: Change) -> None:
        class Lossy(processes.Client):
            def send(self, message):
                changed = change(message) if isinstance(message, m.Goodbye) else message
                return super().send(changed) if changed is not None else True

        monkeypatch.setattr(processes, "Client", Lossy)

    return happen


def rows(run):
    return dict(summary_rows(run.summary))


def test_a_run_in_one_process_is_verified_and_nobody_is_warned(finished):
    run = testbed.Run.open(finished.path)
    assert run.info.verified_devices == run.summary.verified_devices == (0, 1)
    assert run.info.final_fingerprint == run.info.rebuilt_fingerprint == run.summary.rebuilt_fingerprint
    assert run.summary.not_verified is run.info.failure is None
    assert run.summary.evaluation == "this process itself"
    assert run.summary.evaluations_unverified == 0
    assert not run.summary.warnings
    assert rows(run)["final weights"].startswith("verified for all devices")
    assert "verified for all devices" in run.directory.report.read_text()
    replayed = testbed.replay(run)
    assert replayed.verified_devices == (0, 1)
    assert str(replayed).startswith("bit-identical: 3 updates from the journal give the final weights (")
    assert str(replayed).endswith("which are the live weights of devices 0, 1")


def test_a_goodbye_that_is_lost_leaves_the_weights_not_verified(goodbyes, tmp_path):
    goodbyes(lambda _: None)
    run = testbed.run(overrides={**TINY, "control.learner_timeout_s": 5.0}, out=tmp_path / "run")
    assert run.info.final_fingerprint is None
    assert run.summary.final_fingerprint is None
    assert run.summary.verified_devices == run.info.verified_devices == ()
    assert run.info.rebuilt_fingerprint
    assert "goodbye" in run.info.not_verified
    assert [line for line in run.summary.warnings if line.startswith("weights not verified at the end: devices 0, 1: ")]
    assert "no host's" in rows(run)["final weights"]
    replayed = testbed.replay(run)
    assert replayed.compared
    assert replayed.verified_devices == ()
    assert str(replayed).startswith("rebuilt: 3 updates from the journal give the final weights (")
    assert "no host's weights were compared at the end and found the same: devices 0, 1: " in str(replayed)
    assert "bit-identical" not in str(replayed)


def test_a_host_that_ends_with_other_weights_fails_the_run_which_the_report_says(goodbyes, tmp_path):
    goodbyes(lambda bye: msgspec.structs.replace(bye, fingerprint="0" * 64))
    path = tmp_path / "run"
    with pytest.raises(DivergenceError, match=r"devices 0, 1: its host's weights are 000000000000, not the journal's"):
        testbed.run(overrides=TINY, out=path)
    directory = RunDirectory.open(path)
    info = directory.read_info()
    assert info.verified_devices == ()
    assert "000000000000" in info.failure
    write_report(directory)
    page = directory.report.read_text()
    assert "This run failed:" in page
    assert "000000000000" in page
    assert "still going on" not in page
    assert str(replay_run(path)).startswith("rebuilt: ")


def test_a_run_that_goes_on_has_not_ended(tmp_path):
    rounds = []
    run = testbed.run(overrides=TINY, out=tmp_path / "run", progress=rounds.append, should_stop=lambda: len(rounds) > 1)
    assert run.summary.stopped == "interrupted"
    assert run.info.verified_devices == (0, 1)

    def killed(_):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        testbed.run(resume=run.path, progress=killed)
    info = RunDirectory.open(run.path).read_info()
    assert info.ended_with is info.verified_devices is None
    assert "run was cut off" in str(replay_run(run.path))  # the weights on disk are those of the earlier end
    assert testbed.run(resume=run.path).info.verified_devices == (0, 1)
    assert str(replay_run(run.path)).startswith("bit-identical: 3 updates")


def edited(finished, tmp_path, **values):
    path = shutil.copytree(finished.path, tmp_path / "copy")
    info = json.loads((path / "run.json").read_text())
    (path / "run.json").write_text(json.dumps(info | values))
    return path


def test_what_an_earlier_version_did_not_record_is_not_claimed(finished, tmp_path):
    path = edited(finished, tmp_path, verified_devices=None, rebuilt_fingerprint=None)
    replayed = replay_run(path)
    assert replayed.compared
    assert str(replayed).startswith("rebuilt: 3 updates")
    assert "was not recorded by the version that wrote this run" in str(replayed)


def test_some_devices_are_verified_and_others_named(finished, tmp_path):
    path = edited(finished, tmp_path, verified_devices=[0], not_verified="device 1: its host left")
    text = str(replay_run(path))
    assert text.startswith("bit-identical: ")
    assert text.endswith("which are the live weights of device 0; not verified for device 1: its host left")
    summary = msgspec.structs.replace(finished.summary, verified_devices=(0,), not_verified="device 1: its host left")
    told = dict(summary_rows(summary))["final weights"]
    assert told.startswith("verified for device 0: ")
    assert told.endswith("; not verified for device 1: its host left")


def test_a_run_that_failed_is_not_called_cut_off(finished, tmp_path):
    fields = {"verified_devices": None, "rebuilt_fingerprint": None, "final_fingerprint": None}
    path = edited(finished, tmp_path, **fields, failure="device 1: no answer")
    assert "run failed (device 1: no answer)" in str(replay_run(path))


def record(num: int, here: bool = False, *, evaluated: bool = True) -> RoundRecord:
    return RoundRecord(
        round=0, seed=1, scheme="coherent", status="ok", attempt=1, metric=0.5 if evaluated else None,
        evaluated_by=num, evaluated_here=here,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("records", "words", "unverified"),
    [
        ([], "none", 0),
        ([record(0, evaluated=False)], "none", 0),
        ([record(1, here=True)] * 2, "this process itself", 0),
        ([record(2)] * 2, "two hosts agreed", 0),
        ([record(3)], "3 hosts agreed", 0),
        ([record(2), record(4)], "2 to 4 hosts agreed", 0),
        ([record(1)], "one host, which nobody checked", 1),
        ([record(0)], "not recorded by whom", 1),
        ([record(2), record(1), record(1)], "1: two hosts agreed, 2: one host, which nobody checked", 2),
        ([record(1, here=True), record(2)], "1: this process itself, 1: two hosts agreed", 0),
    ],
)
def test_who_evaluated_is_said_in_words(records, words, unverified):
    found = evaluations_of(None, records)
    assert (found.words, found.num_unverified) == (words, unverified)
    assert (found.warning is None) == (unverified == 0)


def test_the_untouched_models_evaluation_counts_too():
    initial = InitialEvaluation(loss=1.0, metric=0.5, num_examples=8, evaluated_by=1)
    found = evaluations_of(initial, [record(2)])
    assert (found.num, found.num_unverified) == (2, 1)
    assert found.warning == (
        "1 of 2 evaluations were checked by nobody: 1: two hosts agreed, 1: one host, which nobody checked"
    )


def test_devices_are_listed_in_ranges():
    assert listed([]) == "devices none"
    assert listed([3]) == "device 3"
    assert listed([1, 0]) == "devices 0, 1"
    assert listed([7, 0, 1, 2, 9, 8]) == "devices 0-2, 7-9"
    assert listed([0, 1, 5]) == "devices 0, 1, 5"


def test_absent_devices_are_one_column():
    records = [msgspec.structs.replace(record(0), round=n, absent=absent) for n, absent in enumerate([(), (1, 3)])]
    assert columns_of(records)["absent"] == [(), (1, 3)]
