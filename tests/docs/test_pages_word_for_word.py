"""Tutorial and how-to pages, typed word for word, block after block, each page in one folder; notebooks, executed."""

import re
import subprocess
from pathlib import Path

import jupytext
import nbclient
import pytest

from tests.docs.test_readme import ROOT, blocks
from tests.docs.test_readme_word_for_word import INSTALLS, Shell, checkout, serve

__all__ = ["checkout"]
PAGES = ("docs/tutorial.md", "docs/how_to/model.md", "docs/how_to/data.md", "docs/how_to/rig.md")
NOTEBOOKS = sorted((ROOT / "docs" / "notebooks").glob("*.md"))


@pytest.mark.docs
@pytest.mark.timeout(900)
@pytest.mark.parametrize("page", PAGES)
def test_a_page_does_what_it_says(page: str, checkout: Path) -> None:
    shell = Shell(checkout)
    try:
        for block in blocks(page):
            served = [line.partition("#")[0] for line in block.splitlines() if line.startswith("testbed air")]
            for line in served:
                serve(shell, line)
            lines = [line for line in block.splitlines() if not line.startswith((*INSTALLS, "testbed air", ". .venv"))]
            script = "\n".join([". .venv/bin/activate", "set -euo pipefail", *lines])
            done = subprocess.run(
                ["bash", "-c", script], cwd=checkout, capture_output=True, text=True, timeout=600, check=False
            )
            assert done.returncode == 0, f"{block}\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}"
    finally:
        shell.close()


def test_pages_have_blocks_to_be_typed() -> None:
    for page in PAGES:
        assert sum("testbed run" in block for block in blocks(page)) >= 1, page


@pytest.mark.docs
@pytest.mark.timeout(600)
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_runs_and_shows_what_its_text_says(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    notebook = jupytext.read(path)
    nbclient.NotebookClient(notebook, timeout=500, kernel_name="python3").execute()
    said = "".join(output.get("text", "") for cell in notebook.cells for output in cell.get("outputs", ()))
    if path.stem == "first_run":
        assert "bit-identical: 120 updates" in said
        small_db, large_db = map(float, re.findall(r"median NMSE there (\S+) dB and (\S+) dB", said)[0])
        assert small_db > large_db, "rounds with a small mean have the larger NMSE"
        heard, ideal = map(float, re.findall(r"over the air (\S+)%, noise-free (\S+)%", said)[0])
        assert min(heard, ideal) > 85
    else:
        predicted_db, reached_db = map(float, re.findall(r"this learner (\S+) dB, reached (\S+) dB", said)[0])
        assert abs(predicted_db - reached_db) < 2
        error, predicted = map(float, re.findall(r"rms error (\S+); predicted (\S+)", said)[0])
        assert 0.6 < error / predicted < 1.6


def test_there_are_two_notebooks() -> None:
    assert [path.stem for path in NOTEBOOKS] == ["channel", "first_run"]
