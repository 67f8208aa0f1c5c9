"""The pages build as a site without a warning: links and anchors lead somewhere, named objects are documented."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
QUIET = {"NO_MKDOCS_2_WARNING": "1"}


def build(root, out):
    command = [sys.executable, "-W", "error", "-m", "mkdocs", "build", "--strict", "--site-dir", str(out)]
    return subprocess.run(
        command, cwd=root, capture_output=True, text=True, timeout=400, env={**os.environ, **QUIET}, check=False
    )


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    out = tmp_path_factory.mktemp("site")
    done = build(ROOT, out)
    assert done.returncode == 0, done.stderr[-4000:]
    return out


def test_nothing_is_complained_of(site):
    assert (site / "index.html").exists()
    assert (site / "docs" / "images" / "quickstart.png").exists()


def test_the_public_api_and_the_seams_are_documented_from_the_code(site):
    page = (site / "docs" / "reference.html").read_text(encoding="utf-8")
    for name in (
        "testbed.api.run", "testbed.api.plan", "testbed.api.replay", "testbed.api.load",
        "testbed.results.run.Run.columns",
        "testbed.plugins.register", "radio.schemes.base.Scheme.estimate", "testbed.schedule.base.Schedule.leaks",
        "testbed.optimisers.base.Optimiser.step", "radio.backends.backend.Backend.open",
        "radio.backends.base.Radio.capture",
        "learner.tasks.templates.Template", "testbed.testing.schemes.SchemeContract", "testbed.config.schema.Rig",
    ):  # fmt: skip
        assert f'id="{name}"' in page, name
    assert "Run a whole experiment in this process" in page


def test_nothing_is_fetched_from_elsewhere(site):
    for path in site.rglob("*.html"):
        text = path.read_text(encoding="utf-8")
        assert re.findall(r"<(?:script|link|img)[^>]+(?:src|href)=\"?(?:https?:)?//[^\">]+", text) == [], path


@pytest.mark.parametrize(
    ("fault", "complaint"),
    [
        ("[gone](nowhere.md)", "nowhere.md"),
        ("[gone](glossary.md#no-such-place)", "no-such-place"),
        ("::: testbed.api.nothing", "testbed.api.nothing"),
    ],
)
def test_a_fault_of_each_kind_is_found(fault, complaint, tmp_path):
    copy = tmp_path / "checkout"
    copy.mkdir()
    for name in ("docs", "hardware_configs", "learner", "testbed", "radio", "README.md", "CHANGELOG.md",
                 "CONTRIBUTING.md",                 "mkdocs.yml", "benchmarks", "examples", "tests"):  # fmt: skip
        (copy / name).symlink_to(ROOT / name)
    (copy / "docs").unlink()
    subprocess.run(["cp", "-r", str(ROOT / "docs"), str(copy / "docs")], check=True)
    with (copy / "docs" / "machines.md").open("a") as page:
        page.write(f"\n{fault}\n")
    done = build(copy, tmp_path / "site")
    assert done.returncode != 0
    assert complaint in done.stderr
