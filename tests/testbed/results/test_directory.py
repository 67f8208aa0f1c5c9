"""The run directory: where it is made, what it refuses, how damage is told from a crash."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import testbed
from radio.link.simulated_rig import SimulatedRig
from testbed.config.schema import ResultsConfig
from testbed.errors import JournalError, RunDirectoryError
from testbed.results import files, provenance
from testbed.results.directory import RunDirectory, free_place
from testbed.results.recordings import CaptureInfo, load_capture, save_capture
from testbed.results.report import summary_rows
from testbed.results.space import MIB, capture_bytes, needed_space


def test_no_name_leads_out_of_the_runs_folder(tmp_path, monkeypatch):
    inside = tmp_path / "inside"
    inside.mkdir()
    monkeypatch.chdir(inside)
    for name in ("../../x", "/etc/x", "..", "", "a\0b", "x" * 500, "größe [red]", "a/b\nc"):
        for _ in range(2):  # in the same second
            assert free_place(name).resolve().parent == inside / "runs"
    assert os.listdir(tmp_path) == ["inside"]
    assert os.listdir(inside) == ["runs"]
    assert len(os.listdir(inside / "runs")) == 16


@pytest.fixture
def damaged(finished, tmp_path):
    """A finished run with another rounds.jsonl."""

    def damage(change):
        path = tmp_path / "damaged"
        shutil.copytree(finished.path, path)
        rounds = path / "rounds.jsonl"
        rounds.write_bytes(change(rounds.read_bytes()))
        return testbed.Run.open(path)

    return damage


def test_a_bad_byte_in_a_line_is_refused_with_file_and_line(damaged):
    def spoil(data):
        lines = data.split(b"\n")
        lines[1] = lines[1][:20] + b"\xff" + lines[1][21:]
        return b"\n".join(lines)

    run = damaged(spoil)
    with pytest.raises(RunDirectoryError, match=r"rounds\.jsonl, line 2: not the record of a round .*--resume"):
        _ = run.rounds
    with pytest.raises(RunDirectoryError, match="line 2"):
        testbed.run(resume=run.path)
    run.directory.rounds.unlink()  # as the message says
    resumed = testbed.run(resume=run.path)
    assert [record.round for record in resumed.rounds] == [0, 1, 2]


def test_a_last_line_that_a_crash_cut_short_is_left_out(damaged):
    assert len(damaged(lambda data: data[:-30]).rounds) == 2


def test_a_whole_last_line_with_a_bad_byte_is_damage(damaged):
    with pytest.raises(RunDirectoryError, match="line 3"):
        _ = damaged(lambda data: data[:-10] + b"\xff\n").rounds


def test_a_journal_damaged_before_its_end_is_refused_by_readers_and_writers(finished, tmp_path):
    shutil.copytree(finished.path, tmp_path / "run")
    path = tmp_path / "run" / "journal.bin"
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    for use in (lambda: testbed.replay(path.parent), lambda: testbed.run(resume=path.parent)):
        with pytest.raises(JournalError, match=r"damaged at byte \d+: \d+ whole records, \d+ acknowledged .*; restore"):
            use()
    assert path.read_bytes() == data


def test_zeros_at_the_end_of_a_journal_are_what_a_power_cut_leaves(finished, tmp_path):
    shutil.copytree(finished.path, tmp_path / "run")
    with (tmp_path / "run" / "journal.bin").open("ab") as file:
        file.write(bytes(100))
    assert testbed.replay(tmp_path / "run").compared


def test_a_directory_that_cannot_be_written_is_resumed_in_one_line_and_still_read(finished, monkeypatch):
    class ReadOnly(files.System):
        def open(self, path, flags):
            if flags & (os.O_WRONLY | os.O_RDWR):
                raise OSError(30, "Read-only file system")
            return super().open(path, flags)

    monkeypatch.setattr(files, "system", ReadOnly())
    with pytest.raises(JournalError, match=r"journal\.bin: cannot be opened for writing: Read-only file system; .*"):
        testbed.run(resume=finished.path)
    assert testbed.replay(finished).compared


# ---- how much it takes


def test_a_run_that_will_not_fit_is_refused_before_anything_is_made(tmp_path, monkeypatch):
    class Small(files.System):
        def free_bytes(self, path):
            return 100 * MIB

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(files, "system", Small())
    config = testbed.load(overrides={"rounds.num": 1_000_000})
    for out in (None, tmp_path / "a" / "b"):
        with pytest.raises(
            RunDirectoryError, match=r"100 MiB free, \d{4} MiB needed .*rounds \d{4}, .*max_capture_mib"
        ):
            RunDirectory.create(out, config, num_parameters=440_592)
    assert not list(tmp_path.rglob("*.toml"))
    assert not (tmp_path / "a").exists()
    RunDirectory.create(tmp_path / "c", testbed.load(), num_parameters=440_592)


def test_needed_space_is_more_than_a_run_takes_but_not_much(finished):
    needed = needed_space(finished.config, num_parameters=finished.info.num_parameters)
    size = {path: path.stat().st_size for path in finished.path.rglob("*") if path.is_file()}
    rounds = size[finished.directory.rounds] + size[finished.directory.journal]
    captures = sum(value for path, value in size.items() if path.suffix == ".sigmf-data")
    weights = sum(value for path, value in size.items() if path.suffix == ".safetensors")
    assert rounds <= needed.rounds <= 5 * rounds
    assert 0 < captures <= needed.captures <= 10 * captures
    assert weights * 0.98 <= needed.weights <= weights * 1.02
    assert sum(size.values()) <= needed.total


def test_captures_stay_within_their_bound_and_the_summary_says_what_was_left_out(tmp_path):
    bound = {"num_devices": 2, "rounds": {"num": 3, "eval_every": 1}, "task.num_test": 4, "learner.batch_size": 1}
    run = testbed.run(overrides={**bound, "results.max_capture_mib": 0.03}, out=tmp_path / "run")
    assert [record.capture for record in run.rounds] == ["kept", "left out", "left out"]
    assert [capture.round for capture in run.captures] == [0]
    assert (run.summary.captures_kept, run.summary.captures_left_out) == (1, 2)
    assert dict(summary_rows(run.summary))["captures"] == "1 kept, 2 left out (results.max_capture_mib)"
    assert "2 left out" in run.directory.report.read_text()
    assert ResultsConfig().max_capture_mib == 256


def test_a_capture_that_was_cut_off_is_refused(finished, tmp_path):
    shutil.copytree(finished.path / "captures", tmp_path / "captures")
    data_path = tmp_path / "captures" / "round-000000.sigmf-data"
    assert load_capture(data_path).tolist() == finished.captures[0].samples().tolist()
    data_path.write_bytes(b"123")
    with pytest.raises(RunDirectoryError, match="got 3 bytes"):
        load_capture(data_path)


def test_recordings_are_reckoned_with_their_json(tmp_path):
    """Of a superposition and of slots, of few devices and many."""
    for name, num_devices, num_queries in (
        ("coherent", 40, 1),
        ("digital", 2, 1),
        ("digital", 3, 40),
        ("digital", 40, 1),
    ):
        bound = {"num_devices": num_devices, "learner.num_queries": num_queries, "scheme.name": name}
        config = testbed.load(overrides=bound)
        rig = SimulatedRig(config.rig.air, name, num_devices=num_devices, frame=config.rig.frame)
        played = rig.play(np.full((num_devices, num_queries), 0.5))
        parts = rig.access_point.parts(played.plan)
        info = CaptureInfo(
            round=0, attempt=1, scheme=name, run_id="an id", rig=config.rig, plan=played.plan, parts=parts
        )  # fmt: skip
        folder = tmp_path / f"{name}-{num_devices}-{num_queries}"
        assert save_capture(folder, played.reception.captured, info)
        size = sum(path.stat().st_size for path in folder.iterdir())
        assert size <= capture_bytes(config) <= 2 * size


# ---- what produced it


def git(folder, *arguments):
    who = ("-c", "user.name=a", "-c", "user.email=a@b")
    subprocess.run(["git", *who, *arguments], cwd=folder, check=True, capture_output=True)


def placed(root):
    place = root / "testbed" / "results" / "provenance.py"
    place.parent.mkdir(parents=True)
    place.write_text("# the toolkit\n")
    return place


def test_a_toolkit_installed_inside_somebodys_repository_has_no_commit(tmp_path, monkeypatch):
    git(tmp_path, "init", "-q")
    git(tmp_path, "commit", "-qm", "x", "--allow-empty")
    monkeypatch.setattr(provenance, "__file__", str(placed(tmp_path / ".venv")))
    assert provenance.git_revision() is None
    own = placed(tmp_path)
    monkeypatch.setattr(provenance, "__file__", str(own))
    assert provenance.git_revision() is None, (
        "pip install --target put it at the top of a repository that tracks it not"
    )
    git(tmp_path, "add", str(own))
    git(tmp_path, "commit", "-qm", "y")
    revision = provenance.git_revision()
    assert revision
    monkeypatch.setenv("GIT_DIR", str(Path("nowhere")))
    monkeypatch.chdir(tmp_path / ".venv")
    assert provenance.git_revision() == revision
    own.write_text("# changed\n")
    assert provenance.git_revision() == f"{revision}-dirty"


def test_the_commit_is_not_that_of_the_repository_where_the_command_runs(tmp_path):
    """A real process, from an installed copy, in somebody else's repository."""
    for folder in (tmp_path, tmp_path / "site" / "inside"):
        folder.mkdir(parents=True, exist_ok=True)
        git(folder, "init", "-q")
        git(folder, "commit", "-qm", "x", "--allow-empty")
    shutil.copytree(
        Path(provenance.__file__).parents[1],
        tmp_path / "site" / "testbed",
        ignore=shutil.ignore_patterns("__pycache__"),
    )
    for package in ("radio", "learner"):
        (tmp_path / "site" / package).symlink_to(Path(provenance.__file__).parents[2] / package)
    code = "from testbed.results import provenance as p; print(p.__file__); print(p.git_revision())"
    found = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path / "site" / "inside", capture_output=True, text=True, check=True,
        env={**os.environ, "PYTHONPATH": str(tmp_path / "site")},
    ).stdout.splitlines()  # fmt: skip
    assert found == [str(tmp_path / "site" / "testbed" / "results" / "provenance.py"), "None"]
