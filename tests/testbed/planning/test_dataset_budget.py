"""The data-set budget's file: drawn from once a run, by one process at a time, never refunded, never misread."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time

import msgspec
import pytest

from testbed.config.schema import PrivacyConfig
from testbed.errors import BudgetError
from testbed.planning import dataset_budget as d
from testbed.results import files

LOOP = """
import sys, itertools
from pathlib import Path
from testbed.errors import BudgetError
from testbed.planning import dataset_budget as d
path, who, epsilon = Path(sys.argv[1]), sys.argv[2], float(sys.argv[3])
print("ready", flush=True)
for n in itertools.count():
    asked = d.Reserved(run_id=f"{who}-{n}", run="x", epsilon=epsilon, delta=1e-9, level="client",
                       adjacency="replace", clients="c", utc="")
    try:
        d.reserve(path, asked)
    except BudgetError as err:
        print(err, flush=True)
        break
    print(asked.run_id, flush=True)
"""


def asked(run_id="a", epsilon=0.1, delta=1e-6, **other):
    values = {"run": "x", "level": "client", "adjacency": "replace", "clients": "c", "utc": "2026"} | other
    return d.Reserved(run_id=run_id, epsilon=epsilon, delta=delta, **values)


@pytest.fixture
def path(tmp_path):
    d.create(tmp_path / "data.budget", d.Opened(epsilon=1.0, delta=1e-5, note="line\nbreak"))
    return tmp_path / "data.budget"


def test_ten_tenths_are_the_whole_and_one_more_is_refused(path):
    for n in range(10):
        d.reserve(path, asked(str(n)))
    assert d.read(path).epsilon_left == 0
    with pytest.raises(BudgetError, match=r"allowed: up to \(0, 0\), which 10 runs have left of \(1, 1e-05\)"):
        d.reserve(path, asked("eleventh", epsilon=1e-12, delta=1e-12))
    assert len(d.read(path).reserved) == 10


@pytest.mark.parametrize(("epsilon", "delta"), [(1.0000001, 1e-6), (0.5, 1.0000001e-5)])
def test_either_of_the_two_can_be_what_is_missing(path, epsilon, delta):
    with pytest.raises(BudgetError, match="allowed: up to"):
        d.reserve(path, asked(epsilon=epsilon, delta=delta))
    assert d.read(path).reserved == ()


@pytest.mark.parametrize("other", [{"level": "example", "clients": None}, {"adjacency": "remove"}])
def test_promises_to_unlike_neighbours_are_not_added(path, other):
    with pytest.raises(BudgetError, match="which this budget counts"):
        d.reserve(path, asked(**other))


def test_clients_that_hold_other_data_are_other_clients(path):
    d.reserve(path, asked())
    with pytest.raises(BudgetError, match="unlike clients"):
        d.reserve(path, asked("b", clients="otherwise"))


def test_one_run_draws_once(path):
    d.reserve(path, asked())
    with pytest.raises(BudgetError, match="has drawn already"):
        d.reserve(path, asked())


def test_a_budget_is_never_begun_anew(path):
    before = path.read_bytes()
    with pytest.raises(BudgetError, match="is there already"):
        d.create(path, d.Opened(epsilon=100.0, delta=0.1))
    assert path.read_bytes() == before


def test_every_flipped_byte_and_every_cut_within_a_line_is_refused(path):
    d.reserve(path, asked("a"))
    d.reserve(path, asked("b"))
    whole = path.read_bytes()
    ends = [n + 1 for n, byte in enumerate(whole) if byte == ord("\n")]
    for at in range(len(whole)):
        for flip in (1, 32, 128):
            path.write_bytes(whole[:at] + bytes([whole[at] ^ flip]) + whole[at + 1 :])
            with pytest.raises(BudgetError, match="restore the newest"):
                d.read(path)
        if at not in ends:
            path.write_bytes(whole[:at])
            with pytest.raises(BudgetError, match=r"restore the newest|is empty"):
                d.reserve(path, asked("c"))
            assert path.read_bytes() == whole[:at]  # nothing is cut off, added or repaired


def test_removed_swapped_repeated_and_zeroed_lines_are_refused(path):
    d.reserve(path, asked("a"))
    d.reserve(path, asked("b"))
    first, a, b = path.read_bytes().splitlines(keepends=True)
    for damaged in (
        first + b,
        first + b + a,
        first + a + a,
        a + b,
        first + first + a,
        first + a + bytes(len(b)),
        b"\n",
    ):
        path.write_bytes(damaged)
        with pytest.raises(BudgetError, match="restore the newest whole copy"):
            d.read(path)


class NthFails(files.System):
    """Refuses one call of one kind; a failing write leaves half of what it was given."""

    def __init__(self, kind: str) -> None:
        self.kind = kind

    def write(self, descriptor, data):
        if self.kind == "write" and len(data) > 1:
            return super().write(descriptor, data[: len(data) // 2])
        if self.kind == "write":
            raise OSError(28, "No space left on device")
        return super().write(descriptor, data)

    def sync(self, descriptor):
        if self.kind == "sync":
            raise OSError(5, "Input/output error")
        super().sync(descriptor)


@pytest.mark.parametrize(("kind", "counted"), [("write", 0), ("sync", 1)])
def test_a_disk_that_fails_is_said_and_what_may_be_on_it_counts(path, monkeypatch, kind, counted):
    with monkeypatch.context() as patched:
        patched.setattr(files, "system", NthFails(kind))
        with pytest.raises(BudgetError, match="nothing may be sent on this budget"):
            d.reserve(path, asked())
    assert len(d.read(path).reserved) == counted


def test_a_failed_beginning_leaves_no_file(tmp_path, monkeypatch):
    monkeypatch.setattr(files, "system", NthFails("write"))
    with pytest.raises(BudgetError, match="No space left"):
        d.create(tmp_path / "new", d.Opened(epsilon=1.0, delta=1e-5))
    assert not (tmp_path / "new").exists()


def loop(path, who, epsilon):
    return subprocess.Popen(
        [sys.executable, "-c", LOOP, str(path), who, str(epsilon)], stdout=subprocess.PIPE, text=True
    )


def test_processes_that_draw_at_once_never_draw_more_than_there_is(path):
    processes = [loop(path, who, 0.01) for who in "abc"]
    told = [process.communicate(timeout=120)[0].splitlines() for process in processes]
    granted = sorted(line for lines in told for line in lines[1:-1])
    assert len(granted) == 100
    assert granted == sorted(r.run_id for r in d.read(path).reserved)


def test_what_was_granted_is_there_after_kill_9(path):
    for attempt in range(4):
        process = loop(path, f"k{attempt}", 1e-6)
        for _ in range(10 + 3 * attempt):
            process.stdout.readline()
        time.sleep(0.003 * attempt)
        process.kill()
        granted = {line for line in process.stdout.read().splitlines() if line.startswith("k")}
        process.wait()
        process.stdout.close()
        assert granted <= {r.run_id for r in d.read(path).reserved}
    d.reserve(path, asked("afterwards"))  # and no lock is left behind


@pytest.mark.parametrize("kind", ["missing", "folder", "pipe", "empty", "nul", "null device"])
def test_what_is_no_budget_file_is_refused_in_one_line(tmp_path, kind):
    path = tmp_path / "x"
    if kind == "folder":
        path.mkdir()
    elif kind == "pipe":
        os.mkfifo(path)
    elif kind == "empty":
        path.touch()
    elif kind == "nul":
        path = tmp_path / "a\0b"
    elif kind == "null device":
        path = tmp_path.__class__("/dev/null")
    for attempt in (lambda: d.read(path), lambda: d.reserve(path, asked())):
        with pytest.raises(BudgetError) as refused:
            attempt()
        assert "\n" not in str(refused.value)


def test_a_later_version_is_not_read_as_this_one(path):
    record = json.loads(path.read_bytes())["record"] | {"version": 2}
    path.write_bytes(msgspec.json.encode({"record": record, "hash": "0" * 64}) + b"\n")
    with pytest.raises(BudgetError, match="no line of a budget of version 1"):
        d.read(path)


def test_words_say_whether_a_promise_stands_alone():
    assert d.scope_words(PrivacyConfig()) == "this run alone"
    assert "drawn from the data-set budget b.budget" in d.scope_words(PrivacyConfig(budget="b.budget"))
