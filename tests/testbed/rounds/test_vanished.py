"""A run directory that goes while a run is writing it ends the run in one line; nothing is made anew in its place."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from testbed.commands.cli import main
from testbed.results import files
from testbed.rounds import processes

TINY = ("num_devices=2", "rounds.num=3", "rounds.eval_every=1", "task.num_test=8", "learner.batch_size=2")


class Robbed(files.System):
    """Before one of the calls that add to a file, something happens to the run directory; waits for no disk."""

    def __init__(self, call: int, rob: Callable[[], object]) -> None:
        self.num_calls, self._call, self._rob = 0, call, rob

    def sync(self, descriptor: int) -> None:
        self.num_calls += 1
        if self.num_calls == self._call:
            self._rob()


def move(path: Path) -> None:
    path.rename(path.with_name("moved"))


def remove_rounds(path: Path) -> None:
    (path / "rounds.jsonl").unlink()


def remove_journal(path: Path) -> None:
    (path / "journal.bin").unlink()


def ended_with(path: Path, capsys: pytest.CaptureFixture[str]) -> str:
    settings = [text for setting in TINY for text in ("--set", setting)]
    with pytest.raises(SystemExit) as ended:
        main(["run", "--out", str(path), *settings])
    assert ended.value.code == 1
    errors = [line for line in capsys.readouterr().err.splitlines() if "error" in line.lower()]
    assert len(errors) == 1
    return errors[0]


@pytest.mark.parametrize("rob", [move, shutil.rmtree, remove_rounds, remove_journal])
@pytest.mark.parametrize("call", [7, 12])
def test_what_goes_under_a_run_ends_it_in_one_line(rob, call, tmp_path, monkeypatch, capsys):
    path = tmp_path / "run"
    monkeypatch.setattr(processes, "write_report", lambda directory: None)
    monkeypatch.setattr(files, "system", Robbed(call, lambda: rob(path)))
    said = ended_with(path, capsys)
    assert "removed" in said
    assert str(path) in said
    if rob in (move, shutil.rmtree):
        assert not path.exists(), "nothing was made anew"


def test_a_directory_that_goes_after_the_last_round_ends_the_run_in_one_line(tmp_path, monkeypatch, capsys):
    path = tmp_path / "run"
    monkeypatch.setattr(processes, "write_report", lambda directory: move(directory.path))
    assert "removed" in ended_with(path, capsys)
    assert not path.exists()
