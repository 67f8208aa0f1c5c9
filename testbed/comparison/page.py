"""The page of a comparison: one HTML file with every curve, a table of all runs, and paired differences."""

from __future__ import annotations

import html
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from testbed.comparison import pictures
from testbed.comparison.runs import Setting
from testbed.comparison.statistics import LEVEL, Interval, interval, paired_difference, words_of
from testbed.comparison.tables import summary_row
from testbed.results import files
from testbed.results.plots import rendered
from testbed.results.report import STYLE, image
from testbed.results.run import Run
from testbed.results.words import is_share, metric_label, metric_value

_MOST_PICTURES = 8
HEADER = ("setting", "seed", "run", "rig", "git", "rounds", "metric", "NMSE", "uplink per device", "air", "wall",
          "(ε, δ)", "ended")  # fmt: skip
SHORT_HEADER = ("setting", "seed", "rounds", "metric", "NMSE", "air", "wall", "(ε, δ)")
OVERVIEW = ("setting", "runs", "metric", "NMSE dB")


def run_rows(settings: Sequence[Setting]) -> list[tuple[str, ...]]:
    """A row for each run, under `HEADER`."""
    claims = statements(settings)
    return [_row(setting, run, claims) for setting in settings for run in setting.runs]


def _row(setting: Setting, run: Run, claims: dict[str, str]) -> tuple[str, ...]:
    summary, config, info = run.summary, run.config, run.info
    head = (setting.letter, str(config.experiment.seed), run.path.name, _rig(run), info.git or "unknown")
    if summary is None:
        return (*head, f"{len(run.rounds)} / {config.experiment.rounds.num}", *["–"] * 6, info.failure or "cut off")
    name = summary.metric_name
    bits = summary.uplink_bits_per_device
    num_symbols = summary.payload_symbols_per_round * summary.rounds_total
    epsilon = "none" if summary.epsilon_spent is None else f"({summary.epsilon_spent:.3g}, {summary.dp_delta:g})"
    return (
        *head,
        f"{summary.rounds_ok} / {summary.rounds_asked}",
        f"{metric_value(name, summary.metric_initial)} → {metric_value(name, summary.metric_final)}",
        "–" if summary.nmse_db_pooled is None else f"{summary.nmse_db_pooled:.1f} dB",
        f"analog, {num_symbols:,} symbols in all" if bits is None else f"{-(-bits // 8):,} bytes",
        f"{summary.airtime_s:.2f} s",
        f"{summary.wall_s:.1f} s",
        f"{epsilon} {claims[summary.privacy]}",
        summary.stopped,
    )


def short_rows(settings: Sequence[Setting]) -> list[tuple[str, ...]]:
    """The same for a terminal, under `SHORT_HEADER`; rigs, revisions and names of directories are on the page."""
    places = [HEADER.index(name) for name in SHORT_HEADER]
    return [tuple(row[place] for place in places) for row in run_rows(settings)]


def statements(settings: Sequence[Setting]) -> dict[str, str]:
    """What runs say of privacy, each with a mark for the table: the threat model belongs to every (ε, δ)."""
    said = dict.fromkeys(run.summary.privacy for each in settings for run in each.runs if run.summary is not None)
    return {text: f"[{number}]" for number, text in enumerate(said, start=1)}


def overview_rows(settings: Sequence[Setting]) -> list[tuple[str, ...]]:
    """A row for each setting, under `OVERVIEW`: means over seeds with intervals."""
    rows: list[tuple[str, ...]] = []
    for setting in settings:
        scale, digits = _scale_of(setting)
        nmse = interval(list(setting.by_seed("nmse_db_pooled").values()))
        metric = pictures.final_metric(setting)
        rows.append(
            (setting.label, str(len(setting.runs)), words_of(metric, scale=scale, digits=digits), words_of(nmse))
        )
    return rows


def reference_of(settings: Sequence[Setting]) -> Setting | None:
    """The first setting that came to a metric; the others are compared with it."""
    return next((each for each in settings if each.by_seed("metric_final")), None)


def differences(settings: Sequence[Setting]) -> list[tuple[Setting, Interval]]:
    """Final metric of every other setting less that of the reference, over the seeds that both have, where there are
    any and the metric is the same."""
    first = reference_of(settings)
    if first is None:
        return []
    others = [each for each in settings if each is not first]
    base = first.by_seed("metric_final")
    found = [
        (each, paired_difference(each.by_seed("metric_final"), base))
        for each in others
        if pictures.metric_name([each]) == pictures.metric_name([first])
    ]
    return [(setting, difference) for setting, difference in found if difference is not None]


def difference_rows(settings: Sequence[Setting]) -> list[tuple[str, str]]:
    """Each paired difference in words."""
    rows: list[tuple[str, str]] = []
    first = reference_of(settings)
    letter = first.letter if first is not None else ""
    for setting, difference in differences(settings):
        scale, digits = _scale_of(setting)
        points = " points" if scale != 1 else ""
        rows.append(
            (
                f"{setting.letter} − {letter}",
                words_of(difference, scale=scale, digits=digits + 1, sign=True).replace(", n =", f"{points}, seeds:"),
            )
        )
    return rows


def as_record(settings: Sequence[Setting]) -> dict[str, Any]:
    """The comparison as plain values, for JSON."""
    first = reference_of(settings)
    return {
        "settings": [
            {
                "setting": setting.letter,
                "values": setting.values,
                "metric_name": pictures.metric_name([setting]),
                "metric_final": pictures.final_metric(setting),
                "nmse_db_pooled": interval(list(setting.by_seed("nmse_db_pooled").values())),
                "runs": [
                    {
                        "run": str(run.path),
                        "seed": run.config.experiment.seed,
                        "rig": _rig(run),
                        "git": run.info.git,
                        **summary_row(run.summary),
                    }
                    for run in setting.runs
                ],
            }
            for setting in settings
        ],
        "differences": [
            {"of": setting.letter, "minus": first.letter if first is not None else None, "metric_final": found}
            for setting, found in differences(settings)
        ],
        "confidence": LEVEL,
    }


def write_page(path: Path, settings: Sequence[Setting], *, title: str, notes: Sequence[str] = ()) -> list[Path]:
    """Write the page, and its pictures as PNG beside it in a folder of the same name; returns all paths, page first.

    Raises RunDirectoryError where it cannot be written.
    """
    folder = path.with_suffix("")
    images = {name: rendered(figure) for name, figure in _figures(settings).items()}
    remedy = "choose another place with --out"
    files.make_folder(folder, remedy=remedy)
    written = [path]
    for name, data in images.items():
        files.write(folder / f"{name}.png", data, remedy=remedy)
        written.append(folder / f"{name}.png")
    files.write(path, _page(settings, images, title, notes), remedy=remedy)
    return written


def _figures(settings: Sequence[Setting]) -> dict[str, Figure]:
    figures: dict[str, Figure] = {}
    for number, key in enumerate(pictures.numeric_keys(settings)[:3]):
        figures[f"over-{number + 1}-{key}"] = pictures.over_key(settings, key)
    parts = [
        (first, settings[first : first + pictures.MAX_CURVES]) for first in range(0, len(settings), pictures.MAX_CURVES)
    ]
    for number, (first, part) in enumerate(parts[:_MOST_PICTURES], start=1):
        figures[f"learning-{number}"] = pictures.learning(part, first=first)
        if (figure := pictures.nmse(part, first=first)) is not None:
            figures[f"nmse-{number}"] = figure
    return figures


def _page(settings: Sequence[Setting], images: dict[str, bytes], title: str, notes: Sequence[str]) -> str:
    metric = metric_label(pictures.metric_name(settings))
    shown = min(len(settings), _MOST_PICTURES * pictures.MAX_CURVES)
    parts = [
        "<!doctype html><html lang='en'><head><meta charset='utf-8'>",
        f"<title>{html.escape(title)}</title><style>{STYLE} body {{ max-width: 80rem; }}</style></head><body>",
        f"<h1>{html.escape(title)}</h1>",
        *(f"<p class='note'>{html.escape(note)}</p>" for note in notes),
        "<h2>Settings</h2>",
        table(OVERVIEW, overview_rows(settings)),
        f"<p>Final {html.escape(metric)} and pooled NMSE: means over runs, {100 * LEVEL:.0f} % Student intervals.</p>",
    ]
    if rows := difference_rows(settings):
        parts += [
            "<h2>Paired differences</h2>",
            table(("difference", f"final {metric}"), rows),
            "<p>Over the seeds that both settings ran, so that data, batches and channels are alike; "
            f"{100 * LEVEL:.0f} % Student intervals, none of a single seed, not corrected for how many are shown.</p>",
        ]
    parts.append("<h2>Curves</h2>")
    if shown < len(settings):
        parts.append(f"<p>The first {shown} of {len(settings)} settings.</p>")
    parts += [image(data, name) for name, data in images.items()]
    parts += ["<h2>Runs</h2>", table(HEADER, run_rows(settings)), "<h2>Privacy</h2>"]
    parts += [f"<p>{mark} {html.escape(text)}</p>" for text, mark in statements(settings).items()]
    differing = [(each.letter, key, value) for each in settings for key, value in each.values.items()]
    if differing:
        parts += ["<h2>What differs</h2>", table(("setting", "key", "value"), differing)]
    return "\n".join([*parts, "</body></html>"])


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """An HTML table."""
    head = "".join(f"<th>{html.escape(name)}</th>" for name in header)
    cells = "".join(f"<tr>{''.join(f'<td>{html.escape(cell)}</td>' for cell in row)}</tr>" for row in rows)
    return f"<table><tr>{head}</tr>{cells}</table>"


def _rig(run: Run) -> str:
    rig = run.config.rig
    return f"{rig.backend}: {rig.description}" if rig.description else rig.backend


def _scale_of(setting: Setting) -> tuple[float, int]:
    """By what a metric is multiplied, and its decimals: shares are shown in per cent."""
    return (100.0, 1) if is_share(pictures.metric_name([setting])) else (1.0, 2)
