"""`testbed budget`, as typed."""

import json

import pytest

from testbed.commands.cli import main


def call(capsys, *arguments):
    with pytest.raises(SystemExit) as ended:
        main(["budget", *arguments])
    captured = capsys.readouterr()
    return ended.value.code, captured.out, captured.err


def test_a_budget_is_made_and_shown(capsys, tmp_path):
    path = str(tmp_path / "b")
    code, made, _ = call(capsys, "init", path, "--epsilon", "8", "--delta", "1e-5", "--note", "SST-2")
    assert (code, made) == (0, f"{path}: (8, 1e-05) at client level, adjacency replace  SST-2\nleft: (8, 1e-05)\n")
    assert call(capsys, "show", path)[:2] == (0, made)
    shown = json.loads(call(capsys, "show", path, "--json")[1])
    assert (shown["epsilon_left"], shown["runs"], shown["budget"]["note"]) == (8, [], "SST-2")


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("--epsilon", "0"), ("--epsilon", "-1"), ("--epsilon", "nan"), ("--epsilon", "inf"), ("--delta", "0"),
        ("--delta", "1"), ("--delta", "nan"), ("--level", "person"), ("--adjacency", "swap"),
    ],
)  # fmt: skip
def test_what_is_no_budget_is_refused_and_nothing_made(capsys, tmp_path, option, value):
    arguments = {"--epsilon": "8", "--delta": "1e-5"} | {option: value}
    code, _, said = call(capsys, "init", str(tmp_path / "b"), *[word for pair in arguments.items() for word in pair])
    assert code == 1
    assert said.startswith(f"error: {option}: got ")
    assert "; allowed: " in said
    assert said.count("\n") == 1
    assert not (tmp_path / "b").exists()


def test_a_second_beginning_and_a_missing_file_name_the_remedy(capsys, tmp_path):
    path = str(tmp_path / "b")
    _, _, said = call(capsys, "show", path)
    assert f"testbed budget init {path}" in said
    call(capsys, "init", path, "--epsilon", "8", "--delta", "1e-5")
    code, _, said = call(capsys, "init", path, "--epsilon", "9", "--delta", "1e-5")
    assert code == 1
    assert f"testbed budget show {path}" in said


def test_a_note_that_is_not_unicode_is_one_line(capsys, tmp_path):
    code, _, said = call(capsys, "init", str(tmp_path / "b"), "--epsilon", "8", "--delta", "1e-5", "--note", "\udcff")
    assert code == 1
    assert "is not Unicode" in said


@pytest.mark.parametrize("name", ["init", "show"])
def test_help_shows_an_example(capsys, name):
    code, shown, _ = call(capsys, name, "-h")
    assert code == 0
    assert f"\n      testbed budget {name} sst2.budget" in shown
