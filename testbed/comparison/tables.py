"""Runs and their rounds as tidy tables: Arrow in memory, Parquet and CSV on disk. Needs no pandas.

`records(run).to_pandas()` is a DataFrame where pandas is installed.
"""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from testbed.errors import OutputError
from testbed.results import files
from testbed.results.records import Summary
from testbed.results.run import Run

if TYPE_CHECKING:
    import pyarrow

Columns = Mapping[str, Sequence[Any] | np.ndarray]

_SUMMED_UP = (
    "scheme", "air_level", "schedule", "backend", "num_devices", "num_parameters", "rounds_ok", "rounds_total",
    "rounds_asked", "metric_name", "metric_initial", "metric_final", "metric_last", "metric_best", "best_round",
    "nmse_db_median", "nmse_db_pooled", "symbol_snr_db_median", "airtime_s", "payload_symbols_per_round",
    "uplink_bits_per_device", "wall_s", "rho_spent", "epsilon_spent", "dp_delta", "privacy", "stopped",
    "rebuilt_fingerprint",
)  # fmt: skip
"""Of a summary, what a table of runs holds, under these names."""


def records(run: Run | str | os.PathLike[str]) -> pyarrow.Table:
    """The rounds of a run as an Arrow table, one row a round, with the columns of `Run.columns`; unknown is null.

    ``records("runs/a").to_pandas()`` gives a DataFrame, ``.to_pydict()`` plain lists. Raises OutputError without
    pyarrow (extra ``parquet``), RunDirectoryError for what is no run directory.
    """
    run = run if isinstance(run, Run) else Run.open(run)
    return table_of(run.columns())


def summary_row(summary: Summary | None) -> dict[str, Any]:
    """What a table of runs says of one; of one without a summary nothing but nulls."""
    return {name: getattr(summary, name) if summary is not None else None for name in _SUMMED_UP}


def table_of(columns: Columns) -> pyarrow.Table:
    """Columns as an Arrow table, NaN as null. Raises OutputError without pyarrow."""
    try:
        import pyarrow as pa
    except ImportError as err:
        raise OutputError(
            f"table: needs the package pyarrow, which is not installed ({err}); allowed: installed; "
            "pip install 'airzero-testbed[parquet]'"
        ) from err
    return pa.table({name: pa.array(_plain(values), from_pandas=True) for name, values in columns.items()})


def columns_of_rows(rows: Sequence[Mapping[str, Any]]) -> dict[str, list[Any]]:
    """Rows as columns, in the order in which keys first come; a key that a row lacks is None there."""
    names = dict.fromkeys(name for row in rows for name in row)
    return {name: [row.get(name) for row in rows] for name in names}


def write_table(stem: Path, columns: Columns) -> list[Path]:
    """Write STEM.csv, and STEM.parquet where pyarrow is installed; returns what was written.

    In the CSV, unknown is empty. Raises RunDirectoryError where it cannot be written.
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    plain = [[_cell(value) for value in _plain(values)] for values in columns.values()]
    writer.writerows(zip(*plain, strict=True))
    written = [stem.with_suffix(".csv")]
    files.write(written[0], text.getvalue())
    try:
        table = table_of(columns)
    except OutputError:
        return written
    import pyarrow.parquet

    buffer = io.BytesIO()
    pyarrow.parquet.write_table(table, buffer)
    written.append(stem.with_suffix(".parquet"))
    files.write(written[1], buffer.getvalue())
    return written


def _plain(values: Sequence[Any] | np.ndarray) -> list[Any]:
    """Values that every format takes; values of several kinds, as a swept key may have, as text."""
    listed = values.tolist() if isinstance(values, np.ndarray) else [_one(value) for value in values]
    kinds = {type(value) for value in listed if value is not None}
    if kinds <= {int, float}:
        return [float(value) if float in kinds and value is not None else value for value in listed]
    return listed if len(kinds) <= 1 else [None if value is None else str(value) for value in listed]


def _one(value: Any) -> Any:
    return value if value is None or isinstance(value, (bool, int, float, str)) else str(value)


def _cell(value: Any) -> Any:
    return "" if value is None or value != value else value
