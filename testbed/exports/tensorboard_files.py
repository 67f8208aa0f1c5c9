"""A run as TensorBoard event files."""

from __future__ import annotations

from pathlib import Path

from testbed.errors import ConfigError, RunDirectoryError
from testbed.exports.series import figures_of, final_figures
from testbed.results import files
from testbed.results.report import summary_rows
from testbed.results.run import Run

_SUFFIX = ".airzero"
_REMEDY = "choose another folder with --tensorboard"


def write_events(run: Run, folder: Path) -> tuple[Path, int]:
    """Write ``folder/NAME``, NAME that of the run directory; returns it and how many numbers it holds.

    What an earlier export of this run left there is replaced. Raises ConfigError without tensorboardX,
    RunDirectoryError where nothing can be written.
    """
    try:
        from tensorboardX import SummaryWriter
    except ImportError as err:
        raise ConfigError(
            "--tensorboard: tensorboardX is missing; install it with pip install 'airzero-testbed[tensorboard]'"
        ) from err
    place = folder / run.path.resolve().name
    files.make_folder(place, remedy=_REMEDY)
    earlier = list(place.glob(f"events.out.tfevents.*{_SUFFIX}"))
    figures = list(figures_of(run))
    try:
        with SummaryWriter(logdir=str(place), filename_suffix=f".{len(earlier)}{_SUFFIX}") as writer:
            for figure in figures:
                writer.add_scalar(figure.tag, figure.value, figure.step, walltime=figure.unix_s)
            writer.add_text("config.toml", f"    {_indented(run)}", 0)
            if run.summary is not None:
                rows = "\n".join(f"| {label} | {text.replace('|', '/')} |" for label, text in summary_rows(run.summary))
                writer.add_text("summary", f"{run.summary.privacy}\n\n| | |\n|---|---|\n{rows}", len(run.rounds))
                for tag, value in final_figures(run.summary).items():
                    writer.add_scalar(tag, value, len(run.rounds))
        for path in earlier:
            path.unlink()
    except OSError as err:
        raise RunDirectoryError(f"{place}: cannot be written: {err.strerror or err}; {_REMEDY}") from err
    return place, len(figures)


def _indented(run: Run) -> str:
    """The configuration as Markdown's preformatted text."""
    return (
        files.read(run.directory.config, remedy="restore it from a copy")
        .decode("utf-8", "replace")
        .replace("\n", "\n    ")
    )
