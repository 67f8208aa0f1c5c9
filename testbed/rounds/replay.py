"""Rebuilds the weights of a run from its initial weights and its journal, and compares them bit for bit."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from learner.zo.replica import Replica, replay
from testbed.config.schema import RunConfig
from testbed.errors import JournalError
from testbed.results import files
from testbed.results import journal as j
from testbed.results.directory import RunDirectory
from testbed.rounds.session import rebuild


@dataclass(frozen=True, slots=True, kw_only=True)
class Replayed:
    """What a replay came to; as text, one line."""

    num_updates: int
    fingerprint: str
    """Of the rebuilt weights."""
    compared: bool
    """Whether they were the recorded final weights, bit for bit; else there was nothing to compare with."""
    text: str

    def __str__(self) -> str:
        return self.text


def replay_run(path: Path, *, num_rounds: int | None = None, save: Path | None = None) -> Replayed:
    """Rebuild the final weights of a run directory, and compare them with what it ended with.

    A run that was cut off has no final weights yet: they are written. With `num_rounds`, stop after so many rounds,
    which have nothing to be compared with. `save` gets the model as a Hugging Face directory. Raises JournalError if
    bits differ.
    """
    directory = RunDirectory.open(path)
    config = directory.read_config()
    results = [record for record in j.read(directory.journal) if isinstance(record, j.Result)]
    if num_rounds is not None and not 0 <= num_rounds <= len(results):
        raise JournalError(f"{path}: got --rounds {num_rounds}; allowed 0 to {len(results)}, the rounds of this run")
    kept = results[:num_rounds]
    replica = _rebuilt(directory, config, kept)
    fingerprint, num_updates = replica.fingerprint(), sum(bool(result.coefficients) for result in kept)
    compared = False
    if num_rounds is not None:
        text = f"rebuilt the weights after {num_rounds} rounds ({fingerprint[:12]})"
    elif not directory.final_weights.exists() or directory.read_info().final_fingerprint is None:
        directory.write_with(directory.final_weights, replica.save_weights)
        text = (
            f"rebuilt from {num_updates} updates, run was cut off; wrote {directory.final_weights} ({fingerprint[:12]})"
        )
    else:
        compared = True
        _compare(directory, config, fingerprint, num_updates)
        text = f"bit-identical: {num_updates} updates from the journal give the final weights ({fingerprint[:12]})"
    if save is not None:
        files.write_with(save, replica.save_model, remedy="choose another place with --save")
        text += f"; wrote {save}"
    return Replayed(num_updates=num_updates, fingerprint=fingerprint, compared=compared, text=text)


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


def _compare(directory: RunDirectory, config: RunConfig, fingerprint: str, num_updates: int) -> None:
    """Compare with what the run and its hosts ended with. Raises JournalError."""
    stored = Replica.load(config.experiment.model)
    stored.load_weights(directory.final_weights)
    for name, other in (
        ("final weights", stored.fingerprint()),
        ("live weights of the hosts", directory.read_info().final_fingerprint),
    ):
        if other is None or other != fingerprint:
            raise JournalError(
                f"{directory.path}: replay of {num_updates} updates gives {fingerprint[:12]}, "
                f"the {name} are {(other or 'not known')[:12]}; "
                "a file of this run was changed, or another version of the toolkit wrote it"
            )
