"""How the over-the-air mean and the accuracy depend on the SNR: a few short runs, a table, a picture.

python examples/sweep_snr.py --out runs/sweep
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from matplotlib.figure import Figure

import testbed


def sweep(out: Path, snrs_db: Sequence[float], num_rounds: int) -> list[testbed.Run]:
    """One run for each SNR of a sample, all else equal."""
    return [
        testbed.run(
            "quickstart",
            rig="loopback",
            overrides={"air.snr_db": snr_db, "rounds": {"num": num_rounds, "eval_every": num_rounds}},
            out=out / f"snr_{snr_db:g}_db",
        )
        for snr_db in snrs_db
    ]


def table(runs: Sequence[testbed.Run]) -> str:
    """SNR, error of the mean, accuracy."""
    lines = [f"{'SNR':>8} {'NMSE':>10} {'accuracy':>9}"]
    for run in runs:
        assert run.summary is not None
        nmse_db, accuracy = run.summary.nmse_db_median, run.summary.metric_last
        lines.append(f"{run.config.rig.air.snr_db:5.0f} dB {nmse_db:7.1f} dB {accuracy:9.1%}")
    return "\n".join(lines)


def picture(runs: Sequence[testbed.Run]) -> Figure:
    """NMSE of every round over the SNR."""
    figure = Figure(layout="constrained")
    axis = figure.subplots()
    for run in runs:
        nmse_db = run.columns()["nmse_db"]
        axis.plot([run.config.rig.air.snr_db] * len(nmse_db), nmse_db, ".", color="#2b6cb0", alpha=0.4)
    axis.set_xlabel("SNR of a sample (dB)")
    axis.set_ylabel("NMSE of the mean scalar (dB)")
    return figure


def main(arguments: Sequence[str] | None = None) -> None:
    """Parse, run, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("runs/sweep"))
    parser.add_argument("--snrs-db", type=float, nargs="+", default=[-10.0, 0.0, 10.0, 20.0])
    parser.add_argument("--rounds", type=int, default=200)
    asked = parser.parse_args(arguments)
    runs = sweep(asked.out, asked.snrs_db, asked.rounds)
    print(table(runs))
    picture(runs).savefig(asked.out / "sweep.png", dpi=110)
    print(f"picture: {asked.out / 'sweep.png'}")


if __name__ == "__main__":
    main()
