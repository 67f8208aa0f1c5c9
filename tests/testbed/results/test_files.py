"""The one helper for writing and reading: whole or not at all, whatever call fails."""

import os
import stat
import threading

import pytest

from learner.errors import ModelError
from testbed.errors import RunDirectoryError
from testbed.results import files


def write_weights(path):
    path.write_bytes(b"new")


def write_model(path):
    path.mkdir()
    (path / "model").write_bytes(b"new")
    (path / "tokenizer").write_bytes(b"new")


@pytest.mark.parametrize(
    "action",
    [
        lambda path: files.write(path, b"new"),
        lambda path: files.write(path, "new"),
        lambda path: files.write_with(path, write_weights),
    ],
)
def test_a_write_that_fails_at_any_call_leaves_the_old_file_and_nothing_else(tmp_path, fail_at, action):
    path = tmp_path / "file"
    counted = fail_at(None)
    action(path)
    assert path.read_bytes() == b"new"
    assert counted.num_calls >= 3
    for n in range(counted.num_calls):
        path.write_bytes(b"old")
        fail_at(n)
        with pytest.raises(RunDirectoryError, match=r"file: cannot be written: No space left on device; \w+") as failed:
            action(path)
        assert "\n" not in str(failed.value)
        assert path.read_bytes() == b"old"
        assert os.listdir(tmp_path) == ["file"]


def test_a_folder_appears_whole_or_not_at_all(tmp_path, fail_at):
    path = tmp_path / "a" / "model"
    counted = fail_at(None)
    files.write_with(path, write_model)
    assert sorted(os.listdir(path)) == ["model", "tokenizer"]
    for n in range(counted.num_calls):
        fail_at(n)
        with pytest.raises(RunDirectoryError, match="No space left"):
            files.write_with(tmp_path / "b" / "model", write_model)
        assert not (tmp_path / "b").exists() or not os.listdir(tmp_path / "b")
    with pytest.raises(RunDirectoryError, match="not an empty directory"):
        files.write_with(path, write_model)


def test_an_append_that_fails_at_any_call_leaves_what_was_there(tmp_path, fail_at):
    path = tmp_path / "lines"
    files.write(path, b"one\n")
    counted = fail_at(None)
    files.append(path, b"two\n")
    for n in range(counted.num_calls):
        fail_at(n)
        with pytest.raises(RunDirectoryError, match="No space left"):
            files.append(path, b"three\n")
        assert path.read_bytes() == b"one\ntwo\n"


def test_what_a_writer_of_the_learner_says_becomes_one_line(tmp_path):
    def refuse(path):
        raise ModelError("cannot save weights: it rains")

    with pytest.raises(RunDirectoryError, match=r"weights: cannot save weights: it rains"):
        files.write_with(tmp_path / "weights", refuse)
    assert not os.listdir(tmp_path)


def test_any_other_exception_of_a_writer_is_passed_on(tmp_path):
    def break_down(path):
        path.write_bytes(b"half")
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        files.write_with(tmp_path / "weights", break_down)
    assert not os.listdir(tmp_path)


def test_a_pipe_is_written_to_and_never_replaced(tmp_path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    heard = []
    reader = threading.Thread(target=lambda: heard.append(pipe.read_bytes()))
    reader.start()
    files.write(pipe, b"text")
    reader.join()
    assert heard == [b"text"]
    assert stat.S_ISFIFO(pipe.stat().st_mode)
    with pytest.raises(RunDirectoryError, match="got a device or a pipe"):
        files.write_with(pipe, write_weights)
    assert stat.S_ISFIFO(pipe.stat().st_mode)


def test_a_link_stays_a_link_to_what_was_written(tmp_path):
    (tmp_path / "real").write_bytes(b"old")
    (tmp_path / "link").symlink_to("real")
    files.write(tmp_path / "link", b"new")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "real").read_bytes() == b"new"


def test_names_that_no_file_can_have_are_refused_in_one_line(tmp_path):
    for name in ("a\0b", "x" * 300):
        with pytest.raises(RunDirectoryError, match="name"):
            files.write(tmp_path / name, b"")
    with pytest.raises(RunDirectoryError, match="cannot be read: No such file"):
        files.read(tmp_path / "nothing")
