"""`Run`: a run directory as Python sees it, finished or not; reads only."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import msgspec
import numpy as np
from numpy.typing import NDArray

from radio.samples import IQ
from testbed.config.schema import RunConfig
from testbed.errors import RunDirectoryError
from testbed.results import journal as j
from testbed.results.directory import RunDirectory
from testbed.results.recordings import load_capture
from testbed.results.records import RoundRecord, RunInfo, Summary
from testbed.results.words import metric_label, metric_value

if TYPE_CHECKING:
    from torch import Tensor

Column = NDArray[Any] | list[Any]


@dataclass(frozen=True, slots=True)
class Capture:
    """The recorded payload of one round."""

    round: int
    path: Path
    """Its .sigmf-data file; .sigmf-meta is beside it."""

    def samples(self) -> IQ:
        """What was received, complex64 [N]."""
        return load_capture(self.path)


class Run:
    """One run directory. Its files are read when first asked for; open it again to see what a live run has added."""

    def __init__(self, directory: RunDirectory) -> None:
        self.directory = directory
        """Where each file is."""

    @classmethod
    def open(cls, path: str | os.PathLike[str]) -> Run:
        """The run in this directory. Raises RunDirectoryError if it is none, or of a later version."""
        return cls(RunDirectory.open(Path(path)))

    @property
    def path(self) -> Path:
        """The directory."""
        return self.directory.path

    @cached_property
    def config(self) -> RunConfig:
        """The resolved configuration; `testbed.run` and `testbed.plan` take it again."""
        return self.directory.read_config()

    @cached_property
    def info(self) -> RunInfo:
        """What produced the run: versions, machine, commit, fingerprints."""
        return self.directory.read_info()

    @cached_property
    def rounds(self) -> tuple[RoundRecord, ...]:
        """One record a round, oldest first."""
        return tuple(self.directory.read_rounds())

    @cached_property
    def summary(self) -> Summary | None:
        """The run in one record; None of a run that was cut off."""
        return self.directory.read_summary()

    @cached_property
    def journal(self) -> tuple[j.AnyRecord, ...]:
        """Everything that decided the weights and the privacy ledger, oldest first."""
        return tuple(j.read(self.directory.journal))

    @property
    def captures(self) -> tuple[Capture, ...]:
        """The recorded payloads, by round."""
        paths = sorted(self.directory.captures.glob("round-*.sigmf-data"))
        return tuple(Capture(int(path.stem.partition("-")[2]), path) for path in paths)

    def columns(self) -> dict[str, Column]:
        """The rounds by column, each of length T: ``pandas.DataFrame(run.columns())``.

        Numbers are arrays, NaN where nothing is known; words are lists. Vectors have a column for each query,
        ``estimate_0`` and so on, and complex ones two, ``received_0_real`` and ``received_0_imag``.
        """
        return columns_of(self.rounds)

    def weights(self, which: Literal["initial", "final", "best"] = "final") -> dict[str, Tensor]:
        """The trained weights by Hugging Face name, as torch tensors on the CPU. Raises RunDirectoryError."""
        from safetensors import SafetensorError
        from safetensors.torch import load_file

        path = {
            "initial": self.directory.initial_weights,
            "final": self.directory.final_weights,
            "best": self.directory.best_weights,
        }[which]
        try:
            loaded: dict[str, Tensor] = load_file(path)
        except FileNotFoundError as err:
            raise RunDirectoryError(f"{path}: not there; `testbed replay {self.path}` makes the final weights") from err
        except (OSError, SafetensorError) as err:
            raise RunDirectoryError(f"{path}: cannot be read: {err}; restore it from a copy") from err
        return loaded

    def __repr__(self) -> str:
        experiment = self.config.experiment
        parts = [
            experiment.name,
            experiment.scheme.name,
            f"seed {experiment.seed}",
            f"{len(self.rounds)} of {experiment.rounds.num} rounds",
        ]
        if self.summary is not None:
            if self.summary.metric_final is not None:
                parts.append(
                    f"{metric_label(self.summary.metric_name)} "
                    f"{metric_value(self.summary.metric_name, self.summary.metric_final)}"
                )
            parts.append(self.summary.stopped)
        return f"<Run {str(self.path)!r}: {', '.join(parts)}>"


def columns_of(records: Iterable[RoundRecord]) -> dict[str, Column]:
    """Records of rounds as columns, see `Run.columns`; fields that no round knows are left out of the vectors."""
    records = list(records)
    columns: dict[str, Column] = {}
    for field in msgspec.structs.fields(RoundRecord):
        values = [getattr(record, field.name) for record in records]
        if field.name == "absent":  # devices, not queries
            columns[field.name] = values
            continue
        length = max((len(value) for value in values if isinstance(value, tuple)), default=None)
        if length is None:
            columns[field.name] = _column(values)
            continue
        for query in range(length):
            entries = [value[query] if value is not None and query < len(value) else None for value in values]
            name = f"{field.name}_{query}"
            if any(isinstance(entry, tuple) for entry in entries):
                columns[f"{name}_real"] = _column([None if entry is None else entry[0] for entry in entries])
                columns[f"{name}_imag"] = _column([None if entry is None else entry[1] for entry in entries])
            else:
                columns[name] = _column(entries)
    return columns


def _column(values: list[Any]) -> Column:
    """Integers as int64, other numbers as float64 with NaN for None, all else as it is."""
    if values and all(isinstance(value, int) for value in values):
        return np.array(values, dtype=np.int64)
    if all(value is None or isinstance(value, (int, float)) for value in values):
        return np.array([np.nan if value is None else value for value in values], dtype=np.float64)
    return values
