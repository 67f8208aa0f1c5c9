"""What the README tells people to type: every command line of it is one that the program takes."""

import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import typer

from testbed.bench.rig import resolve
from testbed.commands.cli import app
from testbed.config.files import load

ROOT = Path(__file__).parents[2]
PAGES = (
    "README.md", "docs/virtual_plutos.md", "docs/hardware.md", "docs/dashboard.md", "docs/benchmarks.md",
    "docs/package.md", "docs/tutorial.md", "docs/how_to/model.md", "docs/how_to/data.md", "docs/how_to/rig.md",
    "hardware_configs/README.md",
)  # fmt: skip
MADE = ("runs/", "models/", "my_rig.toml")
"""Left by another command of the page."""
PLACEHOLDERS = re.compile(r"RUN_DIR|DIR\b|NAME|mine\.toml|=N$|…|^R$|\[")


def blocks(page: str) -> list[str]:
    """Its fenced shell blocks."""
    text = (ROOT / page).read_text(encoding="utf-8")
    return [block for kind, block in re.findall(r"```(\w*)\n(.*?)```", text, re.DOTALL) if kind in ("", "sh", "bash")]


def commands(page: str) -> list[list[str]]:
    """Every command line of `testbed` that is meant to be typed as it stands, as words."""
    lines = [shlex.split(line, comments=True) for block in blocks(page) for line in block.splitlines()]
    return [
        words[1:]
        for words in lines
        if words[:1] == ["testbed"] and not any(PLACEHOLDERS.search(word) for word in words)
    ]


def shown(words: list[str]) -> str:
    return "testbed " + " ".join(words)


@pytest.mark.parametrize("words", [words for page in PAGES for words in commands(page)], ids=shown)
def test_every_command_of_the_pages_is_taken_as_it_stands(words, monkeypatch):
    monkeypatch.chdir(ROOT)
    root: Any = typer.main.get_command(app)
    context = root.make_context("testbed", list(words))
    words = [*context._protected_args, *context.args]
    name, command, rest = root.resolve_command(context, words)
    assert name is not None
    assert command is not None
    parsed = command.make_context(name, rest, parent=context).params
    is_made = (parsed.get("rig") or "").startswith(MADE)
    if name in ("run", "plan", "access-point") and parsed.get("resume") is None and not is_made:
        config = load(parsed["rig"], parsed["experiment"], list(parsed["overrides"] or []))
        if ":runs/" not in config.rig.air.channel and not config.experiment.model.path.startswith(MADE):
            resolve(config)


def test_a_page_with_a_wrong_command_would_be_found():
    with pytest.raises(Exception, match="No such option"):
        test_every_command_of_the_pages_is_taken_as_it_stands(["run", "--ring", "loopback"], pytest.MonkeyPatch())


def test_the_readme_activates_its_environment_before_it_needs_the_command():
    lines = [line.strip() for block in blocks("README.md") for line in block.splitlines()]
    activated = next(index for index, line in enumerate(lines) if line.startswith(". .venv/bin/activate"))
    assert activated < next(index for index, line in enumerate(lines) if line.startswith("testbed "))


@pytest.mark.parametrize("page", PAGES)
def test_every_link_of_a_page_leads_somewhere(page):
    text = (ROOT / page).read_text(encoding="utf-8")
    links = [link.partition("#")[0] for link in re.findall(r"\]\(([^)\s]+)\)", text)]
    missing = [link for link in links if link and "://" not in link and not ((ROOT / page).parent / link).exists()]
    assert missing == []
