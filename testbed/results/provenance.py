"""What produced a run: versions, machine, commit."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
import time
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from testbed.config.schema import RunConfig
from testbed.results.records import RunInfo

_PACKAGES = ("airzero-testbed", "torch", "transformers", "numpy", "scipy", "pyzmq", "msgspec")


def versions() -> dict[str, str]:
    """Versions of what computes the results."""
    found = {"python": platform.python_version()}
    for package in _PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "not installed"
    return found


def host() -> dict[str, str]:
    """What machine this is, as far as it can change bits."""
    cpu = platform.processor() or "unknown"
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        cpu = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), cpu)
    except OSError:
        pass
    return {"system": platform.platform(), "cpu": cpu, "cores": str(os.cpu_count() or 0)}


def git_revision() -> str | None:
    """The toolkit's commit, with ``-dirty`` if it was changed; None outside a checkout."""
    try:
        done = subprocess.run(
            ["git", "describe", "--always", "--dirty", "--abbrev=12", "--exclude=*"],
            cwd=Path(__file__).parent,
            capture_output=True,
            text=True,
            timeout=5,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() or None


def new_run_info(config: RunConfig, *, run_id: str, num_parameters: int, fingerprint: str) -> RunInfo:
    """run.json of a run that starts now."""
    return RunInfo(
        run_id=run_id,
        started=time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        seed=config.experiment.seed,
        num_parameters=num_parameters,
        initial_fingerprint=fingerprint,
        versions=versions(),
        host=host(),
        git=git_revision(),
        command=sys.argv,
    )
