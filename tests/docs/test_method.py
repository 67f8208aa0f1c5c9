"""Comments cite places in docs/method.md that exist; what method and glossary name exists; imports nothing of ours."""

import ast
import io
import re
import tokenize
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = ("radio", "learner", "testbed", "benchmarks")
PAGES = ("method", "glossary")
CITED = re.compile(r"METHOD\b(?:\.md)?|\bdocs/method\.md")
PLACE = re.compile(r"[\s,(]*(?:and\s+)?(?:(§)\s*(\d+(?:\.\d+)?)|eqs?\.?\s*(\d+)|(S\d+)|[Tt]heorem\s*(\d+))")
PAPER = re.compile(r"2604\.12401,?\s*(?:eqs?\.?\s*(\d+)|Theorems?\s*(\d+)(?:[^,;.]*?\band\s+(\d+))?)")
ARXIV = re.compile(r"\b\d{4}\.\d{4,5}\b")
LABEL = re.compile(r"\*\*\[(eq \d+|S\d+|Theorem \d+)\]\*\*")
HEADING = re.compile(r"^#+ (\d+(?:\.\d+)?)\.? ", re.MULTILINE)
DOTTED = re.compile(rf"`((?:{'|'.join(PACKAGES)})(?:\.\w+)+)`")
TEST = re.compile(r"`(tests/[\w/]+\.py)::(\w+)`")
KEY = re.compile(r"`\[(\w+)\] (\w+)`")
FIELD = re.compile(r"`rounds\.jsonl: (\w+)`")


def page(name: str) -> str:
    return (ROOT / "docs" / f"{name}.md").read_text(encoding="utf-8")


def places(method: str) -> set[str]:
    """What can be cited: sections as §2.1, equations by their labels."""
    return {f"§{number}" for number in HEADING.findall(method)} | set(LABEL.findall(method))


def citations(text: str) -> list[str]:
    """Every place of the method that a text cites; an empty string for a citation of no place."""
    found = []
    for mark in CITED.finditer(text):
        at, cited = mark.end(), []
        while place := PLACE.match(text, at):
            section, number, equation, ours, theorem = place.groups()
            cited.append(f"§{number}" if section else ours or (f"eq {equation}" if equation else f"Theorem {theorem}"))
            at = place.end()
        found += cited or ([""] if mark.group().startswith("METHOD") else [])
    for equation, *theorems in PAPER.findall(text):
        found += [f"eq {equation}"] if equation else [f"Theorem {number}" for number in theorems if number]
    return found


def remarks(source: str) -> list[tuple[int, str]]:
    """Comments and strings that stand alone, docstrings and those under fields, with their lines."""
    found = [
        (token.start[0], token.string)
        for token in tokenize.generate_tokens(io.StringIO(source).readline)
        if token.type == tokenize.COMMENT
    ]
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
            found.append((node.lineno, node.value.value))
    return found


def sources() -> list[Path]:
    folders = (*PACKAGES, "tests", "examples")
    return sorted(path for folder in folders for path in (ROOT / folder).rglob("*.py") if path != Path(__file__))


@cache
def names_in(path: Path) -> dict[str, ast.AST]:
    """What a module defines at its top."""
    return members(ast.parse(path.read_text(encoding="utf-8")))


def members(node: ast.AST) -> dict[str, ast.AST]:
    """Names that a module or class body defines; imported ones are defined elsewhere."""
    found: dict[str, ast.AST] = {}
    for item in getattr(node, "body", []):
        if isinstance(item, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            found[item.name] = item
        elif isinstance(item, ast.AnnAssign) and isinstance(item.target, ast.Name):
            found[item.target.id] = item
        elif isinstance(item, ast.Assign):
            found |= {target.id: item for target in item.targets if isinstance(target, ast.Name)}
    return found


def exists(dotted: str, root: Path = ROOT) -> bool:
    """Whether a module of that name is there, or something that a module or a class of it defines itself."""
    parts = dotted.split(".")
    for length in range(len(parts), 0, -1):
        path = root.joinpath(*parts[:length])
        if path.with_suffix(".py").is_file():
            names, rest = names_in(path.with_suffix(".py")), parts[length:]
            for name in rest:
                if name not in names:
                    return False
                names = members(names[name])
            return True
        if path.is_dir():
            return length == len(parts)
    return False


def fields(record: str) -> dict[str, str]:
    """Fields of the one class of that name and their types; empty where there is no such class."""
    for path in sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py")):
        if isinstance(found := names_in(path).get(record), ast.ClassDef):
            return {k: ast.unparse(v.annotation) for k, v in members(found).items() if isinstance(v, ast.AnnAssign)}
    return {}


def test_every_citation_of_the_method_leads_somewhere():
    allowed, cited, dangling = places(page("method")), 0, []
    for path in sources():
        for line, text in remarks(path.read_text(encoding="utf-8")):
            for place in citations(text):
                cited += 1
                if place not in allowed:
                    dangling.append(f"{path.relative_to(ROOT)}:{line}: cites {place or 'no place of the method'}")
    assert not dangling, "\n".join(dangling)
    assert cited > 10, "the pattern of citations finds nothing"


def test_every_paper_that_comments_cite_is_among_the_sources():
    listed = set(ARXIV.findall(page("method").partition("## 6. Sources")[2]))
    packages = [path for path in sources() if path.relative_to(ROOT).parts[0] in PACKAGES]
    texts = [text for path in packages for _, text in remarks(path.read_text(encoding="utf-8")) if "arXiv" in text]
    cited = {paper for text in texts for paper in ARXIV.findall(text)}
    assert cited
    assert cited <= listed


@pytest.mark.parametrize("name", PAGES)
def test_everything_that_a_page_names_exists(name):
    named = DOTTED.findall(page(name))
    assert len(named) > 40
    assert [dotted for dotted in named if not exists(dotted)] == []


def test_every_test_that_the_method_names_exists():
    named = TEST.findall(page("method"))
    assert named
    for path, test in named:
        assert (ROOT / path).is_file(), path
        assert test in names_in(ROOT / path), f"{path}::{test}"


def test_keys_and_fields_in_the_glossary_are_those_of_the_records():
    sections = fields("Rig") | fields("Experiment")
    keys, recorded = KEY.findall(page("glossary")), FIELD.findall(page("glossary"))
    assert keys
    assert recorded
    assert [(section, key) for section, key in keys if key not in fields(sections.get(section, ""))] == []
    assert [field for field in recorded if field not in fields("RoundRecord")] == []


def test_labels_and_headings_are_given_once():
    given = [*HEADING.findall(page("method")), *LABEL.findall(page("method"))]
    assert len(given) == len(set(given))
    assert {"§1", "§5", "eq 7"} <= places(page("method"))


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("η of w ← w − η p̂ z (METHOD §1).", ["§1"]),
        ("docs/method.md §2.3, eq 17 and S9", ["§2.3", "eq 17", "S9"]),
        ("METHOD eq. 7", ["eq 7"]),
        ("see docs/method.md", []),
        ("as METHOD says", [""]),
        ("(pAirZero, arXiv 2604.12401, eq. 8)", ["eq 8"]),
        ("arXiv 2604.12401, Theorems 3 (analog) and 4 (sign)", ["Theorem 3", "Theorem 4"]),
        ("METHOD §1 has 7 lines", ["§1"]),
    ],
)
def test_citations_are_found_however_they_are_spelled(text, found):
    assert citations(text) == found


def test_a_dangling_citation_or_name_is_noticed():
    source = '"""METHOD §9."""\nx = 1  # docs/method.md eq 99\ny = "METHOD §8 in a string that is data"\n'
    cited = [place for _, text in remarks(source) for place in citations(text)]
    assert sorted(cited) == ["eq 99", "§9"]
    assert not set(cited) & places(page("method"))
    assert exists("radio.records.Plan.gain")
    assert not exists("radio.records.Plan.nothing")
    assert not exists("radio.nothing.at_all")
