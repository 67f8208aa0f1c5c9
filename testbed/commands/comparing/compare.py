"""`testbed compare` and `testbed report`: runs side by side, or one by itself."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from testbed.commands.app import app
from testbed.commands.options import JsonOption
from testbed.commands.screen.tables import table_of
from testbed.commands.screen.terminal import console
from testbed.errors import RunDirectoryError

RunsArgument = Annotated[
    list[Path], typer.Argument(metavar="RUN_DIR...", help="Run directories, or folders that hold some.")
]
_MOST_RUNS = 30
_PAGE = "comparison.html"


@app.command()
def report(
    runs: RunsArgument,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help=f"Of several runs: the page (default: {_PAGE} here).")
    ] = None,
) -> None:
    """Draw a run's plots and report.html again, also of a run that was cut off; or one page that compares several.

    A comparison has every curve, a table of all runs, and paired differences where runs share seeds. Examples:

        testbed report runs/20261121-120000-quickstart

        testbed report runs/ideal runs/noisy --out noise.html

        testbed report sweeps/sweep_snr --out snr.html
    """
    from testbed.results.directory import RunDirectory
    from testbed.results.report import write_report

    if len(runs) == 1 and out is None and not _is_folder_of_runs(runs[0]):
        typer.echo(write_report(RunDirectory.open(runs[0])))
        return
    from testbed.comparison.page import write_page
    from testbed.comparison.runs import open_runs, settings_of

    opened = open_runs(runs)
    path, *pictures = write_page(
        out or Path(_PAGE), settings_of(opened), title=f"{len(opened)} run{'' if len(opened) == 1 else 's'} compared"
    )
    typer.echo(f"{path} (pictures: {pictures[0].parent})" if pictures else path)


@app.command()
def compare(runs: RunsArgument, json: JsonOption = False) -> None:
    """Compare runs: what differs, what each came to, and paired differences where runs share seeds.

    Runs that differ in nothing but the seed are one setting; differences are to the first with a result. Examples:

        testbed compare runs/ideal runs/noisy

        testbed compare sweeps/sweep_snr

        testbed compare sweeps/sweep_snr --json
    """
    from testbed.comparison.page import (
        OVERVIEW,
        SHORT_HEADER,
        difference_rows,
        overview_rows,
        short_rows,
        statements,
    )
    from testbed.comparison.runs import open_runs, settings_of

    settings = settings_of(open_runs(runs))
    if json:
        import msgspec

        from testbed.comparison.page import as_record

        typer.echo(msgspec.json.format(msgspec.json.encode(as_record(settings))).decode())
        return
    out = console()
    out.print(table_of("settings: means over seeds, with 95 % intervals", OVERVIEW, overview_rows(settings)))
    rows = short_rows(settings)
    if len(rows) <= _MOST_RUNS:
        out.print(table_of("runs", SHORT_HEADER, rows))
        for text, mark in statements(settings).items():
            out.print(f"{mark} {text}")
        for run in (run for setting in settings for run in setting.runs):
            why = run.info.failure or (run.summary.stopped if run.summary is not None else "cut off")
            if why != "done":
                out.print(f"{run.path}: {why}", soft_wrap=True)
    else:
        out.print(f"{len(rows)} runs, too many to list here: --json, or the page of `testbed report`")
    if differences := difference_rows(settings):
        out.print(table_of("final metric, paired by seed", ("difference", "mean"), differences))
    elif len(settings) > 1:
        out.print("nothing to pair: no two settings have a final metric of one seed")


def _is_folder_of_runs(path: Path) -> bool:
    from testbed.comparison.runs import open_runs
    from testbed.results.directory import RunDirectory

    try:
        RunDirectory.open(path)
    except RunDirectoryError:
        try:
            return bool(open_runs([path]))
        except RunDirectoryError:
            return False
    return False
