"""Lines that a C library writes on standard error stand above a live display, whole, on a real terminal."""

import os
import pty
import re
import subprocess
import sys
import threading
from pathlib import Path

ROOT = Path(__file__).parents[4]
RUN = """
import ctypes, time
from testbed.commands.screen.display import RunDisplay
from testbed.results.records import RoundRecord, RunInfo

libc = ctypes.CDLL(None)
stderr = ctypes.c_void_p.in_dll(libc, "stderr")

def say(text):
    libc.fputs(text.encode(), stderr)
    libc.fflush(stderr)

info = RunInfo(run_id="x", started="", seed=1, num_parameters=1, initial_fingerprint="", versions={}, host={}, git=None,
               command=[])
with RunDisplay(waits=False) as display:
    display.started(info, 0, 9)
    for index in range(9):
        time.sleep(0.05)
        say("ERROR: Unable to dequeue block: ")
        say("Connection timed out\\n")
        if index == 4:
            say("WARNING: High-speed mode not enabled [pluto]\\n")
        display.round_done(RoundRecord(round=index, seed=1, scheme="coherent", status="ok", attempt=1))
say("after\\n")
"""
ESCAPE = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


def on_a_terminal(code: str, *, columns: int = 100) -> str:
    """What a program writes on a terminal of its own, standard error included."""
    ours, theirs = pty.openpty()
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": str(columns), "TERM": "xterm"}
    written = bytearray()

    def read() -> None:
        try:
            while chunk := os.read(ours, 65536):
                written.extend(chunk)
        except OSError:  # the other end is closed
            return

    reader = threading.Thread(target=read)
    reader.start()
    try:
        subprocess.run(
            [sys.executable, "-c", code], stdin=theirs, stdout=theirs, stderr=theirs, env=environment, check=True,
            timeout=120, cwd=ROOT,
        )  # fmt: skip
    finally:
        os.close(theirs)
        reader.join(10)
        os.close(ours)
    return written.decode()


def test_lines_of_a_c_library_do_not_tear_the_bar() -> None:
    shown = on_a_terminal(RUN)
    lines = [line.rstrip("\r").rpartition("\r")[2] for line in ESCAPE.sub("", shown).split("\n")]
    lines = [line.strip() for line in lines if line.strip()]
    errors = [line for line in lines if "dequeue" in line and "times: " not in line]
    assert errors
    assert all(line == "ERROR: Unable to dequeue block: Connection timed out" for line in errors)
    assert "WARNING: High-speed mode not enabled [pluto]" in lines
    assert len(errors) == 2, "repeated lines are printed once, and again after another one"
    said = "times: ERROR: Unable to dequeue block: Connection timed out)"
    assert [line for line in lines if "times: " in line] == [f"(5 {said}", f"(4 {said}"]
    assert lines[-1] == "after", "afterwards standard error is the terminal again"
    bars = [line for line in lines if "9/9" in line]
    assert bars
    assert not any("ERROR" in line for line in bars)


def test_a_narrow_terminal_shows_the_round_and_what_is_learnt() -> None:
    code = RUN.replace('scheme="coherent"', 'scheme="coherent", loss=0.5, metric=0.75')
    shown = ESCAPE.sub("", on_a_terminal(code, columns=40))
    (last,) = {line.rstrip() for line in re.split(r"[\r\n]+", shown) if line.startswith("9/9")}
    assert last == "9/9 loss 0.500  accuracy 75.0 %"
