"""The README's commands, typed word for word into a shell in a copy of the checkout, in their order."""

import os
import re
import shlex
import shutil
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.docs.test_readme import ROOT, blocks

SERVICES = ("testbed air", "testbed device")
INSTALLS = ("make ", "apt-get ", "pip ")
BLOCKS = [block for block in blocks("README.md") if "testbed " in block and not block.startswith("make ")]


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tracked files, beside the data that the README names, with the environment that `make demo` made."""
    if not (ROOT / ".venv").exists():
        pytest.fail("no .venv beside the README: run these tests by `make test-docs`")
    folder = tmp_path_factory.mktemp("fresh") / "main"
    tracked = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.split(
        "\n"
    )
    for name in filter(None, tracked):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, folder / name)
    (folder / ".venv").symlink_to(ROOT / ".venv")
    if (ROOT.parent / "shared").exists():
        (folder.parent / "shared").symlink_to(ROOT.parent / "shared")
    return folder


class Shell:
    """Fresh shells in one folder; what is still running at the end is interrupted, and only that."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.started: list[subprocess.Popen[str]] = []

    def start(self, line: str) -> subprocess.Popen[str]:
        clean = {key: value for key, value in os.environ.items() if not key.startswith(("PYTHON", "VIRTUAL_ENV"))}
        process = subprocess.Popen(
            ["bash", "-c", f". .venv/bin/activate; exec {line}"],
            cwd=self._folder, env=clean, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )  # fmt: skip
        self.started.append(process)
        return process

    def close(self) -> None:
        for process in self.started:
            if process.poll() is None:
                process.send_signal(signal.SIGINT)
        for process in self.started:
            process.communicate(timeout=120)


@pytest.fixture
def shell(checkout: Path) -> Iterator[Shell]:
    made = Shell(checkout)
    yield made
    made.close()


def lines_of(block: str) -> list[str]:
    """Commands without comments; what installs is `make demo`'s business, and RUN_DIR stands for a run."""
    lines = [shlex.join(shlex.split(line, comments=True)) for line in block.splitlines()]
    return [line for line in lines if line and not line.startswith(INSTALLS)]


@pytest.mark.docs
@pytest.mark.parametrize("block", BLOCKS, ids=lambda block: lines_of(block)[0] if lines_of(block) else "nothing")
def test_a_block_of_commands_does_what_it_says(block, shell):
    served = set(re.findall(r"testbed air --rig (\S+)", block))
    for line in lines_of(block):
        rig = re.search(r"testbed run --rig (virtual\S+)", line)
        if rig and rig[1] not in served:  # "with its own `testbed air --rig …`"
            shell.close()
            shell.started.clear()
            serve(shell, f"testbed air --rig {rig[1]}")
            served.add(rig[1])
        if line.startswith(SERVICES):
            serve(shell, line)
            continue
        process = shell.start(line)
        if line.startswith("testbed access-point"):  # its devices are in the lines that follow
            continue
        output, _ = process.communicate(timeout=900)
        assert process.returncode == 0, f"{line}\n{output}"
    for process in shell.started:
        if "access-point" in str(process.args):
            output, _ = process.communicate(timeout=900)
            assert process.returncode == 0, output


def serve(shell: Shell, line: str) -> None:
    """Start what goes on; virtual radios are there once they say so."""
    process = shell.start(line)
    if "--rig" in line:
        assert process.stdout is not None
        for said in process.stdout:
            if said.startswith("ready"):
                return
        pytest.fail(f"{line}: ended before it was ready")
