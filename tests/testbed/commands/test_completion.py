"""A shell completes commands, options, and the names of rigs and experiments."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

COMMAND = Path(sys.executable).parent / "testbed"


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("testbed me", ["measure"]),
        ("testbed run --rig virt", ["virtual_plutos", "virtual_plutos_shared_clock"]),
        ("testbed measure -r pluto_i", ["pluto_indoor"]),
        ("testbed run --experiment smol", ["smollm2"]),
        ("testbed run --resu", ["--resume"]),
    ],
)
def test_bash_completes(line: str, expected: list[str]) -> None:
    words = line.split(" ")
    asked = {"_TESTBED_COMPLETE": "complete_bash", "COMP_WORDS": line, "COMP_CWORD": str(len(words) - 1)}
    found = subprocess.run(
        [COMMAND], env={**os.environ, **asked}, capture_output=True, text=True, timeout=120, check=False
    )
    assert found.stdout.split() == expected
    assert not found.stderr
