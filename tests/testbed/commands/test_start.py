"""What the command line answers before anything slow is imported."""

import subprocess
import sys
from pathlib import Path

import pytest

from testbed.commands.app import app
from testbed.commands.cli import main

ROOT = Path(__file__).parents[3]
SLOW = ["numpy", "scipy", "numba", "torch", "transformers", "tokenizers", "matplotlib", "zmq", "rich", "dp_accounting"]
WATCHED = f"""
import sys
from testbed.commands.cli import main
try:
    main(sys.argv[1:])
finally:
    print("imported:", *[name for name in {SLOW!r} if name in sys.modules])
"""
TYPOS = {
    "schedule.name=onlin": "did you mean 'online'",
    "scheme.name=coherant": "did you mean 'coherent'",
    "backend=plutos": "did you mean 'pluto'",
    "task.template=gsm8": "did you mean 'gsm8k'",
    "rounds.num=0": "got 0",
}
COMMANDS = [
    "run", "access-point", "device", "air", "plan", "replay", "report", "audit", "doctor", "list", "config", "budget",
    "keys", "fetch", "measure", "calibrate", "reprocess", "new", "dashboard",
]  # fmt: skip


def watched(*arguments):
    return subprocess.run(
        [sys.executable, "-c", WATCHED, *arguments], cwd=ROOT, capture_output=True, text=True, check=False, timeout=60
    )


@pytest.mark.parametrize("typo", TYPOS)
def test_a_typo_is_found_before_anything_slow_is_imported(typo):
    done = watched("run", "--set", typo)
    assert done.returncode == 1
    assert done.stderr.startswith("error: --set: ")
    assert TYPOS[typo] in done.stderr
    assert done.stdout == "imported:\n"


@pytest.mark.parametrize(
    "arguments", [["--help"], ["--version"], ["config", "rounds"], ["list", "rigs"], ["plan", "-h"]]
)
def test_help_and_reference_import_nothing_slow(arguments):
    done = watched(*arguments)
    assert done.returncode == 0, done.stderr
    assert done.stdout.endswith("imported:\n")


def call(capsys, *arguments):
    with pytest.raises(SystemExit) as ended:
        main(list(arguments))
    captured = capsys.readouterr()
    return ended.value.code, captured.out, captured.err


def test_every_command_is_in_the_help(capsys):
    code, shown, _ = call(capsys, "-h")
    assert code == 0
    assert len(app.registered_commands) + len(app.registered_groups) == len(COMMANDS)
    assert all(f"\n  {name} " in shown for name in COMMANDS)


@pytest.mark.parametrize("name", COMMANDS)
@pytest.mark.parametrize("flag", ["-h", "--help"])
def test_every_command_has_help_with_an_example(capsys, name, flag):
    code, shown, _ = call(capsys, name, flag)
    assert code == 0
    assert f"\n      testbed {name}" in shown


def test_version(capsys):
    code, shown, _ = call(capsys, "--version")
    assert code == 0
    assert shown.startswith("testbed ")


def test_a_full_disk_behind_standard_output_is_one_line():
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "testbed", "config", "rounds"],
            cwd=ROOT,
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
        )
    assert done.returncode == 1
    assert done.stderr.startswith("error: standard output: cannot be written: No space left on device; ")
    assert done.stderr.count("\n") == 1


def test_a_reader_that_has_seen_enough_is_no_error():
    process = subprocess.Popen(
        [sys.executable, "-m", "testbed", "config", "--markdown"],
        cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    process.stdout.close()
    assert process.stderr.read() == ""
    assert process.wait(60) == 1
    process.stderr.close()
