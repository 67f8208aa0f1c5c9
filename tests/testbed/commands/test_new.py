"""A copy of what comes with the toolkit, to be changed."""

from pathlib import Path

import pytest

from testbed.commands.cli import main
from testbed.config.files import RIG_DIRECTORY, load


def ended(*arguments: str) -> int:
    with pytest.raises(SystemExit) as end:
        main(["new", *arguments])
    return int(str(end.value.code))


def test_copies_run_and_replace_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert ended("rig", "pluto_bench_5") == 0
    assert Path("pluto_bench_5.toml").read_bytes() == (RIG_DIRECTORY / "pluto_bench_5.toml").read_bytes()
    assert ended("experiment", "quickstart_energy.toml", "mine.toml") == 0
    assert load(None, "mine.toml", []) == load(None, "quickstart_energy", [])
    assert "testbed run --experiment mine.toml" in capsys.readouterr().out
    Path("mine.toml").write_text("mine")
    assert ended("experiment", "quickstart", "mine.toml") == 1
    assert Path("mine.toml").read_text() == "mine"
    assert ended("rig", "pluto_bench") == 1
    assert ended("scheme", "energy") == 1
    assert ended("rig", "awgn", "nowhere/x.toml") == 1
    said = capsys.readouterr().err
    assert "File exists; name another file" in said
    assert "did you mean 'pluto_bench_5'" in said
    assert "allowed: rig, experiment" in said
