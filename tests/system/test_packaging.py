"""The source archive holds a checkout, and the wheel that is built from it runs where there is none."""

import email
import json
import os
import re
import subprocess
import sys
import sysconfig
import tarfile
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
NOT_SHIPPED: frozenset[str] = frozenset()


def run(*command, cwd, env=None):
    done = subprocess.run(list(map(str, command)), cwd=cwd, capture_output=True, text=True, timeout=400, env=env)
    assert done.returncode == 0, f"{command}: {done.stdout[-3000:]} {done.stderr[-3000:]}"
    return done.stdout


@pytest.fixture(scope="module")
def tracked():
    listed = run("git", "ls-files", cwd=ROOT).splitlines()
    return {name for name in listed if (ROOT / name).is_file() and name != ".venv"}


@pytest.fixture(scope="module")
def built(tmp_path_factory, tracked):
    """The archive of what is tracked, and the wheel made of that archive."""
    checkout, out = tmp_path_factory.mktemp("checkout"), tmp_path_factory.mktemp("dist")
    for name in tracked:
        place = checkout / name
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes((ROOT / name).read_bytes())
    run(sys.executable, "-m", "build", "--no-isolation", "--outdir", out, checkout, cwd=out)
    (archive,), (wheel,) = out.glob("*.tar.gz"), out.glob("*.whl")
    return archive, wheel


@pytest.fixture(scope="module")
def installed(built, tmp_path_factory):
    """A new environment with the wheel alone, which sees this one's packages behind its own."""
    place = tmp_path_factory.mktemp("fresh") / "venv"
    run(sys.executable, "-m", "venv", "--without-pip", place, cwd=place.parent)
    python = place / "bin" / "python"
    run(
        sys.executable,
        "-m",
        "pip",
        "--python",
        python,
        "install",
        "--no-deps",
        "--no-index",
        built[1],
        cwd=place.parent,
    )
    (packages,) = place.glob("lib/python*/site-packages")
    (packages / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return place


def test_the_archive_holds_every_tracked_file(built, tracked):
    with tarfile.open(built[0]) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert tracked - names <= NOT_SHIPPED
    assert not [name for name in names if "__pycache__" in name or name.startswith((".git/", "runs/", ".venv"))]


def test_the_wheel_holds_code_data_and_no_tests(built):
    names = zipfile.ZipFile(built[1]).namelist()
    tops = {name.partition("/")[0] for name in names}
    assert {top for top in tops if not top.endswith(".dist-info")} == {
        "hardware_configs",
        "learner",
        "radio",
        "testbed",
    }
    for name in ("testbed/py.typed", "testbed/experiments/quickstart.toml", "hardware_configs/loopback.toml"):
        assert name in names
    assert any(name.startswith("learner/embedded/") and name.endswith(".safetensors") for name in names)


def test_the_package_s_page_needs_no_checkout(built):
    """Wherever an index shows it, there are no files beside it."""
    wheel = zipfile.ZipFile(built[1])
    (name,) = [name for name in wheel.namelist() if name.endswith("/METADATA")]
    metadata = email.message_from_bytes(wheel.read(name))
    page = metadata.get_payload()
    assert metadata["Description-Content-Type"].startswith("text/markdown")
    assert "testbed run" in page
    assert re.findall(r"\]\((?!https?://)", page) == []
    assert "![" not in page
    assert "<img" not in page


def test_a_run_outside_the_checkout(installed, tmp_path):
    environment = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "VIRTUAL_ENV")}
    testbed = installed / "bin" / "testbed"
    out = tmp_path / "run"
    few = ["--set", "rounds.num=4", "--set", "rounds.eval_every=2", "--set", "task.num_test=20"]
    shown = run(testbed, "run", "--out", out, *few, cwd=tmp_path, env=environment)
    assert "4 / 4 / 4" in shown
    assert json.loads((out / "run.json").read_text())["git"] is None, "an installed copy knows no commit"
    assert (out / "report.html").exists()
    assert "bit-identical" in run(testbed, "replay", out, cwd=tmp_path, env=environment)
    assert "loopback" in run(testbed, "list", "rigs", cwd=tmp_path, env=environment)
    where = "import testbed, radio, learner; print(testbed.__file__, radio.__file__, learner.__file__)"
    files = run(installed / "bin" / "python", "-c", where, cwd=tmp_path, env=environment).split()
    assert all(Path(file).is_relative_to(installed) for file in files)


def test_the_archive_s_own_tests_run(built, tmp_path):
    with tarfile.open(built[0]) as archive:
        archive.extractall(tmp_path, filter="data")
    (source,) = tmp_path.iterdir()
    environment = {**os.environ, "PYTHONPATH": str(source)}
    tests = ["tests/testbed/config/test_names.py", "tests/radio/test_randomness.py"]
    shown = run(sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *tests, cwd=source, env=environment)
    assert "passed" in shown or "100%" in shown
