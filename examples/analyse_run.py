"""Open a run directory, look at its rounds and weights, and rebuild the weights from the journal.

python examples/analyse_run.py runs/20261121-120000-quickstart
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np

import testbed


def rounds_text(run: testbed.Run) -> str:
    """How the rounds went; the same columns fill a pandas.DataFrame."""
    columns = run.columns()
    used = sum(status in ("ok", "retried") for status in columns["status"])
    error = columns["estimate_0"] - columns["true_mean_0"]
    return (
        f"{used} of {len(run.rounds)} rounds used; error of the mean: rms {np.sqrt(np.nanmean(error**2)):.3g}, "
        f"predicted {np.nanmedian(columns['predicted_error_std']):.3g}"
    )


def capture_text(run: testbed.Run) -> str:
    """The loudest of the recorded payloads."""
    loudest = max(run.captures, key=lambda capture: float(np.abs(capture.samples()).max()))
    return f"{len(run.captures)} captures; loudest: round {loudest.round}, peak {np.abs(loudest.samples()).max():.3g}"


def weights_text(run: testbed.Run) -> str:
    """How far the weights have moved."""
    before, after = run.weights("initial"), run.weights("final")
    moved = sum(float(((after[name] - before[name]) ** 2).sum()) for name in after) ** 0.5
    return f"{len(after)} tensors moved by {moved:.3g} (Euclidean norm)"


def main(arguments: Sequence[str] | None = None) -> None:
    """Parse, open, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path, help="a run directory")
    run = testbed.Run.open(parser.parse_args(arguments).run)
    print(run)
    print(rounds_text(run))
    if run.captures:
        print(capture_text(run))
    print(weights_text(run))
    print(testbed.replay(run))


if __name__ == "__main__":
    main()
