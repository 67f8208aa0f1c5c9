"""Rebuilds the weights of a run from its initial weights and its journal, and compares them bit for bit."""

from __future__ import annotations

from pathlib import Path

from learner.replica import Replica
from testbed import journal as j
from testbed.errors import JournalError
from testbed.results import RunDirectory
from testbed.session import rebuild


def replay_run(path: Path) -> str:
    """Rebuild the final weights of a run directory; returns one line that says what they were compared with.

    A run that was cut off has no final weights yet: they are written. Raises JournalError if bits differ.
    """
    directory = RunDirectory.open(path)
    config, info = directory.read_config(), directory.read_info()
    results = [record for record in j.read(directory.journal) if isinstance(record, j.Result)]
    num_updates = sum(bool(result.coefficients) for result in results)
    replica = rebuild(directory, config, [])
    if replica.fingerprint() != info.initial_fingerprint:
        raise JournalError(
            f"{directory.initial_weights}: not the weights that this run started from "
            f"({replica.fingerprint()[:12]} instead of {info.initial_fingerprint[:12]}); restore that file"
        )
    replica = rebuild(directory, config, results)
    fingerprint = replica.fingerprint()
    if not directory.final_weights.exists() or info.final_fingerprint is None:
        replica.save_weights(directory.final_weights)
        return (
            f"rebuilt from {num_updates} updates, run was cut off; wrote {directory.final_weights} ({fingerprint[:12]})"
        )
    stored = Replica.load(config.experiment.model)
    stored.load_weights(directory.final_weights)
    for name, other in (
        ("final weights", stored.fingerprint()),
        ("live weights of the hosts", info.final_fingerprint),
    ):
        if other != fingerprint:
            raise JournalError(
                f"{path}: replay of {num_updates} updates gives {fingerprint[:12]}, the {name} are {other[:12]}; "
                "a file of this run was changed, or another version of the toolkit wrote it"
            )
    return f"bit-identical: {num_updates} updates from the journal give the final weights ({fingerprint[:12]})"
