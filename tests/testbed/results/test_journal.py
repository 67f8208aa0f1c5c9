"""The journal: whole records or nothing, whatever a crash leaves behind."""

import os

import pytest

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


@pytest.mark.parametrize("cut", [1, 20, 60, 100, 150, 200])
def test_a_cut_into_what_was_acknowledged_is_refused_at_any_byte(path, cut):
    whole = path.read_bytes()
    path.write_bytes(whole[:-cut])
    with pytest.raises(JournalError, match="restore the whole run directory"):
        j.Journal(path)
    assert path.read_bytes() == whole[:-cut]


def test_what_lies_behind_the_acknowledged_part_is_cut_off_after_a_backup(path):
    whole = path.read_bytes()
    path.write_bytes(whole + b"torn")
    with j.Journal(path) as journal:
        assert journal.records == RECORDS
    assert path.read_bytes() == whole
    assert path.with_name("journal.bin.1.bak").read_bytes() == whole + b"torn"


def test_a_record_on_disk_counts_even_if_the_crash_came_before_its_seal(path):
    before = path.read_bytes()
    with j.Journal(path) as journal:
        journal.append(RECORDS[1])
    # the seals are at the beginning: put both back
    path.write_bytes(before[:104] + path.read_bytes()[104:])
    with j.Journal(path) as journal:
        assert journal.records == [*RECORDS, RECORDS[1]]


def test_one_flipped_bit_anywhere_never_loses_a_record(path):
    whole = path.read_bytes()
    for position in range(len(whole)):
        data = bytearray(whole)
        data[position] ^= 1 << position % 8
        path.write_bytes(data)
        try:
            records = j.read(path)
        except JournalError:
            continue
        assert records == RECORDS


def test_a_journal_that_is_being_written_is_not_opened_twice(path):
    with j.Journal(path), pytest.raises(JournalError, match="another process is writing this run"):
        j.Journal(path)
    j.Journal(path).close()


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


def test_a_sealed_journal_of_a_later_version_is_refused_by_version(tmp_path):
    later = j.Start(version=j.VERSION + 1, run_id="run", initial_fingerprint="00")
    j.Journal.begun(tmp_path / "journal.bin", later).close()
    with pytest.raises(JournalError, match=rf"version {j.VERSION + 1}; allowed: up to {j.VERSION}"):
        j.read(tmp_path / "journal.bin")


def test_results_grow_with_the_journal(path):
    with j.Journal(path) as journal:
        assert journal.results == [RECORDS[2], RECORDS[4]]
        journal.append(RECORDS[2])
        assert journal.results == [RECORDS[2], RECORDS[4], RECORDS[2]]
