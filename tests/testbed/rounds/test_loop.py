"""Whole runs through `conduct`, with hosts that hang, crash or are never heard; real sockets, model and files."""

import threading
from pathlib import Path

import pytest

from learner.zo.replica import Replica
from testbed.bench.rig import resolve
from testbed.commands.cli import main
from testbed.config.files import load
from testbed.control import messages as m
from testbed.control.air_wire import air_setup, make_air
from testbed.control.transport import Server, context
from testbed.errors import CrashError, NothingUsedError, RunDirectoryError, StalledRunError
from testbed.failures import Watch
from testbed.results import journal as j
from testbed.results.directory import RunDirectory
from testbed.rounds import loop
from testbed.rounds.office import RunOffice
from testbed.rounds.processes import run_in_one_process
from testbed.rounds.resume import resume

SMALL = ("rounds.num=6", "rounds.eval_every=6", "task.num_test=32")
SHORT = (
    "control.learner_timeout_s=0.5",
    "control.radio_timeout_s=0.5",
    "control.rejoin_timeout_s=0.5",
    "rounds.max_attempts=1",
)


def config(*overrides: str):
    return resolve(load(None, None, [*SMALL, *overrides]))


def failing_from(monkeypatch: pytest.MonkeyPatch, call: int, fail) -> None:
    """From its ``call``-th round on, the model fails."""
    scalars = Replica.scalars
    calls = []

    def replaced(self, *arguments, **named):
        calls.append(None)
        if len(calls) >= call:
            fail()
        return scalars(self, *arguments, **named)

    monkeypatch.setattr(Replica, "scalars", replaced)


def out_of_memory() -> None:
    raise RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB\nmore lines")


def test_an_unexpected_exception_of_a_host_ends_the_run_with_its_cause_and_keeps_its_traceback(tmp_path, monkeypatch):
    failing_from(monkeypatch, 3, out_of_memory)
    with pytest.raises(CrashError, match=r"RuntimeError: CUDA out of memory\. Tried to allocate 2\.00 GiB") as caught:
        run_in_one_process(config(), out=tmp_path / "run")
    assert "\n" not in str(caught.value)
    kept = tmp_path / "run" / "crash-1.txt"
    assert str(kept) in str(caught.value)
    assert "out_of_memory" in kept.read_text()
    assert [record.status for record in RunDirectory.open(tmp_path / "run").read_rounds()] == ["ok", "ok"]


def test_the_command_says_the_cause_in_one_line_and_exits_with_1(tmp_path, monkeypatch, capsys):
    failing_from(monkeypatch, 1, out_of_memory)
    settings = [text for setting in SMALL for text in ("--set", setting)]
    with pytest.raises(SystemExit) as ended:
        main(["run", "--out", str(tmp_path / "run"), *settings])
    assert ended.value.code == 1
    errors = capsys.readouterr().err
    assert "error: RuntimeError: CUDA out of memory" in errors
    assert "Traceback" not in errors


def test_an_unexpected_exception_of_the_access_point_ends_the_run_in_the_same_way(tmp_path, monkeypatch):
    def broken(*_: object, **__: object) -> None:
        raise ZeroDivisionError("a fault of ours")

    monkeypatch.setattr("testbed.rounds.round.nmse_db", broken)
    with pytest.raises(CrashError, match="ZeroDivisionError: a fault of ours"):
        run_in_one_process(config(), out=tmp_path / "run")
    assert "nmse_db" in (tmp_path / "run" / "crash-1.txt").read_text()


def test_a_crash_is_said_even_where_its_traceback_cannot_be_written(tmp_path, monkeypatch):
    failing_from(monkeypatch, 1, out_of_memory)

    def refused(*_: object) -> None:
        raise RunDirectoryError("crash-1.txt: No space left on device")

    monkeypatch.setattr(RunDirectory, "keep_traceback", refused)
    with pytest.raises(CrashError, match=r"CUDA out of memory.*no file \(crash-1\.txt: No space left on device\)"):
        run_in_one_process(config(), out=tmp_path / "run")


def test_a_host_that_hangs_ends_the_run_after_as_many_skipped_rounds_as_it_says(tmp_path, monkeypatch):
    released = threading.Event()
    failing_from(monkeypatch, 3, lambda: released.wait(60))
    try:
        with pytest.raises(StalledRunError, match=r"3 rounds in a row were skipped .* no answer in 10 s"):
            run_in_one_process(
                config("rounds.num=60", "rounds.eval_every=60", *SHORT, "control.learner_timeout_s=10"),
                out=tmp_path / "run",
                progress=_ReleaseAtEnd(released),
            )
    finally:
        released.set()
    statuses = [record.status for record in RunDirectory.open(tmp_path / "run").read_rounds()]
    assert statuses == ["ok", "ok", "skipped", "skipped", "skipped"]


class _ReleaseAtEnd:
    """Lets the hanging host go with the third skipped round, so that its thread can end with the run."""

    def __init__(self, released: threading.Event) -> None:
        self._released = released
        self._num_skipped = 0

    def waiting(self, missing) -> None: ...

    def started(self, info, first_round, num_rounds) -> None: ...

    def round_done(self, record) -> None:
        self._num_skipped += record.status == "skipped"
        if self._num_skipped == 3:
            self._released.set()


def test_a_run_in_which_no_round_was_used_is_no_success(tmp_path, capsys):
    settings = ["--set", "scheme.name=digital", "--set", "air.snr_db=-30", "--set", "rounds.max_attempts=1"]
    settings += [text for setting in SMALL for text in ("--set", setting)]
    with pytest.raises(SystemExit) as ended:
        main(["run", "--out", str(tmp_path / "run"), *settings])
    assert ended.value.code == 1
    printed = capsys.readouterr()
    assert "none of 6 rounds was used (6 rejected)" in printed.err
    assert "0 / 6 / 6 (6 rejected)" in printed.out
    outcome = RunDirectory.open(tmp_path / "run").read_summary()
    assert outcome is not None
    assert (outcome.rounds_ok, outcome.rounds_rejected) == (0, 6)
    assert outcome.warnings[0].startswith("6 of 6 rounds were received but rejected")


def test_python_is_told_of_a_useless_run_too(tmp_path):
    outcome = run_in_one_process(
        config("scheme.name=digital", "air.snr_db=-30", "rounds.num=2", "rounds.max_attempts=1"), out=tmp_path / "run"
    )
    with pytest.raises(NothingUsedError, match="none of 2 rounds"):
        outcome.check()


def test_silent_rounds_leave_no_recording_and_every_recording_is_its_own_rounds(tmp_path):
    weak = ("num_devices=2", "scheme.alignment.name=truncated", "scheme.alignment.truncate_below_db=3")
    outcome = run_in_one_process(
        config(*weak, "rounds.num=12", "rounds.eval_every=1", "task.num_test=8"), out=tmp_path / "run"
    )
    records = outcome.directory.read_rounds()
    silent = {record.round for record in records if record.status == "silent"}
    recorded = {int(path.stem.removeprefix("round-")): path for path in outcome.directory.captures.glob("*.sigmf-data")}
    assert silent, "a seed with silent rounds is what this test is about"
    assert set(recorded) == {record.round for record in records} - silent
    assert len({path.read_bytes() for path in recorded.values()}) == len(recorded)


def test_a_thread_that_dies_is_found_by_whoever_waits():
    with Watch() as watch:
        thread = threading.Thread(target=out_of_memory, name="receiver")
        thread.start()
        thread.join()
        with pytest.raises(CrashError, match="thread receiver: RuntimeError: CUDA out of memory"):
            watch.check()


def test_a_planned_silence_is_a_result_that_the_journal_keeps(tmp_path: Path):
    start = j.Start(version=j.VERSION, run_id="r", initial_fingerprint="aa")
    journal = j.Journal.begun(tmp_path / "journal.bin", start)
    silent = j.Result(round=0, attempt=1, status="silent", seed=1, estimates=(), coefficients=())
    journal.append(silent)
    journal.close()
    assert j.read(tmp_path / "journal.bin") == [start, silent]


def test_a_run_that_was_cut_off_behind_its_last_round_ends_without_hosts_and_says_so(tmp_path, monkeypatch):
    monkeypatch.setattr(loop, "LAST_HOSTS_S", 0.2)
    directory = run_in_one_process(config(), out=tmp_path / "run").directory
    directory.summary.unlink()
    session = resume(directory.path)
    air = make_air(air_setup(session.config, session.info.run_id, clock_samples=session.clock_samples))
    with session.journal, context() as sockets, Server(sockets, m.control_codec(), "inproc://nobody") as server:
        office = RunOffice(session=session)
        summary = loop.conduct(session, server=server, office=office, medium=air, progress=loop.Quiet())
    assert summary.stopped == "done"
    assert summary.verified_devices == ()
    assert "they had no host at the end" in (summary.not_verified or "")
