"""`testbed list` and `testbed config` as they are called."""

import json

import pytest

from testbed.commands.catalogue import KINDS
from testbed.commands.cli import main
from testbed.config.files import EXPERIMENT_DIRECTORY, RIG_DIRECTORY, known_files
from testbed.config.names import NAMES
from testbed.plugins import registered


def call(capsys, *arguments):
    with pytest.raises(SystemExit) as ended:
        main(list(arguments))
    captured = capsys.readouterr()
    return ended.value.code, captured.out, captured.err


def test_everything_there_is_comes_with_one_line(capsys):
    code, shown, _ = call(capsys, "list", "--json")
    assert code == 0
    found = json.loads(shown)
    assert set(found) == set(KINDS)
    assert set(found["rigs"]) == set(known_files(RIG_DIRECTORY))
    assert set(found["experiments"]) == set(known_files(EXPERIMENT_DIRECTORY))
    keys = {"schemes": "scheme.name", "schedules": "schedule.name", "templates": "task.template"}
    keys |= {"optimisers": "update.optimiser", "backends": "backend"}
    for kind, key in keys.items():
        assert set(found[kind]) == set(registered(NAMES[key]))
    for lines in found.values():
        assert lines
        assert all(line and "\n" not in line for line in lines.values())


def test_one_kind_is_shown_alone(capsys):
    code, shown, _ = call(capsys, "list", "schemes")
    assert code == 0
    assert [line.split()[0] for line in shown.splitlines()] == list(registered("scheme"))


def test_an_unknown_kind_is_told_the_nearest(capsys):
    code, _, stderr = call(capsys, "list", "scheme")
    assert code == 1
    assert "allowed: rigs, experiments, schemes" in stderr
    assert "did you mean 'schemes'?" in stderr


def test_a_section_as_json(capsys):
    code, shown, _ = call(capsys, "config", "rounds", "--json")
    assert code == 0
    (section,) = json.loads(shown)
    assert section["keys"][0] == {
        "key": "rounds.num", "type": "whole number", "allowed": "a whole number >= 1", "unit": "", "default": "1000",
        "meaning": "T, the number of rounds.",
    }  # fmt: skip


def test_markdown_is_the_whole_reference_only(capsys):
    assert call(capsys, "config", "rounds", "--markdown")[0] == 2
