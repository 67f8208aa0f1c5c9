"""`testbed sweep`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from testbed.commands.app import app
from testbed.commands.options import JsonOption
from testbed.commands.screen.tables import table_of
from testbed.commands.screen.terminal import INTERRUPTED, console, interruptible

if TYPE_CHECKING:
    from testbed.config.schema import RunConfig
    from testbed.sweep.directory import SweepDirectory
    from testbed.sweep.plan import PlannedRun

_MOST_LINES = 20


@app.command()
def sweep(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A sweep's TOML file: docs/sweeps.md.")],
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="The sweep's directory (default: sweeps/<its name>).")
    ] = None,
    workers: Annotated[
        int | None, typer.Option(min=1, max=1024, help="Processes on this machine (default: one for each core).")
    ] = None,
    scheduler: Annotated[
        str | None, typer.Option(help="A Dask scheduler instead: tcp://HOST:PORT, tls://HOST:PORT, or its .json file.")
    ] = None,
    retry_failed: Annotated[bool, typer.Option("--retry-failed", help="Also try what failed before.")] = False,
    patience_s: Annotated[
        float, typer.Option(min=0, max=1e6, help="How long the scheduler may be away before this gives up.")
    ] = 60.0,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say which runs there are and how far, and end.")] = False,
    json: JsonOption = False,
) -> None:
    """Run many experiments: any keys in a grid, in pairs or drawn at random, each with every seed.

    Every run has a directory of its own. What is done is decided from these: end this command, its workers or the
    scheduler at any time, and the same command goes on, without a round lost or played twice. Leaves tables (CSV,
    Parquet) and a page that compares all settings. Exit code 1 if any run failed. Examples:

        testbed sweep examples/sweep_snr.toml

        testbed sweep examples/sweep_snr.toml --dry-run

        testbed sweep examples/sweep_snr.toml --scheduler tcp://10.0.0.1:8786

        testbed compare sweeps/sweep_snr
    """
    if scheduler is not None and workers is not None:
        raise typer.BadParameter("a scheduler has its own workers; leave out --workers", param_hint="--scheduler")
    from testbed.sweep.file import read_sweep

    asked = read_sweep(file)
    from testbed.bench.rig import resolve  # NumPy and more, once the file is right
    from testbed.config.files import load
    from testbed.config.overrides import as_texts
    from testbed.sweep.directory import SweepDirectory
    from testbed.sweep.plan import planned

    runs = planned(
        asked, lambda experiment, rig, changes: load(rig, experiment, changes, check=resolve), write=as_texts
    )
    directory = SweepDirectory(out if out is not None else Path("sweeps") / (asked.name or file.stem))
    if dry_run:
        _list(directory, [run for run, _ in runs], json=json)
        return
    finished = _conduct(
        directory, asked.name or file.stem, runs, workers=workers, scheduler=scheduler, retry_failed=retry_failed,
        patience_s=patience_s,
    )  # fmt: skip
    from testbed.sweep.report import write_results

    written = write_results(directory)
    num_failed = _conclude(directory, [run for run, _ in runs], written, json=json)
    if not finished:
        typer.echo(f"stopped; `testbed sweep {file}` goes on, with the same --out", err=True)
        raise typer.Exit(INTERRUPTED)
    if num_failed:
        raise typer.Exit(1)


def _conduct(
    directory: SweepDirectory,
    name: str,
    runs: list[tuple[PlannedRun, RunConfig | None]],
    *,
    workers: int | None,
    scheduler: str | None,
    retry_failed: bool,
    patience_s: float,
) -> bool:
    """Have all runs done; returns whether nothing is left."""
    import os

    from testbed.commands.screen.sweeping import SweepDisplay
    from testbed.rounds.rewind import check_can_rewind
    from testbed.sweep.cluster import local_cluster, remote_cluster
    from testbed.sweep.conduct import conduct
    from testbed.sweep.directory import begin

    configs = {run.name: config for run, config in runs if config is not None}
    for config in configs.values():
        check_can_rewind(config)
    threads = max(config.experiment.learner.num_threads for config in configs.values())
    num_workers = workers or max(1, len(os.sched_getaffinity(0)) // threads)
    num_workers = min(num_workers, len(configs))
    with directory.conducting():
        begin(directory, name, [run for run, _ in runs])
        with interruptible() as should_stop, SweepDisplay(len(runs)) as display:
            return conduct(
                directory,
                configs,
                lambda: (
                    local_cluster(num_workers, num_threads=threads) if scheduler is None else remote_cluster(scheduler)
                ),
                watcher=display,
                should_stop=should_stop,
                retry_failed=retry_failed,
                patience_s=patience_s,
            )


def _list(directory: SweepDirectory, runs: list[PlannedRun], *, json: bool) -> None:
    """Each run and what the disk says of it."""
    seen = {run.name: directory.seen(run.name) for run in runs}
    if json:
        import msgspec

        listed = [{"run": run, "seen": seen[run.name]} for run in runs]
        typer.echo(msgspec.json.format(msgspec.json.encode(listed)).decode())
        return
    rows = [
        (run.name, "refused" if run.refusal else seen[run.name].state, str(seen[run.name].num_rounds)) for run in runs
    ]
    console().print(table_of(f"{len(runs)} runs of {directory.path}", ("run", "state", "rounds"), rows))


def _conclude(directory: SweepDirectory, runs: list[PlannedRun], written: list[Path], *, json: bool) -> int:
    """What came of it all, on stdout; returns how many runs failed."""
    seen = {run.name: directory.seen(run.name) for run in runs}
    failed = [name for name, each in seen.items() if each.state == "failed"]
    done = sum(each.state == "done" for each in seen.values())
    if json:
        import msgspec

        found = {
            "directory": str(directory.path),
            "runs": len(runs),
            "done": done,
            "failed": {name: seen[name].reason for name in failed},
            "fingerprints": {name: each.fingerprint for name, each in seen.items()},
        }
        typer.echo(msgspec.json.format(msgspec.json.encode(found)).decode())
        return len(failed)
    out = console()
    out.print(f"{done} of {len(runs)} runs done, {len(failed)} failed, {len(runs) - done - len(failed)} left")
    for name in failed[:_MOST_LINES]:
        out.print(f"failed: {name}: {seen[name].reason}", soft_wrap=True)
    if len(failed) > _MOST_LINES:
        out.print(f"and {len(failed) - _MOST_LINES} more: {directory.failures}", soft_wrap=True)
    for path in written:
        if path.suffix != ".png":
            out.print(f"{'report' if path.suffix == '.html' else 'table'}: {path}", soft_wrap=True)
    return len(failed)
