"""What a sweep leaves for people: tables of runs and of rounds, and the page that compares its settings."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from testbed.comparison.page import write_page
from testbed.comparison.runs import Setting, letter, settings_of, word
from testbed.comparison.tables import columns_of_rows, summary_row, write_table
from testbed.errors import RunDirectoryError
from testbed.results.run import Run
from testbed.sweep.directory import Plan, Seen, SweepDirectory
from testbed.sweep.plan import PlannedRun


def write_results(sweep: SweepDirectory) -> list[Path]:
    """Write runs.csv, rounds.csv, both as Parquet too where pyarrow is installed, and report.html with its pictures.

    Of runs that are not done, what is there; of a run that has not begun, its row. Returns what was written.
    """
    plan = sweep.read_plan()
    seen = {run.name: sweep.seen(run.name) for run in plan.runs}
    opened = {run.name: opened for run in plan.runs if (opened := _opened(sweep, run, seen[run.name])) is not None}
    rows = [_row(sweep, run, seen[run.name], opened.get(run.name)) for run in plan.runs]
    written = write_table(sweep.path / "runs", columns_of_rows(rows))
    written += write_table(sweep.path / "rounds", columns_of_rows(_round_rows(plan, opened)))
    done = [opened[run.name] for run in plan.runs if seen[run.name].state == "done" and run.name in opened]
    if done:
        written += write_page(sweep.report, _settings(plan, done), title=f"sweep {plan.name}", notes=notes(plan, seen))
    return written


def notes(plan: Plan, seen: dict[str, Seen]) -> list[str]:
    """What a reader of the results must not miss: runs that are not among them, and why."""
    failed = [(run, seen[run.name]) for run in plan.runs if seen[run.name].state == "failed"]
    open_ = sum(each.state in ("missing", "cut off") for each in seen.values())
    found = [f"{len(failed)} of {len(plan.runs)} runs failed and are in no mean."] if failed else []
    found += [f"{run.name}: {each.reason}" for run, each in failed[:20]]
    found += [f"{open_} of {len(plan.runs)} runs are not done yet."] if open_ else []
    return found


def _settings(plan: Plan, runs: list[Run]) -> list[Setting]:
    """Runs by what the sweep varies, in its own order and its own words."""
    values = {run.name: tuple((key, word(value)) for key, value in run.values.items()) for run in plan.runs}
    groups: dict[tuple[tuple[str, str], ...], list[Run]] = {}
    for run in runs:
        groups.setdefault(values[run.path.name], []).append(run)
    if len(groups) < 2:
        return settings_of(runs)
    return [
        Setting(letter=letter(number), values=dict(key), runs=tuple(group))
        for number, (key, group) in enumerate(groups.items())
    ]


def _opened(sweep: SweepDirectory, run: PlannedRun, seen: Seen) -> Run | None:
    if not sweep.has_begun(run.name):
        return None
    try:
        opened = Run.open(sweep.run(run.name))
        _ = opened.rounds, opened.info
    except RunDirectoryError:
        if seen.state == "done":
            raise
        return None
    return opened


def _row(sweep: SweepDirectory, run: PlannedRun, seen: Seen, opened: Run | None) -> dict[str, Any]:
    summary = opened.summary if opened is not None and seen.fingerprint is not None else None
    return {
        "run": run.name,
        "state": seen.state,
        "reason": seen.reason,
        **run.values,
        "seed": run.seed,
        **summary_row(summary),
        "git": opened.info.git if opened is not None else None,
        "directory": str(sweep.run(run.name)),
    }


def _round_rows(plan: Plan, opened: dict[str, Run]) -> list[dict[str, Any]]:
    rows = []
    for run in plan.runs:
        if run.name in opened:
            columns = opened[run.name].columns()
            for number in range(len(opened[run.name].rounds)):
                values = {name: column[number] for name, column in columns.items()}
                rows.append({"run": run.name, **run.values, "seed": run.seed, **_renamed(values)})
    return rows


def _renamed(values: dict[str, Any]) -> dict[str, Any]:
    """Rounds have a seed of their own."""
    return {("round_seed" if name == "seed" else name): value for name, value in values.items()}
