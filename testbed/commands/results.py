"""`testbed replay`, `export` and `reprocess`: what can be made of what was left."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from testbed.commands.app import app
from testbed.commands.options import DirArgument, JsonOption
from testbed.commands.screen.tables import table_of
from testbed.commands.screen.terminal import console

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.table import Table

    from testbed.measurement.records import Interval
    from testbed.reprocessing.records import PayloadsAgain, ProbesAgain


@app.command()
def replay(
    run_dir: DirArgument,
    rounds: Annotated[
        int | None, typer.Option(min=0, help="Stop after so many rounds: the checkpoint of any round.")
    ] = None,
    save: Annotated[
        Path | None, typer.Option(help="Write the model here, as a Hugging Face directory with safetensors.")
    ] = None,
) -> None:
    """Rebuild a run's final weights from its initial weights and its journal, and compare them bit for bit.

    Examples:

        testbed replay runs/20261121-120000-quickstart

        testbed replay runs/20261121-120000-quickstart --rounds 200 --save models/after-200

        testbed run --set model.path=models/after-200
    """
    from testbed.rounds.replay import replay_run

    typer.echo(replay_run(run_dir, num_rounds=rounds, save=save))


@app.command()
def export(
    run_dir: DirArgument,
    tensorboard: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="Write event files into a folder of the run's name in here.")
    ] = None,
    mlflow: Annotated[
        str | None, typer.Option(metavar="URI", help="Log to this tracking store: http://…, sqlite:///…, file:///…")
    ] = None,
) -> None:
    """Give a run's records to TensorBoard or MLflow; again for a run that has gone on since.

    Step 1 is the first round, step 0 the untouched model. Where a privacy claim is void, so says the name of every ε.
    Needs an extra: pip install 'airzero-testbed[tensorboard]' or 'airzero-testbed[mlflow]'. Examples:

        testbed export runs/20261121-120000-quickstart --tensorboard runs/tensorboard

        testbed export runs/20261121-120000-quickstart --mlflow http://127.0.0.1:5000
    """
    if tensorboard is None and mlflow is None:
        raise typer.BadParameter("say where to: --tensorboard FOLDER, --mlflow URI, or both")
    from testbed.results.run import Run

    run = Run.open(run_dir)
    if tensorboard is not None:
        from testbed.exports.tensorboard_files import write_events

        place, number = write_events(run, tensorboard)
        typer.echo(f"tensorboard: {number:,} numbers of {len(run.rounds):,} rounds in {place}")
    if mlflow is not None:
        from testbed.exports.mlflow_store import log_run

        run_id, number = log_run(run, mlflow)
        typer.echo(f"mlflow: {number:,} new numbers of {len(run.rounds):,} rounds in run {run_id} of {mlflow}")


@app.command()
def reprocess(
    directory: Annotated[Path, typer.Argument(metavar="DIR", help="A run directory, or that of a measurement.")],
    scheme: Annotated[
        str | None,
        typer.Option(help="Of a run: whose receiver estimates, any that reads the same waveform (default: the run's)."),
    ] = None,
    json: JsonOption = False,
) -> None:
    """Look at recordings again: sound a measurement's probes, or estimate a run's recorded rounds.

    Everything comes from the SigMF files; what was recorded at the time stands beside it. Writes reprocessed.json or
    reprocessed-SCHEME.json into the directory. Examples:

        testbed reprocess runs/20261121-120000-measure

        testbed reprocess runs/20261121-120000-quickstart

        testbed reprocess runs/20261121-120000-quickstart --scheme sign
    """
    from testbed.reprocessing.reprocess import is_good
    from testbed.reprocessing.reprocess import reprocess as reprocessed

    path, found = reprocessed(directory, scheme)
    if json:
        typer.echo(path.read_text(encoding="utf-8"), nl=False)
    else:
        from testbed.reprocessing.records import ProbesAgain

        out = console()
        notes = _probes(found) if isinstance(found, ProbesAgain) else _payloads(found)
        for note in notes:
            out.print(note, markup=False, soft_wrap=isinstance(note, str))
        out.print(f"record: {path}", soft_wrap=True, markup=False)
    if not is_good(found):
        raise typer.Exit(1)


def _probes(found: ProbesAgain) -> list[Table | str]:
    names = ("recording", "gain dB", "link's", "CFO Hz", "link's", "SNR dB", "link's", "")
    table = table_of(f"measurement of {found.started}", names, ())
    for each in found.recordings:
        if each.problem is None:
            table.add_row(
                each.file.removesuffix(".sigmf-meta"),
                _between(each.gain_db, 2), _between(each.recorded_gain_db, 2),
                _between(each.cfo_hz, 3), _between(each.recorded_cfo_hz, 3),
                _number(each.snr_db, 1), _number(each.recorded_snr_db, 1),
                each.spoilt or "",
            )  # fmt: skip
    return [table, *(each.problem for each in found.recordings if each.problem is not None)]


def _payloads(found: PayloadsAgain) -> list[Table | str]:
    table = table_of(
        f"recorded rounds of {found.run_scheme}, read by {found.scheme}",
        ("round", "recorded", "new", "truth", "NMSE dB", "recorded's", ""),
        (),
    )
    for each in found.rounds:
        if each.problem is None:
            table.add_row(
                "–" if each.round is None else str(each.round + 1),
                _vector(each.recorded), _vector(each.estimate), _vector(each.truth),
                _number(each.nmse_db, 1), _number(each.recorded_nmse_db, 1),
                each.rejected or "",
            )  # fmt: skip
    return [
        table,
        f"pooled NMSE: new {_number(found.nmse_db, 1)} dB, recorded {_number(found.recorded_nmse_db, 1)} dB; "
        f"{found.num_same} of {found.num_compared} estimates are the recorded ones, bit for bit, "
        f"{found.num_same_sign} have their sign",
        *(f"note: {remark}" for remark in found.remarks),
        *(each.problem for each in found.rounds if each.problem is not None),
    ]


def _number(value: float | None, digits: int) -> str:
    return "–" if value is None else f"{value:.{digits}f}"


def _between(value: Interval | None, digits: int) -> str:
    return _number(None if value is None else value.value, digits)


def _vector(values: Sequence[float] | None) -> str:
    """Of many queries, the first."""
    if not values:
        return "–"
    return f"{values[0]:.6g}" + (f" (+{len(values) - 1})" if len(values) > 1 else "")
