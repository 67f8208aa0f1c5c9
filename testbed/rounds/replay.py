"""Rebuilds the weights of a run from its initial weights and its journal, and compares them bit for bit."""

from __future__ import annotations

from pathlib import Path

from learner.zo.replica import Replica, replay
from testbed.config.schema import RunConfig
from testbed.errors import JournalError
from testbed.results import journal as j
from testbed.results.directory import RunDirectory
from testbed.rounds.session import rebuild


def replay_run(path: Path, *, num_rounds: int | None = None, save: Path | None = None) -> str:
    """Rebuild the final weights of a run directory; returns one line that says what they were compared with.

    A run that was cut off has no final weights yet: they are written. With `num_rounds`, stop after so many rounds,
    which have nothing to be compared with. `save` gets the model as a Hugging Face directory. Raises JournalError if
    bits differ.
    """
    directory = RunDirectory.open(path)
    config = directory.read_config()
    results = [record for record in j.read(directory.journal) if isinstance(record, j.Result)]
    replica = _rebuilt(directory, config, [r for r in results if num_rounds is None or r.round < num_rounds])
    if num_rounds is None:
        said = _compare(directory, config, replica, sum(bool(result.coefficients) for result in results))
    elif num_rounds > len(results):
        raise JournalError(f"{path}: got --rounds {num_rounds}; allowed 0 to {len(results)}, the rounds of this run")
    else:
        said = f"rebuilt the weights after {num_rounds} rounds ({replica.fingerprint()[:12]})"
    if save is not None:
        replica.save_model(save)
        said += f"; wrote {save}"
    return said


def _rebuilt(directory: RunDirectory, config: RunConfig, results: list[j.Result]) -> Replica:
    """The weights after these results, from initial weights that are what the run says they were."""
    info = directory.read_info()
    replica = rebuild(directory, config, [])
    if replica.fingerprint() != info.initial_fingerprint:
        raise JournalError(
            f"{directory.initial_weights}: not the weights that this run started from "
            f"({replica.fingerprint()[:12]} instead of {info.initial_fingerprint[:12]}); restore that file"
        )
    replay(replica, ((r.seed, r.coefficients) for r in results if r.coefficients))
    return replica


def _compare(directory: RunDirectory, config: RunConfig, replica: Replica, num_updates: int) -> str:
    """Compare with what the run and its hosts ended with; returns one line."""
    info, fingerprint = directory.read_info(), replica.fingerprint()
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
                f"{directory.path}: replay of {num_updates} updates gives {fingerprint[:12]}, "
                f"the {name} are {other[:12]}; "
                "a file of this run was changed, or another version of the toolkit wrote it"
            )
    return f"bit-identical: {num_updates} updates from the journal give the final weights ({fingerprint[:12]})"
