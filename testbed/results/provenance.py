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
from testbed.results.records import FORMAT, RunInfo

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
    """The toolkit's commit, with ``-dirty`` if it was changed; None unless it runs from its own checkout.

    An installed toolkit may lie inside somebody's repository, or at its very top, whose commit says nothing about it:
    a checkout of the toolkit is one that tracks this file.
    """
    here = Path(__file__).resolve()
    root = here.parents[2]
    top = _git(root, "rev-parse", "--show-toplevel")
    if top is None or Path(top).resolve() != root:
        return None
    if _git(root, "ls-files", "--error-unmatch", "--", str(here.relative_to(root))) is None:
        return None
    return _git(root, "describe", "--always", "--dirty", "--abbrev=12", "--exclude=*")


def _git(folder: Path, *arguments: str) -> str | None:
    """What git says about a folder, whatever the variables of a surrounding git command say; None if nothing."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    try:
        done = subprocess.run(
            ["git", *arguments],
            cwd=folder,
            env=environment,
            capture_output=True,
            text=True,
            timeout=5,
            check=False,
        )
    except (OSError, UnicodeDecodeError, subprocess.TimeoutExpired):
        return None
    return (done.stdout.strip() or None) if done.returncode == 0 else None


def new_run_info(config: RunConfig, *, run_id: str, num_parameters: int, fingerprint: str) -> RunInfo:
    """run.json of a run that starts now."""
    return RunInfo(
        format=FORMAT,
        run_id=run_id,
        started=time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        seed=config.experiment.seed,
        num_parameters=num_parameters,
        initial_fingerprint=fingerprint,
        versions=versions(),
        host=host(),
        git=git_revision(),
        command=[_readable(argument) for argument in sys.argv],
    )


def _readable(argument: str) -> str:
    """An argument with bytes that are no text, as JSON can hold it."""
    return argument.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
