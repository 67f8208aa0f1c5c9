"""What a person sees of a comparison of methods: a live line on stderr, a table on stdout."""

from __future__ import annotations

from typing import Self

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from testbed.commands.screen.tables import table_of
from testbed.commands.screen.terminal import console
from testbed.jcpba.comparison import COMPLETED, Compared
from testbed.results.words import metric_label, metric_value


class ComparisonDisplay:
    """A progress bar for each method; one line per evaluation where stderr is no terminal."""

    def __init__(self) -> None:
        self._console = console(stderr=True)
        self._bar: Progress | None = None
        self._task = TaskID(0)
        self._words, self._num_rounds, self._figures = "", 0, ""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.stop()

    def begins(self, words: str, first_round: int, num_rounds: int) -> None:
        """A method, or pAirZero."""
        self._words, self._num_rounds, self._figures = words, num_rounds, ""
        if not self._console.is_terminal:
            return
        if self._bar is None:
            self._bar = Progress(
                TextColumn("{task.description}", markup=False),
                BarColumn(bar_width=18),
                MofNCompleteColumn(),
                TextColumn("{task.fields[figures]}", markup=False),
                TimeRemainingColumn(),
                console=self._console,
                refresh_per_second=8,
            )
            self._bar.start()
        self._task = self._bar.add_task(words, total=num_rounds, completed=first_round, figures="")

    def round_done(self, round_number: int, wall_clock_s: float | None, loss: float | None) -> None:
        """Move on by one round."""
        if loss is not None:
            self._figures = f"test loss {loss:.3f}"
            if wall_clock_s is not None:
                self._figures += f" at {wall_clock_s:.0f} s"
        if self._bar is not None:
            self._bar.update(self._task, completed=round_number, figures=self._figures)
        elif loss is not None:
            self._console.print(
                f"{self._words}: round {round_number}/{self._num_rounds}  {self._figures}", soft_wrap=True
            )


def print_compared(compared: Compared) -> None:
    """The table and where the files are, on stdout."""
    out = console()
    found = compared.comparison
    label = metric_label(found.metric_name)
    reference = next((m.wall_clock_s for m in found.methods if m.name == "equal" and m.num_rounds), None)
    rows = [
        (
            method.words,
            str(method.num_rounds),
            f"{method.wall_clock_s:.1f} s",
            "–" if not reference else f"{method.wall_clock_s / reference:.2f}",
            f"{method.loss:.4f}",
            metric_value(found.metric_name, method.metric),
            "–" if method.mean_pruning is None else f"{method.mean_pruning:.2f}",
            f"{method.uplink_bits_per_device / 1e6:.3f}",
        )
        for method in found.methods
    ]
    header = ("method", "rounds", "modelled", "/ equal", "test loss", label, "pruned", "Mbit up")
    out.print(table_of(f"{found.name}, seed {found.seed}; loss and {label}: last 3 evaluations", header, rows))
    if found.stopped != COMPLETED:
        out.print(f"interrupted; --resume {compared.directory.path} goes on", soft_wrap=True)
    out.print(f"picture: {compared.directory.picture}", soft_wrap=True)
