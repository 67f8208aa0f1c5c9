"""`python -m benchmarks.simulation.replay SEED` plays one history again and says what happened, event by event."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from benchmarks.simulation.history import play, quiet
from benchmarks.simulation.setting import drawn


def main(arguments: list[str] | None = None) -> int:
    """Exit code 1 if the history fails."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.simulation.replay", description=__doc__)
    parser.add_argument("seed", type=int)
    parser.add_argument("--keep", type=Path, default=None, help="a folder in which the run directory is left")
    parser.add_argument("--quiet", action="store_true", help="only what came of it")
    given = parser.parse_args(arguments)
    setting = drawn(given.seed)
    with quiet():
        outcome = play(given.seed, keep_lines=not given.quiet, folder=given.keep)
    for line in outcome.lines:
        print(line)
    learner, rounds = setting.config.experiment.learner, setting.config.experiment.rounds
    print(
        f"seed {given.seed}: hosts {setting.hosts}, {setting.config.experiment.scheme.name}, "
        f"{setting.config.experiment.schedule.name}, {rounds.num} rounds of {rounds.min_devices} devices at least, "
        f"fingerprints every {learner.fingerprint_every}; {setting.weather}; faults until {setting.ends_s:.1f} s"
    )
    print(f"trace {outcome.trace}; {outcome.num_events} events, {outcome.took_s:.1f} s; {outcome.statuses}")
    print(f"{outcome.counts}")
    for fault in outcome.faults:
        print(f"DOES NOT HOLD: {fault}")
    return 1 if outcome.faults else 0


if __name__ == "__main__":
    sys.exit(main())
