"""A simulated run that was cut off, taken back to its last whole round: what follows is played again, bit for bit.

On a real bench what was transmitted cannot be taken back, so there a round that was cut off is a skipped one
(`testbed.rounds.resume`). Where devices, air and access point were one process, all of them ended with it, and nobody
else has heard anything.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from testbed.config.schema import RunConfig
from testbed.errors import ConfigError
from testbed.planning.terms import is_simulated
from testbed.results import journal as j
from testbed.results.directory import RunDirectory


def check_can_rewind(config: RunConfig) -> None:
    """Raise ConfigError for a run that leaves more behind than its own directory."""
    if not is_simulated(config.rig):
        raise ConfigError(
            f"backend: got {config.rig.backend!r}, whose radios are outside of this process; allowed: a simulated air, "
            "whose rounds can be played again; take a simulated rig"
        )
    if config.experiment.privacy.budget is not None:
        raise ConfigError(
            f"privacy.budget: got {config.experiment.privacy.budget!r}, which counts every transmission for good; "
            "allowed: none where rounds may be played again; leave it out"
        )


def rewind(path: Path) -> int:
    """Forget what a run did behind its last whole round; returns how many records of the journal that were.

    A round is whole once its line is in rounds.jsonl, behind its result in the journal and its evaluation. The former
    journal is kept as a backup. Raises ConfigError where `check_can_rewind` does, JournalError while another process
    writes this run.
    """
    directory = RunDirectory.open(path)
    check_can_rewind(directory.read_config())
    num_rounds = len(directory.read_rounds())
    with j.Journal(directory.journal) as journal:  # held, so that nobody else opens it meanwhile
        kept = whole_rounds(journal.records, num_rounds)
        num_forgotten = len(journal.records) - len(kept)
        if num_forgotten:
            with suppress(FileNotFoundError):
                directory.summary.unlink()  # of an interrupted run, which knew of the charges that go now
            j.renew(directory.journal, kept)
    return num_forgotten


def whole_rounds(records: Sequence[j.AnyRecord], num_rounds: int) -> list[j.AnyRecord]:
    """The records of a run's beginning and of its first ``num_rounds`` rounds, charges and results; pure."""
    return [record for record in records if not isinstance(record, (j.Spent, j.Result)) or record.round < num_rounds]
