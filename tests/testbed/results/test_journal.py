"""The journal: whole records or nothing, whatever a crash leaves behind."""

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from testbed.errors import JournalError
from testbed.results import journal as j

START = j.Start(version=1, run_id="run", initial_fingerprint="00")
RECORDS = [
    START,
    j.Spent(round=0, attempt=1, rho=0.25),
    j.Result(round=0, attempt=1, status="ok", seed=2**62, estimates=(1.5,), coefficients=(0.125,)),
    j.Spent(round=1, attempt=1, rho=None),
    j.Result(round=1, attempt=2, status="rejected", seed=5, estimates=(), coefficients=()),
]


@pytest.fixture
def path(tmp_path):
    with j.Journal(tmp_path / "journal.bin") as journal:
        for record in RECORDS:
            journal.append(record)
    return tmp_path / "journal.bin"


def test_what_was_appended_is_read_back_in_order(path):
    assert j.read(path) == RECORDS


def test_a_reopened_journal_knows_its_past_and_goes_on(path):
    more = j.Spent(round=2, attempt=1, rho=1.0)
    with j.Journal(path) as journal:
        assert journal.records == RECORDS
        journal.append(more)
        assert journal.records[-1] == more
    assert j.read(path) == [*RECORDS, more]


def test_a_cut_at_any_byte_loses_only_the_record_that_was_cut(path):
    whole = path.read_bytes()
    ends = [len(j_bytes) for j_bytes in _prefixes(whole)]
    for cut in range(ends[0], len(whole)):
        path.write_bytes(whole[:cut])
        survivors = sum(end <= cut for end in ends)
        assert j.read(path) == RECORDS[:survivors]
        with j.Journal(path) as journal:
            journal.append(RECORDS[1])
        assert j.read(path) == [*RECORDS[:survivors], RECORDS[1]]


def _prefixes(data):
    """The file after each record."""
    end = 0
    while end < len(data):
        end += 8 + int.from_bytes(data[end : end + 4], "little")
        yield data[:end]


@given(position=st.integers(0, 10_000), flip=st.integers(1, 255))
def test_a_flipped_byte_never_yields_a_false_record(tmp_path_factory, position, flip):
    path = tmp_path_factory.mktemp("journal") / "journal.bin"
    with j.Journal(path) as journal:
        for record in RECORDS:
            journal.append(record)
    data = bytearray(path.read_bytes())
    data[position % len(data)] ^= flip
    path.write_bytes(data)
    try:
        records = j.read(path)
    except JournalError:
        return
    assert records == RECORDS[: len(records)]


def test_a_file_that_is_no_journal_is_refused(tmp_path):
    (tmp_path / "other").write_bytes(b"hello, this is a text")
    with pytest.raises(JournalError, match="holds no journal"):
        j.read(tmp_path / "other")
    with pytest.raises(JournalError, match="cannot be read"):
        j.read(tmp_path / "nothing")


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="this system has no /dev/full")
def test_a_full_disk_is_reported_with_the_remedy():
    with j.Journal(j.Path("/dev/full")) as journal, pytest.raises(JournalError, match=r"No space left.*--resume"):
        journal.append(START)
