"""What a command prints is written, or the command has failed and says so in one line."""

import io
import os
import sys
import threading

import pytest

from testbed.commands.cli import main
from testbed.commands.screen.output import flush_or_fail, written_output
from testbed.errors import OutputError

needs_full = pytest.mark.skipif(not os.path.exists("/dev/full"), reason="this system has no /dev/full")


@needs_full
@pytest.mark.parametrize(
    "arguments", [["--help"], ["plan", "--set", "rounds.num=5"], ["run", "--help"]], ids=lambda words: words[0]
)
def test_a_full_standard_output_is_one_line_and_exit_code_1(arguments, monkeypatch, capsys, tmp_path):
    monkeypatch.chdir(tmp_path)
    with open("/dev/full", "w", encoding="utf-8") as full:
        monkeypatch.setattr(sys, "stdout", full)
        with pytest.raises(SystemExit) as ended:
            main(arguments)
        full.write("what the interpreter may still flush at its end")
    assert ended.value.code == 1
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1, lines
    assert lines[0].startswith("error: standard output: cannot be written: No space left on device; ")


@needs_full
def test_what_is_still_buffered_fails_at_the_end():
    with open("/dev/full", "w", encoding="utf-8") as full, pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "stdout", full)
        with pytest.raises(OutputError), written_output():
            print("short", end="")


def test_a_reader_who_has_left_is_no_failure(monkeypatch):
    reading, writing = os.pipe()
    os.close(reading)
    with open(writing, "w", encoding="utf-8") as pipe:
        monkeypatch.setattr(sys, "stdout", pipe)
        print("for nobody", end="")
        flush_or_fail()
        print("nor this", end="")


def test_output_that_is_no_file_is_left_alone(monkeypatch):
    stream = io.StringIO()
    monkeypatch.setattr(sys, "stdout", stream)
    with written_output():
        print("text")
        assert sys.stdout.getvalue() == "text\n"
    assert sys.stdout is stream
    monkeypatch.setattr(sys, "stdout", None)
    with written_output():
        flush_or_fail()


@pytest.mark.parametrize("name", ["plan.gif", "plan.tar.gz"])
def test_a_picture_of_a_kind_that_cannot_be_drawn_is_refused_before_anything_is_computed(name, tmp_path, capsys):
    with pytest.raises(SystemExit) as ended:
        main(["plan", "--png", str(tmp_path / name)])
    assert ended.value.code == 1
    said = capsys.readouterr()
    assert "allowed: png, svg, pdf" in said.err
    assert said.out == ""


def test_a_picture_can_go_through_a_pipe(tmp_path):
    pipe = tmp_path / "picture"
    os.mkfifo(pipe)
    heard = []
    reader = threading.Thread(target=lambda: heard.append(pipe.read_bytes()))
    reader.start()
    with pytest.raises(SystemExit) as ended:
        main(["plan", "--set", "rounds.num=5", "--png", str(pipe)])
    assert ended.value.code == 0
    reader.join()
    assert heard[0].startswith(b"\x89PNG")
