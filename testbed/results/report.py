"""The report of a run: plots as PNG and SVG, and one HTML page that carries everything it shows, as vectors."""

from __future__ import annotations

import base64
import html
from collections.abc import Iterable
from pathlib import Path

from testbed.results import files, plots
from testbed.results.directory import RunDirectory
from testbed.results.pictures.capture import capture_trace, marks_of
from testbed.results.pictures.errors import errors_explained, nmse_words
from testbed.results.pictures.privacy import is_private, privacy_by_round
from testbed.results.recordings import load_capture
from testbed.results.records import RoundRecord, RunInfo, Summary
from testbed.results.words import (
    difference_words,
    metric_label,
    metric_value,
    privacy_words,
    verdict,
    verified_words,
)

STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; color: #1a202c; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.5rem; } h2 { font-size: 1.15rem; margin-top: 2rem; border-bottom: 1px solid #e2e8f0; }
table { border-collapse: collapse; } td, th { padding: .2rem .9rem .2rem 0; text-align: left; vertical-align: top; }
td.number { text-align: right; font-variant-numeric: tabular-nums; }
figure { margin: 1rem 0; } img { max-width: 100%; height: auto; } figcaption { color: #4a5568; font-size: 14px; }
td { overflow-wrap: anywhere; } td:first-child { overflow-wrap: normal; min-width: 8rem; }
@media (max-width: 40rem) { body { margin: 1rem auto; } td, th { padding-right: .5rem; }
  td:first-child { min-width: 6rem; } }
pre { background: #f7fafc; padding: 1rem; overflow-x: auto; font-size: 13px; }
.note { background: #fffaf0; border-left: 4px solid #d55e00; padding: .5rem 1rem; overflow-wrap: anywhere; }
"""


def write_report(directory: RunDirectory) -> Path:
    """Draw the plots and write report.html from the files of a run directory, finished or not; returns its path."""
    records, info, summary = directory.read_rounds(), directory.read_info(), directory.read_summary()
    config = directory.read_config()
    figures = {
        "learning": plots.learning_curve(records, info.initial_evaluation, _metric_name(info, summary)),
        "nmse": plots.nmse_by_round(records),
        "errors": errors_explained(records),
        "estimates": plots.estimate_against_truth(records),
        "time": plots.time_by_round(records),
    }
    captures = sorted(directory.captures.glob("*.sigmf-data"))
    if captures:
        figures["capture"] = capture_trace(
            load_capture(captures[-1]),
            sample_rate_hz=config.rig.radio.sample_rate_hz,
            round_index=int(captures[-1].stem.partition("-")[2]),
            marks=marks_of(captures[-1]),
        )
    if is_private(records):
        privacy = config.experiment.privacy
        figures["privacy"] = privacy_by_round(
            records, budget_epsilon=privacy.dp_epsilon, dp_delta=privacy.dp_delta, verdict=_picture_verdict(summary)
        )
    images = {name: plots.rendered(figure, "svg") for name, figure in figures.items()}
    remedy = f"free some space and run `testbed report {directory.path}`"
    files.check_there(directory.path)
    files.make_folder(directory.plots, remedy=remedy)
    for name, figure in figures.items():
        files.write(directory.plots / f"{name}.png", plots.rendered(figure), remedy=remedy)
        files.write(directory.plots / f"{name}.svg", images[name], remedy=remedy)
    toml = files.read(directory.config).decode("utf-8", "replace")
    files.write(directory.report, _page(images, info, summary, records, toml), remedy=remedy)
    return directory.report


def summary_rows(summary: Summary) -> list[tuple[str, str]]:
    """The summary as label and text, for the terminal and the page."""
    bits = summary.uplink_bits_per_device
    metric = metric_label(summary.metric_name)
    air = "the symbol-level air" if summary.air_level == "symbol" else "the sampled air"
    if summary.backend not in ("", "loopback"):
        air = f"radios of backend {summary.backend!r}"
    csi = ", genie CSI" if summary.csi == "genie" else ""
    left_out = summary.captures_left_out
    return [
        ("scheme", f"{summary.scheme} on {air}{csi}, schedule {summary.schedule}"),
        *([("rig", summary.rig)] if summary.rig else []),
        *([("differs by", f"{difference_words(summary.differs)} (from {summary.base})")] if summary.base else []),
        ("commit", summary.git or "not known"),
        ("privacy", privacy_words(summary)),
        ("devices", f"{summary.num_devices}"),
        ("model", f"{summary.num_parameters:,} parameters"),
        (f"test {metric}, untouched", metric_value(summary.metric_name, summary.metric_initial)),
        (f"test {metric}, last 3 evaluations", metric_value(summary.metric_name, summary.metric_final)),
        *(
            [
                (
                    f"test {metric}, best by validation (round {summary.best_round})",
                    metric_value(summary.metric_name, summary.metric_best),
                )
            ]
            if summary.best_round is not None
            else []
        ),
        (
            "rounds used / played / asked",
            f"{summary.rounds_ok} / {summary.rounds_total} / {summary.rounds_asked}{_troubles(summary)}",
        ),
        *(("not at once", trouble) for trouble in summary.troubles),
        ("NMSE, median of rounds", _db(summary.nmse_db_median)),
        ("NMSE, pooled", _db(summary.nmse_db_pooled)),
        ("symbol SNR, median", _db(summary.symbol_snr_db_median)),
        ("payload symbols per round", f"{summary.payload_symbols_per_round}"),
        ("uplink per device, whole run", "analog" if bits is None else f"{bits:,} bits"),
        ("time on air", f"{summary.airtime_s:.2f} s"),
        (
            "wall-clock time",
            f"{summary.wall_s:.1f} s (learner {summary.learner_s:.1f}, radio {summary.radio_s:.1f}, "
            f"control {summary.control_s:.1f}; loading, evaluation and the rest {_rest_s(summary):.1f})",
        ),
        *(
            [("captures", f"{summary.captures_kept} kept, {left_out} left out (results.max_capture_mib)")]
            if left_out
            else []
        ),
        *([("final weights", verified_words(summary))] if summary.verified_devices is not None else []),
        *([("evaluated by", summary.evaluation)] if summary.evaluation else []),
        *(("warning", warning) for warning in summary.warnings),
        ("ended", summary.stopped),
    ]


def _rest_s(summary: Summary) -> float:
    return max(0.0, summary.wall_s - summary.learner_s - summary.radio_s - summary.control_s)


def _troubles(summary: Summary) -> str:
    """Rounds that did not simply go well, in brackets."""
    counts = {
        "retried": summary.rounds_retried,
        "skipped": summary.rounds_skipped,
        "rejected": summary.rounds_rejected,
        "silent": summary.rounds_silent,
        "without some device": summary.rounds_partial,
    }
    listed = ", ".join(f"{count} {status}" for status, count in counts.items() if count)
    return f" ({listed})" if listed else ""


def _page(
    images: dict[str, bytes], info: RunInfo, summary: Summary | None, records: list[RoundRecord], toml: str
) -> str:
    name = summary.name if summary else "unfinished run"
    failed = [r for r in records if r.status != "ok"]
    parts = [
        "<!doctype html><html lang='en'><head><meta charset='utf-8'>",
        "<meta name='viewport' content='width=device-width, initial-scale=1'>",
        f"<title>{html.escape(name)}</title><style>{STYLE}</style></head><body>",
        f"<h1>{html.escape(name)}: {len(records)} rounds, started {html.escape(info.started)}</h1>",
    ]
    if info.failure is not None:
        parts.append(
            f"<p class='note'><b>This run failed:</b> {html.escape(info.failure)} What follows is what it had come to; "
            "once that is mended, --resume goes on from there.</p>"
        )
    elif summary is None:
        parts.append("<p class='note'>This run has no summary yet: it is still going on, or was cut off.</p>")
    if summary is not None:
        parts += [
            f"<p class='note'><b>Privacy:</b> {html.escape(summary.privacy)}</p>",
            _table(summary_rows(summary)),
        ]
    parts += ["<h2>Learning</h2>", image(images["learning"], "loss and metric of the test split by round")]
    if "privacy" in images:
        title = html.escape(_picture_verdict(summary))
        parts += [f"<h2>Privacy: {title}</h2>", image(images["privacy"], "ε, gain and predicted error by round")]
    parts += ["<h2>Over-the-air mean</h2>", image(images["nmse"], "NMSE by round")]
    parts.append(image(images["errors"], "errors, predicted and true, and NMSE against the mean", nmse_words(records)))
    parts.append(image(images["estimates"], "estimated against true mean"))
    if "capture" in images:
        parts += ["<h2>One capture</h2>", image(images["capture"], "I and Q of one received payload, part by part")]
    parts += ["<h2>Time</h2>", image(images["time"], "wall-clock time by part")]
    if failed:
        rows = [(f"round {r.round + 1}, {r.status}", r.reason or "") for r in failed[:50]]
        more = f"<p>and {len(failed) - 50} more in rounds.jsonl</p>" if len(failed) > 50 else ""
        parts += [f"<h2>Rounds that did not go smoothly ({len(failed)})</h2>", _table(rows), more]
    versions = [(k, v) for group in (info.versions, info.host) for k, v in group.items()]
    parts += [
        "<h2>Provenance</h2>",
        _table([("run", info.run_id), ("commit", info.git or "unknown"), *versions]),
    ]
    parts += ["<h2>Configuration</h2>", f"<pre>{html.escape(toml)}</pre>", "</body></html>"]
    return "\n".join(parts)


def _table(rows: Iterable[tuple[str, str]]) -> str:
    cells = "".join(f"<tr><td>{html.escape(k)}</td><td>{html.escape(v)}</td></tr>" for k, v in rows)
    return f"<table>{cells}</table>"


def image(picture: bytes, alt: str, caption: str = "") -> str:
    """An SVG or PNG, carried by the page; as an image its names cannot meet those of another."""
    kind = "png" if picture.startswith(b"\x89PNG") else "svg+xml"
    shown = f"<img alt='{html.escape(alt)}' src='data:image/{kind};base64,{base64.b64encode(picture).decode()}'>"
    return f"<figure>{shown}{f'<figcaption>{html.escape(caption)}</figcaption>' if caption else ''}</figure>"


def _picture_verdict(summary: Summary | None) -> str:
    """What a curve of ε must be read with."""
    if summary is None:
        return "no claim yet: the run has not ended"
    opening = verdict(summary.privacy)
    return "VALID" if opening == "VALID" else f"{opening}: ε as it would be, were its noise and batches secret"


def _metric_name(info: RunInfo, summary: Summary | None) -> str:
    if summary is not None:
        return summary.metric_name
    return info.initial_evaluation.metric_name if info.initial_evaluation is not None else "accuracy"


def _db(value: float | None) -> str:
    return "not known" if value is None else f"{value:.1f} dB"
