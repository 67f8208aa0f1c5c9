"""What a person sees of a run in a terminal: a live line on stderr, a table on stdout."""

from __future__ import annotations

import time
from contextlib import ExitStack
from typing import Self

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn
from rich.table import Table

from testbed.commands.screen.native_lines import native_lines_above
from testbed.commands.screen.terminal import console
from testbed.results.records import RoundRecord, RunInfo
from testbed.results.report import summary_rows
from testbed.results.words import INTERRUPTED, metric_label, metric_value
from testbed.rounds.processes import Outcome

_SMOOTHING = 0.05
_TABLE_COLUMNS = 64
"""A narrower screen gets lines, where a table would leave no room for its values."""


class RunDisplay:
    """Shows round, loss, NMSE, SNR and the metric; one line per evaluation where stderr is no terminal."""

    def __init__(self, *, waits: bool = True) -> None:
        """Where all devices are in this process, nobody has to be waited for."""
        self._waits = waits
        self._console = console(stderr=True)
        self._bar: Progress | None = None
        self._shown = ExitStack()
        self._task = TaskID(0)
        self._loss: float | None = None
        self._metric: float | None = None
        self._metric_name = "accuracy"
        self._last_waiting: list[int] = []
        self._waits_for_air = False
        self._started = time.monotonic()
        self._num_rounds = 0
        self._num_retried = self._num_lost = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.stop()
        self._shown.close()

    @property
    def _is_narrow(self) -> bool:
        """Whether there is room for figures, but not for a bar beside them."""
        return self._console.width < _TABLE_COLUMNS

    def waiting(self, missing: list[int]) -> None:
        """Say once whom the run waits for."""
        if self._waits and missing != self._last_waiting and time.monotonic() - self._started > 2:
            self._console.print(f"waiting for devices {', '.join(map(str, missing))}")
            self._last_waiting = missing

    def waiting_for_air(self, address: str) -> None:
        """Say it once."""
        if not self._waits_for_air:
            self._console.print(f"waiting for the air at {address}; start it with `testbed air`", soft_wrap=True)
            self._waits_for_air = True

    def started(self, info: RunInfo, first_round: int, num_rounds: int) -> None:
        """Open the progress bar."""
        self._num_rounds = num_rounds
        initial = info.initial_evaluation
        if initial is not None:
            self._metric, self._metric_name = initial.metric, initial.metric_name
            self._console.print(
                f"{info.num_parameters:,} parameters, {num_rounds} rounds; untouched model: {self._judged()} "
                f"on {initial.num_examples:,} test examples",
                soft_wrap=True,
            )
        if self._console.is_terminal:
            self._shown.enter_context(native_lines_above(self._console))
            around = ([], []) if self._is_narrow else ([BarColumn(bar_width=18)], [TimeRemainingColumn()])
            self._bar = Progress(
                *around[0],
                MofNCompleteColumn(),
                TextColumn("{task.fields[figures]}", markup=False),
                *around[1],
                console=self._console,
                refresh_per_second=8,
            )
            self._bar.start()
            self._task = self._bar.add_task("rounds", total=num_rounds, completed=first_round, figures="")

    def _judged(self) -> str:
        return f"{metric_label(self._metric_name)} {metric_value(self._metric_name, self._metric)}"

    def round_done(self, record: RoundRecord) -> None:
        """Move on by one round."""
        if record.loss is not None:
            self._loss = record.loss if self._loss is None else self._loss + _SMOOTHING * (record.loss - self._loss)
        elif record.eval_loss is not None:
            self._loss = record.eval_loss
        if record.metric is not None:
            self._metric = record.metric
        self._num_retried += record.status == "retried"
        self._num_lost += record.status in ("skipped", "rejected")
        told = [
            f"loss {_number(self._loss, '.3f')}",
            f"NMSE {_number(record.nmse_db, '.1f')} dB",
            f"SNR {_number(record.symbol_snr_db, '.1f')} dB",
            self._judged(),
            *([f"{self._num_retried} retried"] if self._num_retried else []),
            *([f"{self._num_lost} lost"] if self._num_lost else []),
        ]
        if self._bar is not None and self._is_narrow:
            told[1:3] = []
        figures = "  ".join(told)
        if self._bar is not None:
            self._bar.update(self._task, completed=record.round + 1, figures=figures)
        elif record.metric is not None:
            self._console.print(f"round {record.round + 1}/{self._num_rounds}  {figures}")
        if record.status in ("skipped", "rejected"):
            self._console.print(f"round {record.round + 1} {record.status}: {record.reason}")


def print_outcome(outcome: Outcome) -> None:
    """The summary table, the privacy statement and where the files are, on stdout."""
    out = console()
    summary = outcome.summary
    title, rows = f"{summary.name}, seed {summary.seed}", summary_rows(summary)
    if out.width < _TABLE_COLUMNS:
        out.print(title)
        for label, text in rows:
            out.print(f"{label}: {text}")
    else:
        table = Table(title=title, show_header=False, title_justify="left")
        table.add_column(no_wrap=True)
        table.add_column(overflow="fold")
        for label, text in rows:
            table.add_row(label, text)
        out.print(table)
    out.print(summary.privacy)
    if summary.stopped == INTERRUPTED:
        path = outcome.directory.path
        out.print(f"no report was drawn; `testbed report {path}` does, --resume {path} goes on", soft_wrap=True)
    else:
        out.print(f"report: {outcome.directory.report}", soft_wrap=True)


def _number(value: float | None, form: str) -> str:
    return "–" if value is None else format(value, form)
