"""A lab's package with a part of each kind: installed by pip, used by name, and printed in the documentation."""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from learner.tasks.templates import Template
from radio.backends.backend import Backend
from radio.schemes.base import Scheme
from testbed import plugins
from testbed.optimisers.base import Optimiser
from testbed.rounds.replay import replay_run
from testbed.schedule.base import Schedule
from testbed.testing.optimisers import OptimiserContract
from testbed.testing.radios import SimulatedBackendContract
from testbed.testing.schedules import ScheduleContract
from testbed.testing.schemes import SchemeContract
from testbed.testing.tasks import TaskContract
from tests.parts import keep_parts

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "tests" / "outside_package"
PARTS = ("scheme", "schedule", "optimiser", "backend", "task")
MAX_LINES = 100


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where pip has installed the package."""
    scratch = tmp_path_factory.mktemp("outside")
    shutil.copytree(PACKAGE, scratch / "source")
    subprocess.run(
        [
            sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation", "--no-index",
            "--disable-pip-version-check", "--target", str(scratch / "site"), str(scratch / "source"),
        ],
        check=True, capture_output=True, text=True,
    )  # fmt: skip
    return scratch / "site"


@pytest.fixture(scope="module")
def lab(site: Path) -> Iterator[None]:
    """The package's parts, in this process."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        keep_parts(monkeypatch)
        monkeypatch.syspath_prepend(site)
        for name in [name for name in sys.modules if name.partition(".")[0] == "lab_parts"]:
            monkeypatch.delitem(sys.modules, name)
        plugins.load()
        yield


def test_an_experiment_uses_all_five_by_name_within_its_budget(site: Path, lab: None, tmp_path: Path) -> None:
    asked = ["--rig", str(PACKAGE / "rig.toml"), "--experiment", str(PACKAGE / "experiment.toml")]
    done = subprocess.run(
        [sys.executable, "-m", "testbed", "run", *asked, "--out", "run"],
        cwd=tmp_path, env={**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{site}"}, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    summary = json.loads((tmp_path / "run" / "summary.json").read_text())
    assert (summary["scheme"], summary["schedule"], summary["rounds_ok"]) == ("repeated", "linear", 6)
    assert 0 < summary["epsilon_spent"] <= 8
    assert "differential privacy at client level" in summary["privacy"]
    assert summary["num_test"] == 16
    rounds = [json.loads(line) for line in (tmp_path / "run" / "rounds.jsonl").read_text().splitlines()]
    assert all(len(each["received"]) == 2 for each in rounds)
    assert rounds[-1]["rho_spent"] > rounds[0]["rho_spent"]
    replay_run(tmp_path / "run")


def test_each_part_is_short() -> None:
    for part in PARTS:
        assert len((PACKAGE / "lab_parts" / f"{part}.py").read_text().splitlines()) <= MAX_LINES


def test_the_documentation_prints_the_package_as_it_is() -> None:
    text = (ROOT / "docs" / "extending.md").read_text(encoding="utf-8")
    printed = re.findall(r"^`([\w./]+)`:\n\n```\w+\n(.*?)^```$", text, flags=re.MULTILINE | re.DOTALL)
    names = ["pyproject.toml", *(f"lab_parts/{part}.py" for part in PARTS), "rig.toml", "experiment.toml"]
    assert [name for name, _ in printed] == names
    for name, code in printed:
        assert code == (PACKAGE / name).read_text(encoding="utf-8"), f"{name} differs from what the page prints"


class TestScheme(SchemeContract):
    @pytest.fixture
    def scheme(self, lab: None) -> Scheme:
        from lab_parts.scheme import Repeated

        return Repeated()


class TestSchedule(ScheduleContract):
    @pytest.fixture
    def schedule(self, lab: None) -> Schedule:
        from lab_parts.schedule import Linear

        return Linear()


class TestOptimiser(OptimiserContract):
    @pytest.fixture
    def optimiser(self, lab: None) -> Optimiser[Any]:
        from lab_parts.optimiser import Normalised

        return Normalised()


class TestBackend(SimulatedBackendContract):
    @pytest.fixture
    def backend(self, lab: None) -> Backend:
        from lab_parts.backend import Padded

        return Padded()


class TestTask(TaskContract):
    @pytest.fixture
    def template(self, lab: None) -> Template:
        from lab_parts.task import Sentences

        return Sentences()
