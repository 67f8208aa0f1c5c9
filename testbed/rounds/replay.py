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
from testbed.results.records import RunInfo
from testbed.results.words import listed, verified_words
from testbed.rounds.session import rebuild


@dataclass(frozen=True, slots=True, kw_only=True)
class Replayed:
    """What a replay came to; as text, one line."""

    num_updates: int
    fingerprint: str
    """Of the rebuilt weights."""
    compared: bool
    """Whether they were the recorded final weights, bit for bit; else there was nothing to compare with."""
    verified_devices: tuple[int, ...] = ()
    """Devices whose hosts' live weights at the end they are, bit for bit, too."""
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
    info = directory.read_info()
    replica = _rebuilt(directory, config, kept)
    fingerprint, num_updates = replica.fingerprint(), sum(bool(result.coefficients) for result in kept)
    compared = False
    if num_rounds is not None:
        text = f"rebuilt the weights after {num_rounds} rounds ({fingerprint[:12]})"
    elif not directory.final_weights.exists() or info.ended_with is None:
        directory.write_with(directory.final_weights, replica.save_weights)
        fate = f"failed ({info.failure})" if info.failure is not None else "was cut off"
        text = f"rebuilt from {num_updates} updates, run {fate}; wrote {directory.final_weights} ({fingerprint[:12]})"
    else:
        compared = True
        _compare(directory, config, fingerprint, num_updates)
        text = _seen(info, f"{num_updates} updates from the journal give the final weights ({fingerprint[:12]})")
    if save is not None:
        files.write_with(save, replica.save_model, remedy="choose another place with --save")
        text += f"; wrote {save}"
    return Replayed(
        num_updates=num_updates,
        fingerprint=fingerprint,
        compared=compared,
        verified_devices=info.verified_devices or () if compared else (),
        text=text,
    )


def _seen(info: RunInfo, rebuilt: str) -> str:
    """What the rebuilt weights were found to be; bit-identical only with what a host was seen to hold."""
    if info.verified_devices is None:
        return f"rebuilt: {rebuilt}; {verified_words(info)} by the version that wrote this run"
    if not info.verified_devices:
        return f"rebuilt: {rebuilt}; no host's weights were compared at the end and found the same: {info.not_verified}"
    text = f"bit-identical: {rebuilt}, which are the live weights of {listed(info.verified_devices)}"
    return f"{text}; not verified for {info.not_verified}" if info.not_verified else text


def _rebuilt(directory: RunDirectory, config: RunConfig, results: list[j.Result]) -> Replica:
    """The weights after these results, from initial weights that are what the run says they were."""
    info = directory.read_info()
    replica = rebuild(directory, config, [])
    if replica.fingerprint() != info.initial_fingerprint:
        raise JournalError(
            f"{directory.initial_weights}: not the weights that this run started from "
            f"({replica.fingerprint()[:12]} instead of {info.initial_fingerprint[:12]}); restore that file"
        )
    replay(replica, (update for r in results for update in r.updates))
    return replica


def _compare(directory: RunDirectory, config: RunConfig, fingerprint: str, num_updates: int) -> None:
    """Compare with what the run and its hosts ended with. Raises JournalError."""
    stored = Replica.load(config.experiment.model)
    stored.load_weights(directory.final_weights)
    info = directory.read_info()
    for name, other in (
        ("final weights", stored.fingerprint()),
        ("recorded final weights", info.ended_with),
        ("live weights of the hosts", info.final_fingerprint),
    ):
        if other is not None and other != fingerprint:
            raise JournalError(
                f"{directory.path}: replay of {num_updates} updates gives {fingerprint[:12]}, "
                f"the {name} are {other[:12]}; "
                "a file of this run was changed, or another version of the toolkit wrote it"
            )
