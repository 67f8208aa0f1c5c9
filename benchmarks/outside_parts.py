"""How many files an own scheme, schedule or backend takes: each is put alone into an empty folder, registered, run."""

from __future__ import annotations

import shutil
import sys
from importlib import import_module
from pathlib import Path

PARTS = Path(__file__).parents[1] / "tests" / "outside_package" / "lab_parts"
SETTINGS = {
    "schedule": ("schedule.name=linear", "ground_truth=false"),
    "scheme": ("scheme.name=repeated", "schedule.name=static", "ground_truth=false"),
    "backend": ("backend=padded", "settings.attenuation_db=3"),
}
SHORT = ("rounds.num=3", "rounds.eval_every=3", "task.num_test=8", "num_devices=2")


def files_to_add(directory: Path) -> dict[str, int]:
    """``files_to_add_a_…`` → files; raises whatever keeps a part from running by its name."""
    return {f"files_to_add_a_{kind}": _files_of(kind, directory / f"outside-{kind}") for kind in SETTINGS}


def _files_of(kind: str, folder: Path) -> int:
    from testbed.bench.rig import resolve
    from testbed.config.files import load
    from testbed.rounds.processes import run_in_one_process

    folder.mkdir()
    module = f"own_{kind}"
    shutil.copy(PARTS / f"{kind}.py", folder / f"{module}.py")
    sys.path.insert(0, str(folder))
    try:
        import_module(module)
        outcome = run_in_one_process(resolve(load(None, None, [*SHORT, *SETTINGS[kind]])), out=folder / "run")
        outcome.check()
    finally:
        sys.path.remove(str(folder))
    return len(list(folder.glob("*.py")))
