"""What the command refuses before anything is computed, and what its laboratory prints."""

import pytest
from typer.testing import CliRunner

from testbed.commands.cli import app


def said(*arguments):
    done = CliRunner().invoke(app, ["audit", *arguments], env={"COLUMNS": "200"})
    return done.exit_code, " ".join(done.output.split())


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        ([], "name a run directory, or ask for --lab"),
        (["run", "--lab"], "leave out RUN_DIR, or --lab"),
        (["run", "--set", "seed=2"], "a run keeps its own configuration"),
    ],
)
def test_what_does_not_go_together_is_refused(arguments, part):
    code, output = said(*arguments)
    assert code == 2
    assert part in output


def test_the_laboratory_says_how_close_it_comes():
    code, output = said("--lab", "--confidence", "0.95")
    assert code == 0
    assert output.startswith("NOT REFUTED: the bare Gaussian mechanism, 10000 releases")
    assert float(output.rpartition("audit_tightness: ")[2]) >= 0.8
