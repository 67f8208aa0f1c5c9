"""Whether a directory holds a comparison, asked before anything slow is imported."""

from __future__ import annotations

from pathlib import Path


def is_comparison(path: Path) -> bool:
    """Whether `testbed run` of an experiment with ``method = "jcpba"`` made it."""
    return (path / "config.toml").is_file() and (path / "methods").is_dir()
