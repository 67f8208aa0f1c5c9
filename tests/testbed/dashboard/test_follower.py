"""A file is followed whatever becomes of it: halves of lines, other files in its place, none at all."""

import os

from hypothesis import given
from hypothesis import strategies as st

from testbed.dashboard import follower
from testbed.dashboard.follower import Follower


def test_only_what_is_new_is_read_and_half_a_line_waits(tmp_path):
    path = tmp_path / "lines"
    following = Follower(path)
    assert not following.look().is_there
    path.write_bytes(b"one\ntw")
    assert following.look().lines == b"one\n"
    assert following.look().lines == b""
    with path.open("ab") as file:
        file.write(b"o\nthree\n")
    news = following.look()
    assert (news.lines, news.restarted) == (b"two\nthree\n", False)


def test_another_file_in_its_place_is_read_from_its_beginning(tmp_path):
    path, other = tmp_path / "lines", tmp_path / "other"
    path.write_bytes(b"one\ntwo\n")
    following = Follower(path)
    following.look()
    other.write_bytes(b"one\ntwo\nthree\n")
    os.replace(other, path)
    news = following.look()
    assert news.restarted
    assert news.lines == b"one\ntwo\nthree\n"


def test_a_file_that_is_cut_or_written_anew_in_place_is_noticed(tmp_path):
    path = tmp_path / "lines"
    path.write_bytes(b"one\ntwo\n")
    following = Follower(path)
    following.look()
    with path.open("r+b") as file:
        file.truncate(4)
    assert following.look().restarted
    with path.open("r+b") as file:
        file.write(b"uno\ndos\ntres\n")
    news = following.look()
    assert (news.lines, news.restarted) == (b"uno\ndos\ntres\n", True)


def test_a_file_that_vanishes_and_comes_back_as_it_was_goes_on(tmp_path):
    path = tmp_path / "lines"
    path.write_bytes(b"one\n")
    following = Follower(path)
    following.look()
    path.rename(tmp_path / "away")
    assert not following.look().is_there
    (tmp_path / "away").rename(path)
    with path.open("ab") as file:
        file.write(b"two\n")
    news = following.look()
    assert (news.lines, news.restarted, news.is_there) == (b"two\n", False, True)


def test_neither_a_folder_nor_a_pipe_holds_anybody_up(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "folder").mkdir()
    for name in ("pipe", "folder"):
        assert Follower(tmp_path / name).look().lines == b""


@given(st.lists(st.binary(max_size=12), max_size=8), st.integers(min_value=3, max_value=20))
def test_however_it_is_written_and_read_the_lines_are_the_same(tmp_path_factory, pieces, at_once):
    path = tmp_path_factory.mktemp("follow") / "lines"
    path.write_bytes(b"")
    following, found, before = Follower(path), b"", follower.MAX_READ_BYTES
    follower.MAX_READ_BYTES = at_once
    try:
        for piece in pieces:
            with path.open("ab") as file:
                file.write(piece)
            while (news := following.look()).has_more:
                found += news.lines
            found += news.lines
    finally:
        follower.MAX_READ_BYTES = before
    whole = b"".join(pieces)
    assert whole.startswith(found)
    assert len(found) >= whole.rfind(b"\n") + 1
