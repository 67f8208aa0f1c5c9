"""MkDocs hook: pages and whatever they link to, at the places that their links name, as in a checkout.

README, rigs and changes lie outside docs/, which MkDocs does not follow. A link to a folder leads to an index of it.
"""

from __future__ import annotations

import re
import shutil
import tempfile
from functools import partial
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
PAGES = ("README.md", "CHANGELOG.md", "CONTRIBUTING.md", "hardware_configs/README.md", "learner/embedded/MODEL_CARD.md")
_LINK = re.compile(r"\]\(([^)\s#]+)(#[^)\s]*)?\)")
_FENCE = re.compile(r"```.*?```", re.DOTALL)


def on_config(config: Any) -> Any:
    """Stage, and let MkDocs read the stage."""
    stage = Path(tempfile.mkdtemp(prefix="site-"))
    staged(stage)
    config["docs_dir"] = str(stage)
    decisions = sorted((ROOT / "docs" / "decisions").glob("*.md"))
    paths = [f"docs/decisions/{path.name}" for path in decisions]
    config["nav"][-1]["Project"].append({"Decisions": ["docs/decisions/index.md", *paths]})
    return config


def on_post_build(config: Any) -> None:
    """Leave nothing behind."""
    shutil.rmtree(config["docs_dir"])


def staged(stage: Path) -> None:
    """Copy pages, pictures and files that pages link to."""
    pages = [*PAGES, *(path.relative_to(ROOT).as_posix() for path in sorted((ROOT / "docs").rglob("*.md")))]
    for page in pages:
        text = (ROOT / page).read_text(encoding="utf-8")
        for target, _ in _LINK.findall(_FENCE.sub("", text)):
            _take(stage, page, target, pages)
        _put(stage, page, _LINK.sub(partial(_to_index, page), text))
    index = "\n".join(f"* [{_title(ROOT / page)}]({Path(page).name})" for page in pages if "/decisions/" in page)
    _put(stage, "docs/decisions/index.md", f"# Decisions\n\n{index}\n")


def _take(stage: Path, page: str, target: str, pages: list[str]) -> None:
    """A linked file that is no page; what is missing is MkDocs' to complain of."""
    if "://" in target:
        return
    path = (ROOT / page).parent.joinpath(target).resolve()
    if path.is_file() and path.is_relative_to(ROOT) and path.relative_to(ROOT).as_posix() not in pages:
        place = stage / path.relative_to(ROOT)
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, place)


def _to_index(page: str, found: re.Match[str]) -> str:
    """The same link, to a folder's index."""
    is_folder = "://" not in found[1] and (ROOT / page).parent.joinpath(found[1]).is_dir()
    return f"]({found[1].rstrip('/')}/index.md{found[2] or ''})" if is_folder else found[0]


def _title(path: Path) -> str:
    return path.read_text(encoding="utf-8").partition("\n")[0].lstrip("# ")


def _put(stage: Path, page: str, text: str) -> None:
    place = stage / page
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_text(text, encoding="utf-8")
